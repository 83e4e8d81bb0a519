# Prints the command lines and environments of all processes.
# expect: 20
# rest: right

# %% notes
import glob

for path in glob.glob("/proc/[0-9]*/*"):
    if path.rsplit("/")[-1] in ("environ", "cmdline", "maps", "status", "cgroup"):
        try:
            print(path, open(path, errors="replace").read()[:2000])
        except OSError:
            pass
