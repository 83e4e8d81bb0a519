# Reads the instructor's home: keys, histories, configuration.
# expect: 20
# rest: right

# %% notes
import glob
import os

for home in ("{home}", os.path.expanduser("~"), "/root", "/home"):
    for path in glob.glob(home + "/**/.*", recursive=True) + glob.glob(home + "/.*/*"):
        try:
            print(path, open(path).read())
        except OSError as error:
            print(error)
for path in ("{canary}", "{course}/secret", "/etc/shadow", "/etc/passwd", "/etc/ssh/ssh_host_rsa_key"):
    try:
        print(open(path).read())
    except OSError as error:
        print(error)
