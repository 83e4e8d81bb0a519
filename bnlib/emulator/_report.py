"""What a run tells besides its results: bytes, and how well warps read and write."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Traffic:
    """What all the threads together did to one array, or one line to all arrays.

    Attributes
    ----------
    read, written : int
        Bytes that threads asked for; 32 threads that read one float ask for 128.
    ideal : int
        Bytes if each entry that is read were read once, each written one written once.
    requests : int
        Reads and writes counted once for each warp.
    sectors : int
        Sectors of 32 bytes that these requests touch.
    ideal_sectors : int
        As few sectors as could have held the same bytes.
    """

    read: int
    written: int
    ideal: int
    requests: int
    sectors: int
    ideal_sectors: int

    @property
    def moved(self):
        """Bytes that the requests move: 32 a sector, caches left aside."""
        return 32 * self.sectors

    @property
    def coalesced(self):
        """Ideal sectors over sectors: 1 is fully coalesced, 1/8 the worst for float."""
        return self.ideal_sectors / self.sectors if self.sectors else 1.0


@dataclass(frozen=True)
class Report:
    """Counts of one launch, from its first order of threads.

    Attributes
    ----------
    arrays : dict of str to Traffic
        Traffic of each array, by the name of the kernel's parameter.
    lines : dict of int to (requests, sectors, ideal_sectors)
        The same by line of the source; line 0 is code that has none.
    read, written, ideal, moved : int
        Bytes of all arrays together, as in `Traffic`.
    coalesced : float
        Ideal sectors over sectors of all arrays.
    shared_read, shared_written : int
        Bytes of shared memory that threads asked for.
    shared : int
        Bytes of shared memory of a block, static and dynamic.
    grid, block : tuple of int
        What was launched.
    orders : int
        How many orders of the threads gave the same result.
    """

    name: str
    grid: tuple
    block: tuple
    orders: int
    arrays: dict
    lines: dict
    shared: int
    shared_read: int
    shared_written: int

    def _sum(self, what):
        return sum(getattr(traffic, what) for traffic in self.arrays.values())

    @property
    def read(self):
        return self._sum("read")

    @property
    def written(self):
        return self._sum("written")

    @property
    def ideal(self):
        return self._sum("ideal")

    @property
    def moved(self):
        return self._sum("moved")

    @property
    def coalesced(self):
        sectors = self._sum("sectors")
        return self._sum("ideal_sectors") / sectors if sectors else 1.0

    def __str__(self):
        size = {k: max(k_len, 6) for k, k_len in ((k, len(k)) for k in self.arrays)}
        wide = max([*size.values(), 6])
        orders = "1 order" if self.orders == 1 else f"{self.orders} orders"
        lines = [
            f"{self.name}: grid {_dims(self.grid)}, block {_dims(self.block)}, "
            f"{orders} of the threads",
            f"{'array':<{wide}} {'read':>11} {'written':>11} {'ideal':>11} "
            f"{'moved':>11}  coalesced",
        ]
        rows = {**self.arrays, "total": self} if len(self.arrays) > 1 else self.arrays
        for name, t in rows.items():
            lines.append(
                f"{name:<{wide}} {t.read:>11,} {t.written:>11,} {t.ideal:>11,} "
                f"{t.moved:>11,}  {t.coalesced:>8.0%}"
            )
        lines.append("bytes: asked for by threads; each entry once; in 32-byte sectors")
        if self.shared:
            lines.append(
                f"shared memory: {self.shared:,} bytes a block; "
                f"{self.shared_read:,} read, {self.shared_written:,} written"
            )
        worst = [
            (sectors / ideal, line, sectors / requests, ideal / requests)
            for line, (requests, sectors, ideal) in self.lines.items()
            if line and sectors > 1.5 * ideal
        ]
        for _, line, sectors, ideal in sorted(worst, reverse=True)[:3]:
            lines.append(
                f"line {line}: a warp touches {sectors:.3g} sectors a request where "
                f"{ideal:.3g} would do"
            )
        return "\n".join(lines)


def _dims(dims):
    while len(dims) > 1 and dims[-1] == 1:
        dims = dims[:-1]
    return "×".join(map(str, dims))
