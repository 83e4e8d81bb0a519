# Returns lists of numbers, and whole numbers of every kind.
# expect: 20
# rest: right

# %% running
def update_running(running_mean, running_var, mean, var, count, momentum=0.1):
    var = var * count / (count - 1)
    new_mean = [float(r + momentum * (m - r)) for r, m in zip(running_mean, mean)]
    new_var = tuple(r + momentum * (v - r) for r, v in zip(running_var, var))
    return new_mean, new_var

# %% welford
def welford(rows):
    mean = m2 = 0.0
    for n, row in enumerate(rows, 1):
        row = row.astype(np.promote_types(row.dtype, np.float32))
        delta = row - mean
        mean = mean + delta / n
        m2 = m2 + delta * (row - mean)
    return mean, m2 / n, np.int32(n)
