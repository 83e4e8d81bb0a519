"""The one exception of the emulator."""

import textwrap


class EmulatorError(Exception):
    """A kernel that does not compile, cannot be launched, or does what it must not.

    The message is for the person who wrote the kernel: what happened, to which array,
    at which index, by which thread, in which line.
    """

    def _render_traceback_(self):
        # IPython shows these lines instead of a traceback through this package.
        text = str(self)
        return ["EmulatorError", *(textwrap.indent(text, "  ").splitlines())]
