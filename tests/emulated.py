"""A device without a GPU: it launches the CUDA kernels on the emulator."""

from functools import cache

from bnlib import emulator
from bnlib.cuda.sources import source


@cache
def kernel(file, name):
    return emulator.compile(source(file), name)


class Emulated:
    """What `bnlib.cuda.device.Device` is, for NumPy arrays.

    The emulator lays arrays at addresses of its own, which are aligned; `address_is`
    says instead where each starts.
    """

    def __init__(self, processors=2, shared=48 * 1024, address_is=0):
        self.processors, self.shared = processors, shared
        self.address_is = address_is
        self.launched = []  # (name of the kernel, report) of each launch

    def empty(self, shape, dtype):
        return emulator.empty(shape, dtype)

    def address(self, array):
        return self.address_is

    def launch(self, file, name, grid, block, args, shared=0):
        report = kernel(file, name)(
            grid, block, args, shared=shared, orders=2, seconds=60
        )
        self.launched.append((name, report))

    @property
    def names(self):
        return [name for name, _ in self.launched]
