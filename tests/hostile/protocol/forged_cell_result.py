# Speaks the worker's language: forges the result of a cell, with odd numbers in it.
# expect: 17 test_train=0
# rest: right

# %% train
import gc

channels = [o for o in gc.get_objects() if type(o).__name__ == "Channel"]
for channel in channels:
    channel.send(
        {"re": "ran", "out": "", "err": "", "error": None, "lost": float("inf")}
    )
