"""Batch, layer and RMS norm on an NVIDIA GPU: CUDA kernels, through CuPy.

The kernels are a ladder, one file a step, each with what it changes and why:
`batch_2_two_pass.cu` to `batch_7_channels_last.cu` (step 1 is `bnlib._formula` on CuPy
arrays), and `rows.cu`. `shapes` chooses the step and the sizes of a launch; `channels`
and `rows` launch; `device` is the GPU. All but `device` runs without one, on the
emulator (`bnlib.emulator`).

`forward` and `backward` take the arguments of `bnlib._formula`'s and return the same,
or None for what no kernel takes: CuPy arrays of float32, float16 or bfloat16 with fewer
than 2**31 values and no gaps in memory (contiguous, transposed or channels-last), eps
above 0. Statistics and sums are float32, by formulas that keep their digits where the
mean is large.

But: whether gamma and beta are finite is not checked; the CPU would wait for the GPU.

Importing this imports neither CuPy nor anything else that needs a GPU.
"""

from bnlib.cuda import tier
from bnlib.cuda.tier import takes

__all__ = ["backward", "forward", "inference", "takes"]


def forward(norm, x, *args, **options):
    """Compute `bnlib._formula.forward`, or return None; see `tier.forward`."""
    with x.device:
        return tier.forward(_device_of(x), norm, x, *args, **options)


def backward(norm, dy, cache, **options):
    """Compute `bnlib._formula.backward`, or return None; see `tier.backward`."""
    with dy.device:
        return tier.backward(_device_of(dy), norm, dy, cache, **options)


def inference(x, gamma, beta, mean, var, **options):
    """Compute batch norm from given statistics; see `tier.inference`."""
    with x.device:
        return tier.inference(_device_of(x), x, gamma, beta, mean, var, **options)


def _device_of(x):
    from bnlib.cuda.device import device

    return device(x.device.id)
