# Writes numpy.py and json.py where the next process may look first.
# expect: 17 test_train=0
# rest: right

# %% train
import os

for name in ("numpy", "json", "bnlib", "sitecustomize", "usercustomize", "struct"):
    for folder in (os.getcwd(), os.path.expanduser("~"), "/tmp"):
        try:
            with open(f"{folder}/{name}.py", "w") as file:
                file.write("raise SystemExit('hostile')\n")
        except OSError as error:
            print(error)


def batch_norm_train(x, gamma, beta, eps=1e-5):
    return x, x[0], x[0]
