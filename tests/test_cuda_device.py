"""The GPU's side of a launch, with a CuPy that is not one: NumPy and the emulator."""

import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from cuda_cases import check_batch

from bnlib import emulator
from bnlib.cuda import device as module

pytestmark = [
    pytest.mark.usefixtures("emulator_cache"),
    pytest.mark.skipif(emulator.compiler() is None, reason="no C++ compiler"),
]


class Module:
    """What `cupy.RawModule` is told, and its kernels on the emulator."""

    made = []  # noqa: RUF012

    def __init__(self, *, code, options, name_expressions):
        assert options == ("--std=c++17",)
        self.code, self.names = code, name_expressions
        self.made.append(name_expressions[0])

    def get_function(self, name):
        assert name in self.names
        return Kernel(emulator.compile(self.code, name))


class Kernel:
    def __init__(self, kernel):
        self.kernel = kernel
        self.max_dynamic_shared_size_bytes = 48 * 1024 - STATIC_OF_KERNEL

    def __call__(self, grid, block, args, *, shared_mem):
        assert isinstance(grid, tuple) and isinstance(block, tuple)
        # Python's own numbers would be passed with 64 bits.
        assert all(isinstance(a, np.ndarray | np.generic) for a in args)
        assert shared_mem <= self.max_dynamic_shared_size_bytes, "must be asked for"
        args = [None if isinstance(a, np.uintp) else a for a in args]
        self.kernel(grid, block, args, shared=shared_mem, orders=1)


STATIC_OF_KERNEL = 384


@pytest.fixture
def gpu(monkeypatch):
    sizes = {"multiProcessorCount": 2, "sharedMemPerBlockOptin": 100 * 1024}
    cuda = SimpleNamespace(
        Device=lambda number: nullcontext(),
        runtime=SimpleNamespace(getDeviceProperties=lambda number: sizes),
    )
    cupy = SimpleNamespace(empty=np.empty, RawModule=Module, cuda=cuda)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    module._kernel.cache_clear()
    Module.made.clear()
    device = module.Device(0)
    monkeypatch.setattr(device, "address", lambda array: 0)
    yield device
    module._kernel.cache_clear()


def test_kernels_are_compiled_once(gpu):
    for _ in range(2):
        check_batch(gpu, np, (3, 4, 8), step=4)
        check_batch(gpu, np, (3, 4, 8), step=4, affine=False)
    assert Module.made == ["forward_4<float, 4>", "backward_4<float, 4>"]


@pytest.mark.parametrize(
    ("shape", "slab"),
    [((15, 2, 28, 28), 94_080), ((61, 2, 10, 10), 48_800)],  # 49,152 with the kernel's
)
def test_a_large_slab_is_asked_for(gpu, shape, slab):
    assert slab == 2 * 4 * np.prod(shape) / shape[1]
    check_batch(gpu, np, shape, step=6)
    assert Module.made == ["forward_6<float, 4>", "backward_6<float, 4>"]


def test_grids_of_two_dimensions(gpu):
    check_batch(gpu, np, (40, 16))
    assert "merge_sums_7" in Module.made


def test_without_a_gpu_a_line_says_why():
    code = "from bnlib.cuda.device import missing; print(missing())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0
    lines = run.stdout.splitlines()
    assert len(lines) == 1
    assert lines[0] == "None" or lines[0].startswith("No GPU: ")


@pytest.mark.parametrize("error", [None, RuntimeError("driver too old")])
def test_no_device_and_no_driver(monkeypatch, error):
    def count():
        if error:
            raise error
        return 0

    runtime = SimpleNamespace(getDeviceCount=count, CUDARuntimeError=RuntimeError)
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert module.missing() == f"No GPU: {error or 'CUDA finds no device'}."
