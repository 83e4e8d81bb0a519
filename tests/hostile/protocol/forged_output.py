# Speaks the worker's language: forges a cell's output, with half characters in it.
# expect: 17 test_train=0
# rest: right

# %% train
import gc

channels = [o for o in gc.get_objects() if type(o).__name__ == "Channel"]
error = {"kinds": ["\ud800\x1b[2J"], "text": "\udcff" * 10**5, "places": []}
for channel in channels:
    channel.send(
        {"re": "ran", "out": "\ud800" * 10**6, "err": "<b>", "error": error, "lost": 10**3000}
    )
