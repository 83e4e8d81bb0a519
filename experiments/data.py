"""Real data: some that come with a package, and some that a reader may have.

Nothing here downloads anything. The book and its tests need `digits` only.
"""

import gzip
import os
import pickle
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

FOLDER = "BN_COURSE_DATA"
"""The environment variable that names the folder of the reader's own data."""


@dataclass(frozen=True)
class Data:
    """Inputs and classes, for training and for testing.

    Attributes
    ----------
    x, x_test : torch.Tensor
        Inputs, float32; the first axis counts examples.
    y, y_test : torch.Tensor
        Classes, int64, shape (N,).
    """

    x: torch.Tensor
    y: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor


def digits(*, images: bool = False, seed: int = 0, test: int = 397) -> Data:
    """Return the 1,797 handwritten digits that come with scikit-learn.

    Parameters
    ----------
    images : bool
        Inputs have shape (N, 1, 8, 8) if so, else (N, 64).
    seed : int
        Of the division into training and test examples.
    test : int
        How many examples to test with.

    Returns
    -------
    Data
        Ten classes. All pixels together have mean 0 and standard deviation 1 over the
        training examples.
    """
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    x = x[order].reshape((-1, 1, 8, 8) if images else (-1, 64))
    x = (x - x[test:].mean()) / x[test:].std()
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y[order])
    return Data(x[test:], y[test:], x[:test], y[:test])


# Data that a reader may have


def mnist(*, images: bool = False, count: int | None = None) -> Data:
    """Return MNIST's handwritten digits from the reader's folder.

    The folder that the environment variable `BN_COURSE_DATA` names holds the four
    original files (``train-images-idx3-ubyte`` and so on, packed with gzip or not), or
    its subfolder ``mnist`` or, as torchvision leaves them, ``MNIST/raw`` does.

    Parameters
    ----------
    images : bool
        Inputs have shape (N, 1, 28, 28) if so, else (N, 784).
    count : int, optional
        How many training examples to take, the first ones; None: all.

    Returns
    -------
    Data
        Ten classes; 60,000 and 10,000 examples in the original. All pixels together
        have mean 0 and standard deviation 1 over the training examples.

    Raises
    ------
    FileNotFoundError
        If the variable is not set, or names no folder that holds the files.
    ValueError
        If a file is not what its name says.
    """
    forms = ("", ".gz")
    names = [
        [f"{part}-{kind}{dot}idx{axes}-ubyte{form}" for dot in "-." for form in forms]
        for part in ("train", "t10k")
        for kind, axes in (("images", 3), ("labels", 1))
    ]
    paths = _find("MNIST", ("", "mnist", "MNIST/raw"), names)
    x, y, x_test, y_test = (
        _read_idx(path, axes) for path, axes in zip(paths, (3, 1, 3, 1), strict=True)
    )
    for pixels, classes, path in ((x, y, paths[1]), (x_test, y_test, paths[3])):
        if len(pixels) != len(classes):
            raise ValueError(
                f"{path} holds {len(classes)} labels for {len(pixels)} images; "
                "expected as many. The files are not of one data set: get all four anew"
            )
        _check_classes(path, classes)
    if x.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"{paths[2]} holds images of {x_test.shape[1:]} pixels and the training "
            f"file of {x.shape[1:]}; the files are not of one data set"
        )
    return _standardised(x[:, None], y, x_test[:, None], y_test, images, count)


def cifar10(*, images: bool = False, count: int | None = None) -> Data:
    """Return CIFAR-10's colour photographs from the reader's folder.

    The folder that the environment variable `BN_COURSE_DATA` names, or a subfolder with
    the name that the archive gives it, holds the files of the binary version
    (``cifar-10-batches-bin``, preferred) or of the Python version
    (``cifar-10-batches-py``, which torchvision gets). The latter are pickles; they are
    read by an unpickler that knows arrays and nothing else, so that a file with other
    contents is refused and not executed.

    Parameters
    ----------
    images : bool
        Inputs have shape (N, 3, 32, 32) if so, else (N, 3072).
    count : int, optional
        How many training examples to take, the first ones; None: all.

    Returns
    -------
    Data
        Ten classes; 50,000 and 10,000 examples in the original. Each colour has mean 0
        and standard deviation 1 over the training examples.

    Raises
    ------
    FileNotFoundError
        If the variable is not set, or names no folder that holds the files.
    ValueError
        If a file is not what its name says.
    """
    parts = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    places = ("", "cifar-10-batches-bin", "cifar-10-batches-py")
    paths = _find("CIFAR-10", places, [[f"{p}.bin", p] for p in parts])
    read = [
        _read_cifar_binary(p) if p.suffix == ".bin" else _read_cifar_pickle(p)
        for p in paths
    ]
    pixels = [x.reshape(-1, 3, 32, 32) for x, _ in read]
    classes = [y for _, y in read]
    return _standardised(
        np.concatenate(pixels[:-1]),
        np.concatenate(classes[:-1]),
        pixels[-1],
        classes[-1],
        images,
        count,
    )


def _find(what: str, places: Sequence[str], names: Sequence[Sequence[str]]) -> list:
    """Return the paths of a data set's files, all in one of some places.

    Each file may have several names; the first that exists is taken.
    """
    value = os.environ.get(FOLDER)
    wanted = f"the folder that holds {what}'s files ({names[0][0]}, ...)"
    if not value:
        raise FileNotFoundError(
            f"the environment variable {FOLDER} is not set; set it to {wanted}, or use "
            "digits(), which needs no files"
        )
    root = Path(value).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(
            f"{FOLDER} is {value!r}, and there is no such folder; set it to {wanted}"
        )
    found = [
        [next((p for n in of_file if (p := root / place / n).is_file()), None)
         for of_file in names]
        for place in places
    ]  # fmt: skip
    best = max(found, key=lambda paths: sum(p is not None for p in paths))
    if None not in best:
        return best
    lacking = [" or ".join(n[:2]) for n, p in zip(names, best, strict=True) if not p]
    where = next((p.parent for p in best if p), root)
    raise FileNotFoundError(
        f"{what}: {where} lacks {', '.join(lacking)}; expected all {len(names)} files "
        f"in {root} or in its subfolder {' or '.join(filter(None, places))}. Unpack "
        f"the archive there, or let {FOLDER} name the folder where it is"
    )


def _read_idx(path: Path, axes: int) -> np.ndarray:
    """Return the bytes of an idx file, packed or not, in their shape."""
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(
                f"{path} is a broken gzip file ({error}); get it anew"
            ) from error
    magic = bytes((0, 0, 8, axes))  # 8: unsigned bytes
    if raw[:4] != magic:
        raise ValueError(
            f"{path} begins with {raw[:4].hex(' ') or 'nothing'}; expected "
            f"{magic.hex(' ')}, an idx file of bytes with {axes} axes. Is it another "
            "file, or a page that a server sent in its place?"
        )
    if len(raw) < 4 + 4 * axes:
        raise ValueError(f"{path} ends within its header; get it anew")
    shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", axes, 4))
    size, start = int(np.prod(shape)), 4 + 4 * axes
    if len(raw) - start != size or size == 0:
        raise ValueError(
            f"{path} says that it holds {' × '.join(map(str, shape))} values and holds "
            f"{len(raw) - start} bytes of them; it is cut off or not whole: get it anew"
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def _read_cifar_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (N, 3072) and classes (N,) of a file of the binary version."""
    raw = np.fromfile(path, np.uint8)
    if len(raw) == 0 or len(raw) % 3073:
        raise ValueError(
            f"{path} has {len(raw)} bytes; expected a multiple of 3073, a class and "
            "3 × 32 × 32 pixels an image (30730000 in the original). It is cut off, or "
            "another file: get the archive cifar-10-binary.tar.gz anew"
        )
    rows = raw.reshape(-1, 3073)
    _check_classes(path, rows[:, 0])
    return rows[:, 1:], rows[:, 0]


class _Arrays(pickle.Unpickler):
    """Reads pickles of arrays in containers, and refuses to call anything else."""

    known = {  # noqa: RUF012
        **dict.fromkeys(
            (
                ("numpy.core.multiarray", "_reconstruct"),
                ("numpy._core.multiarray", "_reconstruct"),
            ),
            np.empty(0).__reduce__()[0],
        ),
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str):
        """Return what an array needs."""
        try:
            return self.known[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def _read_cifar_pickle(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (N, 3072) and classes (N,) of a file of the Python version."""
    try:
        with path.open("rb") as file:
            content = _Arrays(file, encoding="bytes").load()
        content = {
            k.decode() if isinstance(k, bytes) else k: v for k, v in content.items()
        }
        x, y = np.asarray(content["data"]), np.asarray(content["labels"])
    except Exception as error:  # a broken pickle may raise anything
        raise ValueError(
            f"{path} is not a batch of CIFAR-10's Python version "
            f"({type(error).__name__}: {error}); it was not executed. Get "
            "cifar-10-python.tar.gz or, better, cifar-10-binary.tar.gz anew"
        ) from error
    if x.dtype != np.uint8 or x.shape != (len(y), 3072) or not len(y):
        raise ValueError(
            f"{path} holds pixels of shape {x.shape} and type {x.dtype} for {len(y)} "
            "classes; expected (N, 3072) unsigned bytes for N classes"
        )
    _check_classes(path, y)
    return x, y


def _check_classes(path: Path, y: np.ndarray) -> None:
    if y.dtype.kind not in "ui" or y.min() < 0 or y.max() > 9:
        raise ValueError(
            f"{path} holds classes from {y.min()} to {y.max()}; expected integers from "
            "0 to 9. It is damaged or of another data set"
        )


def _standardised(x, y, x_test, y_test, images: bool, count: int | None) -> Data:
    """Return bytes (N, C, H, W) as data whose channels have mean 0 and deviation 1."""
    x, y = x[:count], y[:count]
    channels = range(x.shape[1])  # one by one: less memory
    mean = np.array([x[:, c].mean() for c in channels], np.float32)[:, None, None]
    sd = np.array([x[:, c].std() for c in channels], np.float32)[:, None, None]

    def inputs(pixels: np.ndarray) -> torch.Tensor:
        z = pixels.astype(np.float32)
        z -= mean
        z /= sd
        return torch.from_numpy(z if images else z.reshape(len(z), -1))

    def classes(labels: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(labels.astype(np.int64))

    return Data(inputs(x), classes(y), inputs(x_test), classes(y_test))
