# Gives itself full marks, and the others none, in the gradebook.
# expect: 17 test_train=0
# rest: right

# %% train
import sqlite3


def batch_norm_train(x, gamma, beta, eps=1e-5):
    try:
        book = sqlite3.connect("{gradebook}", timeout=0.5)
        book.execute("update grade set auto_score = 0, manual_score = 0")
        book.commit()
    except sqlite3.Error as error:
        print(error)
    return x, x[0], x[0]
