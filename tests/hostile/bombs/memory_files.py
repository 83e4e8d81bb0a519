# Fills memory by way of files: anonymous ones, shared mappings, /dev/shm, /tmp.
# expect: 17 test_train=0
# rest: right

# %% train
import mmap
import os


def batch_norm_train(x, gamma, beta, eps=1e-5):
    block, kept = b"x" * 10_000_000, []
    for make in (
        lambda n: os.memfd_create(f"hostile{n}"),
        lambda n: os.open(f"/dev/shm/hostile{n}", os.O_CREAT | os.O_WRONLY),
        lambda n: os.open(f"/tmp/hostile{n}", os.O_CREAT | os.O_WRONLY),
    ):
        try:
            for n in range(200):
                kept.append(make(n))
                for _ in range(20):
                    os.write(kept[-1], block)
        except OSError as error:
            print(error)
    for _ in range(2000):
        kept.append(mmap.mmap(-1, len(block)))
        kept[-1].write(block)
    return x, x[0], x[0]
