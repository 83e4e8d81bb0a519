"""From what machine.cpp noticed to a sentence for the one who wrote the kernel."""

import re

import numpy as np

from bnlib.emulator._arguments import unwritten
from bnlib.emulator._errors import EmulatorError

EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23}
# Sums by atomicAdd may round differently in another order; results may differ by as
# many units in the last place of the largest entry.
UNITS = 256


class Teller:
    """Tells of one launch: knows its source, arrays and sizes."""

    def __init__(self, source, parameters, args, block, grid):
        self.lines = source.splitlines()
        self.parameters, self.args = parameters, args
        self.block, self.grid = block, grid

    def judge(self, replies, results):
        """Raise EmulatorError if any order went wrong, or if two disagree.

        A race explains most other faults, and an unwritten read most that come after
        it: they are told first.
        """
        events = [event for reply in replies for event in reply["events"]]
        races = [e for e in events if e["kind"] == "race"]
        # What one thread reads and another writes is a fault even where the result
        # happens to be the same; that two write the same value is not.
        decisive = [e for e in races if not self._both_write(e)]
        differing = self._differing(replies, results)
        if decisive or differing:
            race = (decisive or races or [None])[0]
            raise EmulatorError(self._race(race, differing))
        for event in events:
            if event["kind"] != "race":
                raise EmulatorError(getattr(self, _method(event))(event))
        self._check_written(results[0])

    # ---- races ---------------------------------------------------------------------

    @staticmethod
    def _both_write(event):
        return event["first"]["write"] and event["second"]["write"]

    def _differing(self, replies, results):
        if any("arrays" not in reply for reply in replies):
            return ""
        for k, parameter in enumerate(self.parameters):
            arrays = [result[k] for result in results]
            if arrays[0] is None or parameter.constant:
                continue
            for other in arrays[1:]:
                wrong = _disagree(arrays[0], other)
                if wrong.any():
                    at = int(np.argmax(wrong))
                    first, second = (a.reshape(-1)[at] for a in (arrays[0], other))
                    index = _index(at, arrays[0].shape)
                    return f"{parameter.name}{index} is {first:.6g} or {second:.6g}"
        return ""

    def _race(self, race, differing):
        if race is None:
            return (
                f"The result depends on the order of the threads: {differing}. Do "
                "blocks or threads take turns at something by atomics, or read what an "
                "earlier launch should have written?"
            )
        first, second = race["first"], race["second"]
        entry = self._entry(race)
        same_block = first["block"] == second["block"]
        acts = [
            f"{self._where(a, not same_block)} "
            f"{'writes' if a['write'] else 'reads'} it in {self._line(a['line'])}"
            for a in (first, second)
        ]
        if differing:
            start = f"The result depends on the order of the threads: {differing}."
        else:
            start = "A race: the result may depend on the order of the threads."
        if not same_block:
            cure = (
                "Nothing orders different blocks of one launch: use atomics, or a "
                "second launch."
            )
        elif race["array"] >= 32 and _same_warp(first, second):
            cure = (
                "Between them there is no __syncwarp() or __syncthreads(): the threads "
                "of a warp need not run in step."
            )
        else:
            cure = "Between them there is no __syncthreads()."
        return f"{start} At {entry}, {acts[0]}, and {acts[1]}. {cure}"

    # ---- events --------------------------------------------------------------------

    def unwritten(self, event):
        """Tell of shared memory, or an output, that is read before it is written."""
        cure = (
            "Shared memory holds anything when a block starts."
            if event["array"] >= 32
            else "The array came from emulator.empty."
        )
        return (
            f"{self._who(event)} reads {self._entry(event)}, which nobody has written, "
            f"in {self._line(event['line'])}. {cure}"
        )

    def bounds(self, event):
        """Tell of an index that is no entry of the array."""
        verb = "writes" if event["write"] else "reads"
        name, index, count = self._index_of(event)
        if not name:
            return (
                f"{self._who(event)} {verb} an address that belongs to no array, in "
                f"{self._line(event['line'])}."
            )
        own = "" if event["array"] < 32 else " of shared memory"
        last = (
            f"its entries are 0 to {count - 1}" if count else "it has no entries at all"
        )
        return (
            f"{self._who(event)} {verb} {name}[{index}]{own}, but {last}: out of "
            f"bounds, in {self._line(event['line'])}."
        )

    def index(self, event):
        """Tell of an index of a local array, or of an inner dimension."""
        code = self._code(event["line"])
        names = list(dict.fromkeys(re.findall(r"\b([A-Za-z_]\w*)\s*\[", code)))
        name = f"{names[0]}" if len(names) == 1 else "an array"
        kind = event["type"].strip("'")
        return (
            f"{self._who(event)} uses index {event['index']} of {name}, which is "
            f"{kind}: out of bounds, in {self._line(event['line'])}."
        )

    def misaligned(self, event):
        """Tell of a float4 that does not start at a multiple of 16 bytes."""
        name, _, _ = self._index_of(event)
        verb = "writes" if event["write"] else "reads"
        return (
            f"{self._who(event)} {verb} {event['size']} bytes of {name} at byte "
            f"{event['offset']}, which is no multiple of {event['size']}: misaligned "
            f"address, in {self._line(event['line'])}."
        )

    def null(self, event):
        """Tell of a null pointer."""
        verb = "writes through" if event["write"] else "reads through"
        return (
            f"{self._who(event)} {verb} a null pointer in {self._line(event['line'])}."
        )

    def stuck(self, event):
        """Tell of threads that wait for others that will not come."""
        groups = event["groups"]
        waiting = [g for g in groups if g["function"]]
        shuffles = [g for g in waiting if "__sync" not in g["function"]]
        shuffles += [g for g in waiting if g["function"] == "__syncwarp"]
        told = []
        for g in groups:
            threads = _ranges(g["threads"], "thread")
            one = len(g["threads"]) == 1
            if g["function"]:
                verb = "waits" if one else "wait"
                place = f"{g['function']} in {self._line(g['line'])}"
                told.append(f"{threads} {verb} at {place}")
            else:
                told.append(f"{threads} {'has' if one else 'have'} returned")
        where = f"In block {self._dims(event['block'])}, " + ", ".join(told) + "."
        if not shuffles:
            return (
                f"Divergent barrier. {where} Every thread of the block must reach the "
                "same __syncthreads()."
            )
        g = shuffles[0]
        warp = g["threads"][0] // 32
        lanes = [t % 32 for t in g["threads"] if t // 32 == warp]
        missing = [i for i in range(32) if g["mask"] >> i & 1 and i not in lanes]
        absent = [i for i in missing if warp * 32 + i >= event["count"]]
        if absent and absent == missing:
            why = (
                f"{_ranges(absent, 'lane')} of warp {warp} do not exist: the block "
                + (f"has {event['count']} threads.")
            )
        else:
            why = f"{_ranges(missing, 'lane')} of warp {warp} do not take part."
        return (
            f"{g['function']} in {self._line(g['line'])} names lanes in its mask "
            f"0x{g['mask']:08x} that do not come: {why} {where}"
        )

    def lane(self, event):
        """Tell of a shuffle that reads from a lane that its mask leaves out."""
        return (
            f"{self._who(event)} reads in {event['function']} from lane "
            f"{event['from']}, which its mask 0x{event['mask']:08x} leaves out, in "
            f"{self._line(event['line'])}. The value is undefined."
        )

    def own_lane(self, event):
        """Tell of a mask without the caller."""
        return (
            f"{self._who(event)} is lane {event['lane']} and calls {event['function']} "
            f"with mask 0x{event['mask']:08x}, which leaves itself out, in "
            f"{self._line(event['line'])}."
        )

    def width(self, event):
        """Tell of a width that is no power of two."""
        return (
            f"{self._who(event)} calls {event['function']} with width {event['width']} "
            f"in {self._line(event['line'])}; the width must be 1, 2, 4, 8, 16 or 32."
        )

    def static_shared(self, event):
        """Tell of more static shared memory than there is."""
        return (
            f"{event['bytes']:,} bytes of static shared memory with {event['name']} in "
            f"{self._line(event['line'])}; a block has at most 49,152 (48 KiB). More "
            "is to be had as dynamic shared memory only, up to 227 KiB on sm_90."
        )

    def many_shared(self, event):
        """Tell of more shared variables than the emulator has room for."""
        return "The kernel has more than 60 shared variables."

    def no_addresses(self, event):
        """Tell of a limit on virtual memory."""
        return (
            "The emulator cannot reserve 1.5 TiB of addresses (it needs no memory for "
            "them). Is there a limit, as by `ulimit -v`?"
        )

    def division(self, event):
        """Tell of division of an integer by zero."""
        return (
            f"{self._who(event)} divides an integer by zero in "
            f"{self._line(event['line'])}."
        )

    def check(self, event):
        """Tell of a failed assert."""
        return (
            f"{self._who(event)}: assert failed, `{event['text']}`, in "
            f"{self._line(event['line'])}."
        )

    def crash(self, event):
        """Tell of a signal."""
        return (
            f"{self._who(event)} crashed (signal {event['signal']}), last seen in "
            f"{self._line(event['line'])}. Does a function call itself without end, or "
            "is a pointer used that points to nothing?"
        )

    def endless(self, event):
        """Tell of a kernel that does not end."""
        if not event:
            return "The kernel does not end: an endless loop?"
        return (
            f"The kernel does not end in the time given. {self._who(event)} runs, last "
            f"seen in {self._line(event['line'])}: an endless loop, or one that waits "
            "for another thread?"
        )

    # ---- outputs -------------------------------------------------------------------

    def _check_written(self, result):
        for parameter, before, after in zip(
            self.parameters, self.args, result, strict=True
        ):
            if after is None or not unwritten(before).any():
                continue
            left = unwritten(after)
            if left.any():
                index = _index(int(np.argmax(left)), before.shape)
                raise EmulatorError(
                    f"{parameter.name}{index} was never written, nor were "
                    f"{left.sum() - 1} other entries of {left.size}. Do grid "
                    f"{self._dims(self.grid, True)} and block "
                    f"{self._dims(self.block, True)} cover the array?"
                )

    # ---- words ---------------------------------------------------------------------

    def _who(self, event):
        return self._where(event, True).replace("thread", "Thread", 1)

    def _where(self, event, with_block):
        t = event["thread"]
        x, y, _ = self.block
        name = f"thread {self._dims([t % x, t // x % y, t // (x * y)])}"
        block = event["block"]
        if not isinstance(block, list):
            x, y, _ = self.grid
            block = [block % x, block // x % y, block // (x * y)]
        return f"{name} of block {self._dims(block)}" if with_block else name

    @staticmethod
    def _dims(dims, sizes=False):
        """Return coordinates as text: one where the others say nothing."""
        last = 1 if sizes else 0
        dims = list(dims)
        while len(dims) > 1 and dims[-1] == last:
            dims.pop()
        return str(dims[0]) if len(dims) == 1 else f"({', '.join(map(str, dims))})"

    def _index_of(self, event):
        """Return name, flat index and number of entries."""
        name, size = event["name"], event["granule"]
        if event["array"] < 32 and event["array"] < len(self.parameters):
            parameter = self.parameters[event["array"]]
            name, size = parameter.name, parameter.whole
            if parameter.kind == "v":
                size = event["granule"]
        return name, event["offset"] // size, event["bytes"] // size

    def _entry(self, event):
        name, index, count = self._index_of(event)
        if count == 1 and event["array"] >= 32:
            return name
        return f"{name}[{index}]"

    def _code(self, line):
        return self.lines[line - 1].strip() if 0 < line <= len(self.lines) else ""

    def _line(self, line):
        code = self._code(line)
        return f"line {line} (`{code}`)" if code else "a line that is not known"


def _method(event):
    return {"time": "endless", "assert": "check"}.get(
        event["kind"], event["kind"].replace(" ", "_")
    )


def _same_warp(first, second):
    return first["thread"] // 32 == second["thread"] // 32


def _disagree(first, second):
    """Return which entries, flattened, differ by more than rounding explains."""
    a, b = first.reshape(-1), second.reshape(-1)
    if a.dtype.kind in "iub":
        return a != b
    a, b = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    scale = np.max(np.abs(a[finite]), initial=0.0)
    allowed = UNITS * EPS.get(first.dtype.name, 2.0**-52) * scale
    with np.errstate(invalid="ignore"):
        close = (a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= allowed)
    return ~close


def _index(flat, shape):
    if len(shape) <= 1:
        return f"[{flat}]"
    return f"[{', '.join(str(int(i)) for i in np.unravel_index(flat, shape))}]"


def _ranges(numbers, noun):
    """Return "threads 0–31, 40": numbers in order, neighbours joined."""
    parts, numbers = [], sorted(numbers)
    start = previous = numbers[0]
    for n in [*numbers[1:], None]:
        if n is not None and n == previous + 1:
            previous = n
            continue
        parts.append(str(start) if start == previous else f"{start}–{previous}")
        start = previous = n
    if len(parts) > 6:
        parts = [*parts[:5], "…", parts[-1]]
    return f"{noun}{'s' if len(numbers) > 1 else ''} {', '.join(parts)}"
