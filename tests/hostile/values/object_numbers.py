# Object arrays of objects that turn into numbers when asked, and lie.
# expect: 17 test_train=0
# rest: right

# %% train
class Number:
    def __float__(self):
        import os

        os._exit(0)


def batch_norm_train(x, gamma, beta, eps=1e-5):
    odd = np.array([Number()] * 35).reshape(7, 5)
    return odd, odd[0], odd[0]
