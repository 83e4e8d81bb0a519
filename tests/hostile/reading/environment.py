# Prints the environment: there may be passwords in it.
# expect: 20
# rest: right

# %% notes
import os

print(dict(os.environ), os.getcwd(), os.getlogin if False else "")
try:
    print(open("/proc/self/environ").read())
except OSError as error:
    print(error)
