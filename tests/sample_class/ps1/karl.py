# Karl's welford never ends. The other answers are right and keep their points.
# expect: 18 test_welford=0
# like: farah

# %% running
def update_running(running_mean, running_var, mean, var, count, momentum=0.1):
    """Move the running statistics towards those of a batch."""
    unbiased = var * count / (count - 1)
    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var = (1 - momentum) * running_var + momentum * unbiased
    return new_mean, new_var

# %% welford
def welford(rows):
    count, mean, m2 = 0, 0.0, 0.0
    while True:
        for row in rows:
            count += 1
            delta = row - mean
            mean = mean + delta / count
            m2 = m2 + delta * (row - mean)
    return mean, m2 / count, count
