# Changes the course's configuration and the text of the problem set.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    for path in ("{config}", "{source}", "{release}", "{solutions}/ps1_forward.md"):
        try:
            with open(path, "a") as file:
                file.write("\nraise SystemExit('hostile')\n")
        except OSError as error:
            print(error)
    return x, x[0], x[0]
