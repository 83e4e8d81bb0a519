"""What the GPU benchmark counts; that it says so where there is no GPU."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rich")

from benchmarks import gpu
from bnlib.cuda.device import missing


def test_all_resnet_shapes_are_timed():
    cases = gpu.cases()
    assert len(cases) == len(set(cases)) == 12 * 2 * 2 * 2
    assert ((32, 64, 112, 112), "float32", "NCHW") in cases
    assert ((256, 2048, 7, 7), "float16", "NHWC") in cases


@pytest.mark.parametrize(
    ("direction", "step", "arrays"),
    [("forward", 5, 3), ("forward", 6, 2), ("backward", 7, 5), ("backward", 6, 3)],
)
def test_ideal_bytes(direction, step, arrays):
    assert gpu.ideal_bytes(1000, 2, direction, step) == arrays * 2000


def test_inputs_outgrow_the_cache():
    assert gpu.rotation(10, 100) == 40
    assert gpu.rotation(10**9, 100) == 2


def test_summary():
    def row(shape, ours, torch, cupy):
        times = {"bnlib": ours, "torch": torch, "cupy": cupy, "bytes": 100}
        return {"shape": shape, "forward": times, "backward": times}

    rows = [row((2**26, 1), 2.0, 4.0, 8.0), row((10, 1), 1.0, 0.5, 4.0)]
    found = gpu.summary(rows, bandwidth=100)
    assert found["forward"] == {
        "mean over torch": pytest.approx(1.0),
        "least over torch": 0.5,
        "mean over CuPy": pytest.approx(4.0),
        "least of bandwidth": 0.5,
    }
    assert gpu.summary(rows[1:], 100)["backward"]["least of bandwidth"] is None


@pytest.mark.skipif(missing() is None, reason="there is a GPU")
def test_without_a_gpu_the_benchmark_says_so_in_a_line():
    script = Path(gpu.__file__)
    before = gpu.RESULT.exists()
    run = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert run.returncode == 0 and not run.stderr
    assert run.stdout.rstrip().splitlines() == [f"{missing()} Nothing is measured."]
    assert gpu.RESULT.exists() == before
