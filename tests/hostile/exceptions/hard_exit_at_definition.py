# Ends the process while the cells are run.
# expect: 0

# %% train
import os

os._exit(0)
