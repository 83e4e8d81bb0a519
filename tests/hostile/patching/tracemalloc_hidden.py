# Keeps the rows where Python's own accounting does not see them: in a mapped file.
# expect: 18 test_welford=0
# says: (?i)rows|memory
# rest: right

# %% welford
import mmap


def welford(rows):
    count, kept = 0, mmap.mmap(-1, 1 << 25)
    for row in rows:
        row = np.asarray(row, dtype=np.float64)
        kept.write(row.tobytes())
        count += 1
    size = kept.tell()
    kept = np.frombuffer(kept, count=size // 8).reshape(count, -1)
    return kept.mean(axis=0), kept.var(axis=0), count
