# Registers formatters that answer for every object, with a script.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    return x, x[0], x[0]


import sys

sys.displayhook = lambda value: print(100)
shell = get_ipython()
for formatter in shell.display_formatter.formatters.values():
    formatter.for_type(object, lambda value: "<script>alert('hostile')</script>")
shell.display_formatter.format = lambda value, *a: ({"text/plain": "3"}, {})
1
