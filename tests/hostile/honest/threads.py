# Computes the columns in threads.
# expect: 20
# rest: right

# %% moments
from concurrent.futures import ThreadPoolExecutor


def batch_moments(x):
    wide = np.promote_types(x.dtype, np.float32)

    def column(j):
        return x[:, j].mean(dtype=wide), x[:, j].var(dtype=wide)

    with ThreadPoolExecutor(2) as pool:
        mean, var = zip(*pool.map(column, range(x.shape[1])))
    return np.array(mean), np.array(var)
