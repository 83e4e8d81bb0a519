"""Compile every CUDA kernel for every architecture, without a GPU.

``python benchmarks/cuda_registers.py`` (some minutes) writes
``benchmarks/results/cuda_registers.json``: for each instance of each kernel, the
registers of a thread, the bytes that it spills and the static shared memory of a block.
With the digest of each source, so that a test tells when the record is out of date.
"""

import hashlib
import json
import re
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from cuda.bindings import nvrtc
from cuda.pathfinder import find_nvidia_header_directory

from bnlib.cuda.sources import KERNELS, OPTIONS, instances, source

RESULT = Path(__file__).parent / "results" / "cuda_registers.json"
# Turing, the oldest that CUDA 13 compiles for, to Blackwell.
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100")
ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?"
    r"(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers(?:[^\n]*?(?P<shared>\d+) bytes smem)?",
    re.S,
)


def compile_for(architecture, file, names):
    """Compile instances of a file's kernels to machine code.

    Parameters
    ----------
    architecture : str
        ``"sm_90"``.
    file : str
        As in `bnlib.cuda.sources`.
    names : list of str
        Of instances.

    Returns
    -------
    dict of str to [registers, spilled bytes, bytes of static shared memory]

    Raises
    ------
    RuntimeError
        If NVRTC does not compile it, with what it says.
    """
    program = _checked(nvrtc.nvrtcCreateProgram(source(file).encode(), b"", 0, [], []))
    for name in names:
        _checked(nvrtc.nvrtcAddNameExpression(program, name.encode()))
    options = [
        *OPTIONS,
        f"--gpu-architecture={architecture}",
        f"--include-path={find_nvidia_header_directory('cudart')}",
        "--ptxas-options=-v",
    ]
    (result,) = nvrtc.nvrtcCompileProgram(
        program, len(options), [option.encode() for option in options]
    )
    log = bytearray(_checked(nvrtc.nvrtcGetProgramLogSize(program)))
    _checked(nvrtc.nvrtcGetProgramLog(program, log))
    log = log.decode().rstrip("\0")
    if result != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise RuntimeError(f"{file} for {architecture}: {result.name}\n{log}")
    found = {entry["name"]: _usage(entry) for entry in ENTRY.finditer(log)}
    return {
        name: found[
            _checked(nvrtc.nvrtcGetLoweredName(program, name.encode())).decode()
        ]
        for name in names
    }


def _usage(entry):
    spilled = int(entry["stores"]) + int(entry["loads"])
    return [int(entry["registers"]), spilled, int(entry["shared"] or 0)]


def _checked(answer):
    result, *values = answer
    if result != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise RuntimeError(result.name)
    return values[0] if values else None


def digest(file):
    """Return what tells whether a file's kernels have changed."""
    text = "\0".join([source(file), *OPTIONS])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def main():
    """Compile what has changed since the last record, write the record."""
    before = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    record = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "nvrtc": metadata.version("nvidia-cuda-nvrtc"),
        "columns": ["registers", "spilled bytes", "static shared bytes"],
        "architectures": list(ARCHITECTURES),
        "sources": {file: digest(file) for file in KERNELS},
    }
    same = all(before.get(k) == record[k] for k in ("nvrtc", "architectures"))
    kernels = {}
    for file in KERNELS:
        names = instances(file)
        if same and before["sources"].get(file) == digest(file):
            kernels |= {name: before["kernels"][name] for name in names}
            continue
        print(f"{file}: {len(names)} instances ...", flush=True)
        usage = {a: compile_for(a, file, names) for a in ARCHITECTURES}
        kernels |= {name: [usage[a][name] for a in ARCHITECTURES] for name in names}
    # A kernel a line: what belongs together is read and compared together.
    rows = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in kernels.items())
    head = json.dumps(record, indent=1).removesuffix("\n}")
    RESULT.write_text(f'{head},\n "kernels": {{\n{rows}\n }}\n}}\n', encoding="utf-8")
    most = max(usage[0] for row in kernels.values() for usage in row)
    spills = sum(usage[1] for row in kernels.values() for usage in row)
    print(f"{len(kernels)} kernels: at most {most} registers, {spills} bytes spilled")


if __name__ == "__main__":
    main()
