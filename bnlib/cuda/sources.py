"""The text of the kernels: which files one needs, and what it is called."""

from functools import cache
from itertools import product
from pathlib import Path

HERE = Path(__file__).parent
# A file may use what stands in those before it.
PARTS = {
    "batch_2_two_pass": ("common",),
    "batch_3_welford": ("common",),
    "batch_4_wide": ("common",),
    "batch_5_split": ("common", "batch_4_wide"),
    "batch_6_one_read": ("common", "batch_4_wide"),
    "batch_7_channels_last": ("common", "batch_4_wide"),
    "rows": ("common", "batch_4_wide", "batch_7_channels_last"),
}
# Each step of the ladder by its number.
BATCH = {int(file.split("_")[1]): file for file in PARTS if file.startswith("batch")}
# The kernels of each file, and what their templates are instantiated with: the dtype T,
# the values V of a packet, and whether a mean is subtracted.
KERNELS = {
    "batch_2_two_pass": {"forward_2": "T", "backward_2": "T"},
    "batch_3_welford": {"forward_3": "T", "backward_3": "T"},
    "batch_4_wide": {"forward_4": "TV", "backward_4": "TV"},
    "batch_5_split": {
        "moments_5": "TV",
        "forward_5": "TV",
        "sums_5": "TV",
        "backward_5": "TV",
        "inference_5": "TV",
    },
    "batch_6_one_read": {"forward_6": "TV", "backward_6": "TV"},
    "batch_7_channels_last": {
        "moments_7": "TV",
        "merge_moments_7": "T",
        "forward_7": "TV",
        "sums_7": "TV",
        "merge_sums_7": "",
        "backward_7": "TV",
    },
    "rows": {
        "forward_rows": "TVB",
        "backward_rows": "TVB",
        "parameters_rows": "TVB",
        "merge_parameters": "",
    },
}
TYPES = {"float32": "float", "float16": "__half", "bfloat16": "__nv_bfloat16"}
SIZES = {"float32": 4, "float16": 2, "bfloat16": 2}
OPTIONS = ("--std=c++17",)


def widths(itemsize):
    """Return how many values a packet may have: 16 bytes, 8, or one value."""
    return 16 // itemsize, 8 // itemsize, 1


@cache
def source(file):
    """Return CUDA C++: one of the files, after those that it uses."""
    texts = [HERE / f"{part}.cu" for part in (*PARTS[file], file)]
    return "\n".join(text.read_text(encoding="utf-8") for text in texts)


def instance(kernel, *arguments):
    """Return the name of a kernel with template arguments.

    Parameters
    ----------
    kernel : str
    *arguments : str, int or bool
        Names of dtypes become C++ types.
    """
    words = [TYPES.get(a, str(a).lower()) for a in arguments]
    return f"{kernel}<{', '.join(words)}>" if words else kernel


def instances(file):
    """Return the names of all kernels of a file that may be launched."""
    return [
        instance(kernel, *arguments)
        for kernel, kinds in KERNELS[file].items()
        for arguments in _arguments(kinds)
    ]


def _arguments(kinds):
    if not kinds:
        return [()]
    types = [
        (dtype, *((values,) if "V" in kinds else ()))
        for dtype in TYPES
        for values in (widths(SIZES[dtype]) if "V" in kinds else (None,))
    ]
    centred = [(True,), (False,)] if "B" in kinds else [()]
    return [one + other for one, other in product(types, centred)]
