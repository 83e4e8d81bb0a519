"""The loaders of data that a reader may have, on small files in their formats."""

import gzip
import pickle
import pickletools

import numpy as np
import pytest
import torch

from experiments.data import FOLDER, cifar10, mnist

NAMES = {
    "train-images-idx3-ubyte": (30, 28, 28),
    "train-labels-idx1-ubyte": (30,),
    "t10k-images-idx3-ubyte": (12, 28, 28),
    "t10k-labels-idx1-ubyte": (12,),
}
PARTS = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]


def idx(array):
    header = bytes((0, 0, 8, array.ndim))
    return header + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return tmp_path


@pytest.fixture
def digits_written(folder):
    """MNIST's four files, and what they hold."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in NAMES.items():
        most = 10 if len(shape) == 1 else 256
        arrays[name] = rng.integers(0, most, shape).astype(np.uint8)
        (folder / name).write_bytes(idx(arrays[name]))
    return arrays


def photographs(k, n=7):
    rng = np.random.default_rng(k)
    x = rng.integers(0, 256, (n, 3072)).astype(np.uint8)
    return x, rng.integers(0, 10, n)


def write_binary(folder, n=7):
    folder.mkdir(exist_ok=True)
    for k, part in enumerate(PARTS):
        x, y = photographs(k, n)
        rows = np.concatenate([y[:, None].astype(np.uint8), x], 1)
        (folder / f"{part}.bin").write_bytes(rows.tobytes())


def as_python_2(raw):
    """Return a pickle of protocol 3 as Python 2 wrote it: with byte strings only."""
    old = bytearray(raw)
    strings = {"BINUNICODE": b"T", "BINBYTES": b"T", "SHORT_BINBYTES": b"U"}
    for opcode, _, place in pickletools.genops(raw):
        if opcode.name in strings:
            old[place : place + 1] = strings[opcode.name]
    old[1:2] = b"\x02"
    return bytes(old).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def write_pickles(folder, keys=str.encode, form=as_python_2):
    folder.mkdir(exist_ok=True)
    for k, part in enumerate(PARTS):
        x, y = photographs(k)
        content = {
            keys("batch_label"): b"one",
            keys("labels"): y.tolist(),
            keys("data"): x,
            keys("filenames"): [b"a.png"] * len(y),
        }
        (folder / part).write_bytes(form(pickle.dumps(content, protocol=3)))


def same(one, other):
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def check_standard(data):
    for channel in data.x.double().unbind(1):
        assert abs(channel.mean()) < 1e-5
        assert abs(channel.std(correction=0) - 1) < 1e-5
    assert data.x.dtype == data.x_test.dtype == torch.float32
    assert data.y.dtype == data.y_test.dtype == torch.int64


def test_mnist(digits_written):
    data = mnist(images=True)
    check_standard(data)
    assert data.x.shape == (30, 1, 28, 28) and data.x_test.shape == (12, 1, 28, 28)
    assert data.y.tolist() == digits_written["train-labels-idx1-ubyte"].tolist()
    assert data.y_test.tolist() == digits_written["t10k-labels-idx1-ubyte"].tolist()
    pixels = digits_written["train-images-idx3-ubyte"].astype(float)
    test = digits_written["t10k-images-idx3-ubyte"].astype(float)
    for z, raw in ((data.x, pixels), (data.x_test, test)):
        expected = (raw - pixels.mean()) / pixels.std()
        np.testing.assert_allclose(z[:, 0], expected, atol=1e-5)
    flat = mnist(count=10)
    assert flat.x.shape == (10, 784) and flat.x_test.shape == (12, 784)
    assert abs(flat.x.mean()) < 1e-5  # of those ten


@pytest.mark.parametrize("place", ["", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("form", ["gz", "dots"])
def test_mnist_in_other_places_and_forms(place, form, folder, digits_written):
    expected = mnist()
    (folder / place).mkdir(exist_ok=True, parents=True)
    for name in NAMES:
        raw = (folder / name).read_bytes()
        (folder / name).unlink()
        if form == "gz":
            (folder / place / f"{name}.gz").write_bytes(gzip.compress(raw))
        else:
            (folder / place / name.replace("-idx", ".idx")).write_bytes(raw)
    assert same(expected, mnist())


@pytest.mark.parametrize("place", ["", "cifar-10-batches-bin"])
def test_cifar10_binary(place, folder):
    write_binary(folder / place)
    data = cifar10(images=True)
    check_standard(data)
    assert data.x.shape == (35, 3, 32, 32) and data.x_test.shape == (7, 3, 32, 32)
    x = np.concatenate([photographs(k)[0] for k in range(5)]).reshape(-1, 3, 1024)
    assert data.y.tolist() == [c for k in range(5) for c in photographs(k)[1]]
    assert data.y_test.tolist() == photographs(5)[1].tolist()
    green = (x[:, 1] - x[:, 1].mean()) / x[:, 1].std()
    np.testing.assert_allclose(data.x[:, 1].flatten(1), green, atol=1e-5)
    assert cifar10(count=8).x.shape == (8, 3072)


@pytest.mark.parametrize(
    ("keys", "form"), [(str.encode, as_python_2), (str.encode, bytes), (str, bytes)]
)
def test_cifar10_pickles_hold_the_same(keys, form, folder):
    write_pickles(folder / "cifar-10-batches-py", keys, form)
    pickled = cifar10()
    write_binary(folder / "cifar-10-batches-bin")
    for one, other in zip(
        vars(pickled).values(), vars(cifar10()).values(), strict=True
    ):
        assert torch.equal(one, other)


class Attack:
    def __reduce__(self):
        return (open, ("attacked", "w"))


@pytest.mark.parametrize("content", [Attack(), {b"data": Attack(), b"labels": [1]}])
def test_a_pickle_that_calls_something_is_refused(content, folder, monkeypatch):
    monkeypatch.chdir(folder)
    write_pickles(folder)
    (folder / "data_batch_3").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=r"data_batch_3 .*open.* not executed"):
        cifar10()
    assert not (folder / "attacked").exists()


def test_the_variable_is_not_set(monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    for load in (mnist, cifar10):
        with pytest.raises(
            FileNotFoundError, match=r"BN_COURSE_DATA is not set; .*use"
        ):
            load()


def test_there_is_no_such_folder(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER, str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        mnist()


def test_a_file_is_missing(folder, digits_written):
    with pytest.raises(FileNotFoundError, match=r"data_batch_1\.bin or data_batch_1, "):
        cifar10()
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="lacks t10k-labels-idx1-ubyte or"):
        mnist()


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (IMAGES, lambda raw: b"<html>", "begins with 3c 68 74 6d"),
        (IMAGES, lambda raw: b"", "begins with nothing"),
        (IMAGES, lambda raw: raw[:9], "within its header"),
        (IMAGES, lambda raw: raw[:-5], r"30 × 28 × 28 values and holds 23515 bytes"),
        (IMAGES, lambda raw: raw + b"x", "30 × 28 × 28 values"),
        (IMAGES, lambda raw: gzip.compress(raw)[:-9], "broken gzip"),
        (IMAGES, lambda raw: b"\x1f\x8b" + raw, "broken gzip"),
        (LABELS, lambda raw: idx(np.zeros(29, np.uint8)), "29 labels for 30 images"),
        (LABELS, lambda raw: raw[:-1] + b"\x0a", "to 10; expected integers from"),
        (LABELS, lambda raw: idx(np.zeros((30, 1), np.uint8)), "00 00 08 01"),
    ],
)
def test_a_damaged_idx_file(name, change, message, folder, digits_written):
    path = folder / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=message) as error:
        mnist()
    assert name in str(error.value)


@pytest.mark.parametrize(
    ("raw", "message"),
    [(b"", "0 bytes"), (b"x" * 3074, "3074 bytes"), (b"\x0b" * 3073, "from 11 to 11")],
)
def test_a_damaged_binary_batch(raw, message, folder):
    write_binary(folder)
    (folder / "test_batch.bin").write_bytes(raw)
    with pytest.raises(ValueError, match=message):
        cifar10()


@pytest.mark.parametrize(
    "content",
    [
        {b"labels": [1]},
        {b"data": np.zeros((1, 3071), np.uint8), b"labels": [1]},
        {b"data": np.zeros((1, 3072)), b"labels": [1]},
        {b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]},
        [1, 2],
    ],
)
def test_a_damaged_pickle(content, folder):
    write_pickles(folder)
    (folder / "data_batch_2").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match="data_batch_2"):
        cifar10()
    (folder / "data_batch_2").write_bytes(b"no pickle")
    with pytest.raises(ValueError, match="data_batch_2"):
        cifar10()
