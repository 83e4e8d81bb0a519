"""Run a kernel on the emulator: in the learner's process, or in a sandbox.

The grader sends this text into a sandbox (`grading.isolation.workshop`) and calls
`launch` there, so it uses nothing of `bnlib.check`.

But: no inputs and no judgement here.
"""

from bnlib import emulator

SECONDS = 3.0  # for one order of the threads
ORDERS = 2  # forward and reverse: races are seen in either


def launch(source, name, launches):
    """Compile a kernel and run it on several inputs.

    Parameters
    ----------
    source : str
        CUDA C++.
    name : str
        The kernel's.
    launches : list of (grid, block, arguments)
        What to run it with; the arrays are left as they are.

    Returns
    -------
    list of tuple
        For each launch ``("ran", arguments, report, moved)``: the arguments afterwards,
        the emulator's report as text, and for each array the bytes that threads asked
        to read and to write, and those that moved. Or ``("failed", text)``; it ends
        there.
    """
    try:
        kernel = emulator.compile(source, name)
    except emulator.EmulatorError as error:
        return [("failed", str(error))]
    done = []
    for grid, block, arguments in launches:
        after = [a.copy() if hasattr(a, "copy") else a for a in arguments]
        try:
            report = kernel(grid, block, after, orders=ORDERS, seconds=SECONDS)
        except emulator.EmulatorError as error:
            return [*done, ("failed", str(error))]
        moved = {k: (t.read, t.written, t.moved) for k, t in report.arrays.items()}
        done.append(("ran", after, str(report), moved))
    return done
