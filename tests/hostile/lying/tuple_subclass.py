# A tuple that counts differently each time, with other entries each time.
# expect: 17 test_train=0
# rest: right

# %% train
class Three(tuple):
    def __len__(self):
        return 3

    def __iter__(self):
        while True:
            yield np.zeros(3)


class Text(str):
    def encode(self, *arguments):
        return b"\xff" * 100

    def __eq__(self, other):
        return True

    __hash__ = str.__hash__


def batch_norm_train(x, gamma, beta, eps=1e-5):
    return Three((Text("y"), {Text("a"): Text("b")}))
