"""The learner's kernel on the learner's GPU, where there are CuPy and a device.

But: not when graded. What decides is the emulator, which is the same for all.
"""

import re

import numpy as np

PLAIN = re.compile(r'(?<!"C" )__global__')  # its name is not kept as it stands
SCALARS = {int: np.int32, float: np.float32}


def gpu_is_there():
    """Whether there are CuPy and a device."""
    try:
        import cupy

        return cupy.cuda.is_available()
    except Exception:  # no CuPy, or one that does not fit the driver
        return False


def launch_on_gpu(source, name, launches):
    """Return the kernel's arguments after each launch, as NumPy arrays and scalars."""
    import cupy

    kernel = cupy.RawKernel(PLAIN.sub('extern "C" __global__', source), name)
    done = []
    for grid, block, arguments in launches:
        given = [SCALARS.get(type(a), cupy.asarray)(a) for a in arguments]
        kernel((grid,), (block,), tuple(given))
        done.append([cupy.asnumpy(a) for a in given])
    return done
