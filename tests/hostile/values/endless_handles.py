# Every attribute of what it returns is another object, for ever.
# expect: 17 test_layer=0
# rest: right

# %% layer
class BatchNorm:
    kept = []

    def __init__(self, *arguments, **options):
        BatchNorm.kept.append(self)

    def __getattr__(self, name):
        return BatchNorm()

    def __iter__(self):
        while True:
            yield BatchNorm()

    def __call__(self, x):
        return BatchNorm()

    def __len__(self):
        return 10**9
