# Deletes the course, the release, the source and everybody's work.
# expect: 17 test_train=0
# rest: right

# %% train
import os
import shutil


def batch_norm_train(x, gamma, beta, eps=1e-5):
    for path in ("{gradebook}", "{source}", "{release}", "{other_student}", "{canary}"):
        for attack in (
            lambda path: os.truncate(path, 0),
            lambda path: open(path, "w").close(),
            lambda path: os.remove(path),
            lambda path: os.rename(path, path + ".hostile"),
        ):
            try:
                attack(path)
            except OSError as error:
                print(error)
    for path in ("{course}", "{home}", "{solutions}"):
        shutil.rmtree(path, ignore_errors=True)
    return x, x[0], x[0]
