# Asks Python for the source of its own function, its layer's copy and its hints.
# expect: 20
# rest: right

# %% notes
import copy
import inspect
import pickle
import typing

inspect.getsource(batch_norm_train)
typing.get_type_hints(batch_norm_train)
copy.deepcopy({"a": np.ones(3)})


class Plain:
    pass


pickle.loads(pickle.dumps(Plain()))
