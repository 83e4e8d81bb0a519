"""The GPU, through CuPy."""

from functools import cache

import numpy as np

from bnlib.cuda.sources import OPTIONS, source

STATIC = 1024  # bytes of shared memory that kernels of step 6 use besides the slab


class Device:
    """One GPU: its sizes, its memory, its kernels.

    Parameters
    ----------
    number : int
        As CUDA counts them.

    Attributes
    ----------
    processors : int
        Its multiprocessors.
    shared : int
        Bytes of dynamic shared memory that a block may ask for.
    """

    def __init__(self, number):
        import cupy

        self._cupy, self.number = cupy, number
        properties = cupy.cuda.runtime.getDeviceProperties(number)
        self.processors = properties["multiProcessorCount"]
        self.shared = properties["sharedMemPerBlockOptin"] - STATIC

    def empty(self, shape, dtype):
        """Return a C-contiguous array, not initialised."""
        return self._cupy.empty(shape, dtype)

    def address(self, array):
        """Return where an array starts in memory."""
        return array.data.ptr

    def launch(self, file, name, grid, block, args, shared=0):
        """Launch a kernel on the current stream.

        Parameters
        ----------
        file, name : str
            A file of kernels, and the instance.
        grid, block : int or tuple of int
        args : tuple
            Arrays, NumPy scalars, None for a null pointer.
        shared : int
            Bytes of dynamic shared memory.
        """
        most = self.shared if shared else 0
        kernel = _kernel(source(file), OPTIONS, name, self.number, most)
        args = tuple(np.uintp(0) if a is None else a for a in args)
        kernel(_dims(grid), _dims(block), args, shared_mem=shared)


def missing():
    """Return why no GPU can be used, in a line; None if one can."""
    try:
        import cupy
    except ImportError:
        return "No GPU: CuPy is not installed (pip install 'bnlib[gpu]')."
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"No GPU: {error}."
    return None if count else "No GPU: CUDA finds no device."


@cache
def device(number):
    """Return the `Device` of that number."""
    return Device(number)


@cache
def _kernel(source, options, name, number, shared):
    """Return a compiled kernel that may have so much dynamic shared memory.

    CuPy keeps the compiled code on disk besides.
    """
    import cupy

    with cupy.cuda.Device(number):
        module = cupy.RawModule(code=source, options=options, name_expressions=[name])
        kernel = module.get_function(name)
        if shared:  # above 48 KiB one must ask
            kernel.max_dynamic_shared_size_bytes = shared
        return kernel


def _dims(sizes):
    return (sizes,) if isinstance(sizes, int) else sizes
