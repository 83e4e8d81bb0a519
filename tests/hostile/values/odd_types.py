# Structured, void, text, date and huge-item dtypes, one a call.
# expect: 17 test_train=0
# rest: right

# %% train
import itertools

kinds = itertools.cycle(
    ["V1000000000", "U100000000", "M8[s]", "S3", [("a", "f8"), ("b", "O")], "c16", "O"]
)


def batch_norm_train(x, gamma, beta, eps=1e-5):
    odd = np.zeros(1 if x.size else 0, dtype=next(kinds))
    return odd, odd, odd
