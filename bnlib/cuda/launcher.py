"""Launches kernels of one file on a device, for arrays of one dtype.

A device is what knows the hardware, or stands in for it; see `device.Device`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bnlib.cuda.sources import KERNELS, instance


@dataclass(frozen=True)
class Launcher:
    """Names a kernel's instance and passes on its launch.

    Attributes
    ----------
    device : Device
    file : str
        The file of the kernels.
    dtype : str
        Name of the large arrays' dtype.
    values : int
        Values of a packet.
    centred : bool
        Whether a mean is subtracted, for kernels that ask.
    """

    device: Any
    file: str
    dtype: str
    values: int
    centred: bool = True

    def __call__(self, kernel, grid, block, args, shared=0):
        """Launch a kernel; ints are passed as unsigned, floats as float32."""
        own = {"T": self.dtype, "V": self.values, "B": self.centred}
        name = instance(kernel, *(own[kind] for kind in KERNELS[self.file][kernel]))
        args = tuple(_scalar(value) for value in args)
        self.device.launch(self.file, name, grid, block, args, shared)

    def floats(self, *shape):
        """Return a float32 array, not initialised."""
        return self.device.empty(shape, np.dtype(np.float32))


def _scalar(value):
    if isinstance(value, int):
        return np.uint32(value)
    return np.float32(value) if isinstance(value, float) else value
