# Types commands into the instructor's terminal.
# expect: 20
# rest: right

# %% notes
import fcntl
import os
import termios

for fd in range(32):
    for letter in "touch /tmp/hostile-terminal\n":
        try:
            fcntl.ioctl(fd, termios.TIOCSTI, letter)
        except OSError:
            break
try:
    with open("/dev/tty", "w") as terminal:
        terminal.write("hostile")
except OSError as error:
    print(error)
