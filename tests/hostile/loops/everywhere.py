# All nine functions loop: the worst that one student can cost.
# expect: 0
# says: still running

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    while True:
        pass

# %% running
def update_running(*arguments, **options):
    while True:
        pass

# %% evaluate
batch_norm_eval = update_running

# %% layer
BatchNorm = update_running

# %% convolution
batch_norm_nd = update_running

# %% moments
batch_moments = update_running

# %% welford
welford = update_running

# %% merge
merge_moments = update_running

# %% fold
fold_batch_norm = update_running
