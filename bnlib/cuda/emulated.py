"""A device without a GPU: it launches the CUDA kernels on the emulator."""

from functools import cache

from bnlib import emulator
from bnlib.cuda.sources import source


@cache
def kernel(file, name):
    """Return a kernel of one of the ladder's files, compiled for the CPU."""
    return emulator.compile(source(file), name)


class Emulated:
    """What `bnlib.cuda.device.Device` is, for NumPy arrays.

    Parameters
    ----------
    processors, shared : int
        Multiprocessors of the device, and bytes of shared memory that a block may have.
    address_is : int
        Where each array is said to start: the emulator lays them at aligned addresses
        of its own.

    Attributes
    ----------
    launched : list of (str, bnlib.emulator.Report)
        Name of the kernel and report of each launch.
    """

    def __init__(self, processors=2, shared=48 * 1024, address_is=0):
        self.processors, self.shared = processors, shared
        self.address_is = address_is
        self.launched = []

    def empty(self, shape, dtype):
        """Return an array that nobody has written."""
        return emulator.empty(shape, dtype)

    def address(self, array):
        """Return where an array is said to start."""
        return self.address_is

    def launch(self, file, name, grid, block, args, shared=0):
        """Run a kernel of a file, and keep its report."""
        report = kernel(file, name)(
            grid, block, args, shared=shared, orders=2, seconds=60
        )
        self.launched.append((name, report))

    @property
    def names(self):
        """Names of the kernels that were launched."""
        return [name for name, _ in self.launched]
