# Tests its own function below it, with asserts, random numbers and a main block.
# expect: 20
# rest: right

# %% notes
import random
import tempfile
import time
from pathlib import Path

assert np.allclose(batch_norm_train(np.eye(3), np.ones(3), np.zeros(3))[1], 1 / 3)
random.seed(0)
np.random.seed(0)
if __name__ == "__main__":
    print(random.random(), np.random.rand(2), time.time(), Path.home(), Path.cwd())
with tempfile.TemporaryDirectory() as folder:
    np.save(Path(folder) / "x.npy", np.eye(3))
    print(np.load(Path(folder) / "x.npy"))
check.train(batch_norm_train)
time.sleep(0.2)
