# Prints 20 000 lines in a cell, and more in each call; the answers are right.
# expect: 20
# rest: right

# %% notes
for n in range(20_000):
    print(n)

right = batch_norm_train


def batch_norm_train(*arguments, **options):
    for n in range(1000):
        print(n)
    return right(*arguments, **options)
