"""Every CUDA kernel compiles for every architecture, and spills no register.

All instances took minutes to compile; a record has what came of it
(`benchmarks/cuda_registers.py`). Here: whether the record is that of the present
sources, and some instances once more.
"""

import itertools
import json
from pathlib import Path

import pytest

from bnlib.cuda.device import STATIC
from bnlib.cuda.sources import KERNELS, instances

RECORD = json.loads(
    (Path(__file__).parents[1] / "benchmarks/results/cuda_registers.json").read_text()
)
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100")
WHERE = [(kernel, file) for file in KERNELS for kernel in instances(file)]


@pytest.fixture(scope="module")
def registers():
    pytest.importorskip("cuda.bindings.nvrtc", reason="no cuda-bindings")
    from benchmarks import cuda_registers

    return cuda_registers


def test_the_record_is_of_these_sources(registers):
    assert RECORD["architectures"] == list(ARCHITECTURES)
    assert list(RECORD["kernels"]) == [kernel for kernel, _ in WHERE]
    stale = [f for f in KERNELS if RECORD["sources"][f] != registers.digest(f)]
    assert not stale, "run python benchmarks/cuda_registers.py"


def test_no_kernel_spills():
    spills = {
        (kernel, architecture): spilled
        for kernel, rows in RECORD["kernels"].items()
        for architecture, (_, spilled, _) in zip(ARCHITECTURES, rows, strict=True)
        if spilled
    }
    assert not spills


def test_shared_memory_beside_the_slab():
    for kernel, file in WHERE:
        for _, _, shared in RECORD["kernels"][kernel]:
            assert shared <= (STATIC if file == "batch_6_one_read" else 48 * 1024)


@pytest.mark.parametrize(
    ("file", "architecture"),
    list(zip(KERNELS, itertools.cycle(ARCHITECTURES), strict=False)),
)
def test_compiles_as_recorded(registers, file, architecture):
    # The first instance of each kernel is a wide one, in float32.
    chosen = [
        next(n for n in instances(file) if n.startswith(k)) for k in KERNELS[file]
    ]
    usage = registers.compile_for(architecture, file, chosen)
    assert list(usage) == chosen
    for name, (used, spilled, _) in usage.items():
        assert 0 < used <= 255 and spilled == 0
        if registers.metadata.version("nvidia-cuda-nvrtc") == RECORD["nvrtc"]:
            recorded = RECORD["kernels"][name][ARCHITECTURES.index(architecture)]
            assert usage[name] == recorded


def test_spills_are_seen(registers, monkeypatch):
    # Two blocks of 1024 threads leave a thread 32 registers.
    bound = registers.source("batch_4_wide").replace("(1024)", "(1024, 2)")
    monkeypatch.setattr(registers, "source", lambda file: bound)
    name = "backward_4<float, 4>"
    used, spilled, _ = registers.compile_for("sm_90", "batch_4_wide", [name])[name]
    assert used <= 32 and spilled > 0


def test_errors_are_shown(registers):
    with pytest.raises(RuntimeError, match=r"batch_4_wide for sm_90: (.|\n)*forward_9"):
        registers.compile_for("sm_90", "batch_4_wide", ["forward_9<float, 4>"])
