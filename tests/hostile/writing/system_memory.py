# Leaves memory behind that no process owns: System V segments, and a key.
# expect: 20
# rest: right

# %% notes
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
segment = libc.shmget(0x0BAD5E65, 1_000_000, 0o1666)
print(segment, libc.msgget(0x0BAD5E65, 0o1666), libc.semget(0x0BAD5E65, 1, 0o1666))
for ring in (-2, -3, -4, -5):
    print(libc.syscall(248, b"user", b"hostile-key", b"x" * 100, 100, ring))
