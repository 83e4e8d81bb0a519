# Speaks the worker's language, with values that break every rule of it.
# expect: 17 test_train=0
# rest: right

# %% train
import gc
import os

channels = [o for o in gc.get_objects() if type(o).__name__ == "Channel"]
forms = [
    ["v", 1e999],
    ["c", "a", {}],
    ["c", 10**400, 0],
    ["a", "<f8", [2**39, 2**39], [0, 1], 0, 1, 0, 0],
    ["a", "<f8", [0, 2**39], [0, 1], 0, 1, -1, 0],
    ["a", "|b1", [-1], [0], 0, 1, 0, -1],
    ["a", "|O", [1], [0], 0, 1, 0, 8],
    ["a", "<f8", [1] * 32, list(range(32)), 1, 1, [], 8],
    ["g", "|V8", 8],
    ["y", "O"],
    ["h", -1, "__class__", 1],
    ["h", 1, "ndarray", True],
    ["o", 0],
    ["o", -1],
    ["d", [[["l", []], ["v", 1]]]],
    ["_take", 5],
    ["__class__"],
    [],
    None,
    "v",
    {"v": 1},
]


def batch_norm_train(x, gamma, beta, eps=1e-5):
    k = int(x.size) % len(forms)
    for form in forms[k:] + forms[:k]:
        for reply in (
            {"re": "value", "value": ["t", [form] * 3], "changed": []},
            {"re": "value", "value": ["v", 1], "changed": [[0, form], [-1, form], 5]},
            {"re": "error", "kinds": form, "text": form, "places": form},
            {"re": "error", "kinds": ["SystemExit"], "text": "", "places": [[1, 2, 3]]},
            {"re": form},
            {"re": "ask", "do": "call", "object": form, "args": form, "kwargs": form},
        ):
            channels[0].send(reply, [b"\0" * 8])
    return x, x[0], x[0]
