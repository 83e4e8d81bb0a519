"""Launch a compiled kernel: check the arguments, run it in several orders, compare."""

import json
import math
import operator
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from bnlib.emulator import _arguments, _build, _diagnosis, _source
from bnlib.emulator._errors import EmulatorError
from bnlib.emulator._report import Report, Traffic

# Of sm_90, which has the most: https://docs.nvidia.com/cuda/cuda-c-programming-guide/
# (Technical Specifications per Compute Capability).
THREADS, BLOCK, GRID = 1024, (1024, 1024, 64), (2**31 - 1, 65535, 65535)
DYNAMIC = 227 * 1024
ARRAYS = 32


class Kernel:
    """A compiled kernel; call it to launch it.

    Attributes
    ----------
    name : str
        The name it was compiled under.
    parameters : list of Parameter
        Its parameters: name, whether a pointer, dtype.
    """

    def __init__(self, source, name):
        self.source, self.name = source, name
        _source.check(source)
        known = _source.kernels(source)
        plain = name.partition("<")[0].strip().rpartition("::")[2]
        if plain not in known:
            there = ", ".join(known) or "none"
            raise EmulatorError(
                f"The source has no __global__ function {plain}; it has: {there}."
            )
        self._program, signature = _build.build(source, name)
        self.parameters = _arguments.parameters(signature, known[plain])

    def __call__(self, grid, block, args, *, shared=0, orders=3, seed=0, seconds=10.0):
        """Run the kernel; arrays are written in place.

        Parameters
        ----------
        grid, block : int or tuple of int
            Blocks of the grid and threads of a block, along x, y, z.
        args : sequence
            Contiguous NumPy arrays of the right dtype for pointers, None for a null
            pointer; numbers.
        shared : int
            Bytes of dynamic shared memory.
        orders : int
            In how many orders the threads are run: forward, reverse, then shuffled. All
            start from the same arrays, and must end with the same, up to rounding.
        seed : int
            Seed of the shuffled orders.
        seconds : float
            Time that one order may take.

        Returns
        -------
        Report
            Bytes and coalescing.

        Raises
        ------
        EmulatorError
            If the arguments do not fit, or the kernel does what it must not. The arrays
            are then as they were before.
        """
        grid = _dims("grid", grid, GRID)
        block = _dims("block", block, BLOCK)
        if math.prod(block) > THREADS:
            raise EmulatorError(
                f"block {block} has {math.prod(block)} threads; a GPU takes at most "
                f"{THREADS}."
            )
        shared, seed = operator.index(shared), operator.index(seed) % 2**32
        if not 0 <= shared <= DYNAMIC:
            raise EmulatorError(
                f"shared is {shared} bytes; a block has at most {DYNAMIC} (227 KiB) on "
                "sm_90, 99 KiB on most others."
            )
        packed = self._pack(args)
        teller = _diagnosis.Teller(self.source, self.parameters, args, block, grid)
        results, replies = [], []
        for order in range(max(1, operator.index(orders))):
            head = struct.pack(
                "<10Id", *grid, *block, shared, order, seed, len(args), seconds
            )
            reply, arrays = self._run(head + packed, args, teller, seconds, order)
            replies.append(reply)
            results.append(arrays)
        teller.judge(replies, results)
        for parameter, value, got in zip(
            self.parameters, args, results[0], strict=True
        ):
            if got is not None and not parameter.constant:
                value[...] = got
        return self._report(replies[0], args, grid, block, len(results))

    def _pack(self, args):
        wanted = ", ".join(p.name for p in self.parameters)
        if len(args) != len(self.parameters):
            raise EmulatorError(
                f"{self.name} takes {len(self.parameters)} arguments ({wanted}); "
                f"got {len(args)}."
            )
        if len(args) > ARRAYS:
            raise EmulatorError(f"A kernel may have {ARRAYS} parameters here.")
        pairs = zip(self.parameters, args, strict=True)
        return b"".join(part for p, a in pairs for part in _arguments.pack(p, a))

    def _run(self, request, args, teller, seconds, order):
        """Run one order; return the reply and the arrays, None for the others."""
        with tempfile.TemporaryDirectory() as folder:
            question, answer = Path(folder, "request"), Path(folder, "reply")
            question.write_bytes(request)
            try:
                done = subprocess.run(
                    [self._program, question, answer],
                    capture_output=True,
                    timeout=seconds + 5,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise EmulatorError(teller.endless({})) from None
            if order == 0:
                print(done.stdout.decode(errors="replace"), end="")
            data = answer.read_bytes() if answer.exists() else b""
        line, _, data = data.partition(b"\n")
        if not line:
            raise EmulatorError(
                f"The kernel crashed (exit status {done.returncode}) before it could "
                "say where."
            )
        reply = json.loads(line)
        arrays, at = [], 0
        for parameter, value in zip(self.parameters, args, strict=True):
            absent = not parameter.pointer or value is None
            if absent or "arrays" not in reply:
                arrays.append(None)
                continue
            flat = np.frombuffer(data, value.dtype, value.size, at)
            arrays.append(flat.reshape(value.shape))
            at += value.nbytes
        return reply, arrays

    def _report(self, reply, args, grid, block, orders):
        arrays = {
            p.name: Traffic(
                a["read"],
                a["written"],
                a["distinct_read"] + a["distinct_written"],
                a["requests"],
                a["sectors"],
                a["ideal_sectors"],
            )
            for p, value, a in zip(self.parameters, args, reply["arrays"], strict=True)
            if p.pointer and value is not None
        }
        lines = {}
        for line, *counts in reply["sites"]:
            before = lines.get(line, (0, 0, 0))
            lines[line] = tuple(map(sum, zip(before, counts, strict=True)))
        return Report(
            self.name,
            grid,
            block,
            orders,
            arrays,
            lines,
            reply["shared"]["bytes"],
            reply["shared"]["read"],
            reply["shared"]["written"],
        )


def _dims(what, value, limits):
    try:
        dims = tuple(operator.index(n) for n in np.atleast_1d(value))
    except TypeError:
        raise EmulatorError(f"{what} is {value!r}; expected integers.") from None
    if not 1 <= len(dims) <= 3:
        raise EmulatorError(f"{what} is {value!r}; expected one to three integers.")
    dims += (1,) * (3 - len(dims))
    for axis, n, limit in zip("xyz", dims, limits, strict=True):
        if not 1 <= n <= limit:
            raise EmulatorError(
                f"{what} has {n} along {axis}; a GPU takes 1 to {limit}."
            )
    return dims
