# Leaves files in every folder that is shared with others.
# expect: 20
# rest: right

# %% notes
import os

for folder in ("/tmp", "/dev/shm", "/var/tmp", "/run", "/dev/mqueue", os.getcwd(), "/"):
    try:
        with open(f"{folder}/hostile-left-behind", "wb") as file:
            file.write(b"x" * 1_000_000)
    except OSError as error:
        print(error)
