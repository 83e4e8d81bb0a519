"""Which implementation computes a norm: the reference or a faster kernel.

A tier is a module with `forward` and `backward`, whose arguments are those of
`_formula`'s and `out`. Either returns None where it does not take the input; then the
next simpler tier is asked, and `_formula`, which takes all, at last. Every forward pass
makes the same cache, so that any backward pass follows any forward pass.
"""

from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache as memoise
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

from bnlib import _formula
from bnlib._arguments import check_shape, namespace, type_name
from bnlib._formula import check_cache


class Tier(NamedTuple):
    """Where a tier's kernels are, and when to ask them."""

    module: str
    arrays: str  # the library whose arrays it takes
    needs: str  # a package that must be installed
    extra: str = ""  # bnlib's extra that installs it
    least: int = 0  # number of values, below which it is not the default


TIERS = {  # best first
    "fused": Tier("bnlib.cpu.fused", "numpy", "numba", "fast", least=2**14),
    "numpy": Tier("bnlib.cpu.blocked", "numpy", "numpy", least=2**18),
}
_forced = ContextVar("bnlib_kernels", default=None)


@contextmanager
def kernels(tier):
    """Choose how batch, layer, group, instance and RMS norm compute in a with block.

    Without it the best tier that is installed and takes the input computes; small
    inputs go to the reference. Each tier is as accurate as the reference; results
    differ in the last digits.

    But: this chooses for the present thread (or asynchronous task) only.

    Parameters
    ----------
    tier : {"reference", "numpy", "fused"}
        The formula as written, for any array library; blocks that stay in the cache,
        with NumPy alone; or compiled loops that read and write once a pass (Numba:
        ``pip install 'bnlib[fast]'``). An input that a tier does not take goes to the
        next simpler one: these two take NumPy arrays of float32 or float64 whose
        memory has no gaps. Both use as many threads as the environment variable
        OMP_NUM_THREADS says, or as there are cores.

    Raises
    ------
    ValueError
        If there is no such tier.
    ImportError
        If what the tier needs is not installed, or does not work.

    Examples
    --------
    >>> with bnlib.kernels("numpy"):
    ...     y, cache = bnlib.batch_norm(x, gamma, beta)
    """
    if tier not in (*TIERS, "reference"):
        known = ", ".join(("reference", *reversed(TIERS)))
        raise ValueError(f"tier is {tier!r}; expected one of {known}")
    if tier in TIERS:
        _, _, needs, extra, _ = TIERS[tier]
        if not _installed(needs):
            raise ModuleNotFoundError(
                f"tier is {tier!r} but {needs} is not installed: "
                f"pip install 'bnlib[{extra}]'"
            )
        import_module(TIERS[tier].module)  # says what is wrong, if it does not work
    token = _forced.set(tier)
    try:
        yield
    finally:
        _forced.reset(token)


@memoise
def _installed(package):
    return find_spec(package) is not None


@memoise
def _load(name):
    """Return a tier's module, or None where it does not work here.

    Numba, for one, refuses some versions of NumPy, and a disk that it cannot write to.
    """
    try:
        return import_module(TIERS[name].module)
    except (ImportError, RuntimeError):
        return None


def candidates(x):
    """Return the names of the fast tiers to try for x, in order."""
    forced = _forced.get()
    if forced == "reference":
        return []
    names = list(TIERS)
    names = names[names.index(forced) if forced else 0 :]
    library = type(x).__module__.partition(".")[0]
    return [
        name
        for name in names
        if TIERS[name].arrays == library and (forced or x.size >= TIERS[name].least)
    ]


def forward(norm, x, *args, out=None, **options):
    """Compute `_formula.forward` by the best tier that takes x, into `out` if given.

    Raises
    ------
    TypeError, ValueError
        As the formula; also if `out` does not fit x or overlaps it.
    """
    check_out(out, x=x)
    for name in candidates(x):
        if module := _load(name):
            result = module.forward(norm, x, *args, out=out, **options)
            if result is not None:
                return result
    y, cache = _formula.forward(norm, x, *args, **options)
    return _into(out, y), cache


def backward(norm, dy, cache, *, out=None):
    """Compute `_formula.backward` by the best tier, dx into `out` if given.

    Raises
    ------
    TypeError, ValueError
        As the formula; also if `out` does not fit x or overlaps x or dy.
    """
    check_cache(cache, norm)
    x = cache.x
    namespace(dy=dy, x=x)
    check_shape("dy", dy, x.shape, "the shape of x")
    check_out(out, x=x, dy=dy)
    for name in candidates(x):
        if module := _load(name):
            result = module.backward(norm, dy, cache, out=out)
            if result is not None:
                return result
    dx, dgamma, dbeta = _formula.backward(norm, dy, cache)
    return _into(out, dx), dgamma, dbeta


def check_out(out, **inputs):
    """Check an output array against x, the first input, and that it overlaps none."""
    if out is None:
        return
    x = inputs["x"]
    xp = namespace(out=out, x=x)
    check_shape("out", out, x.shape, "the shape of x")
    if out.dtype != x.dtype:
        raise TypeError(f"out has dtype {out.dtype}; expected {x.dtype}, as x")
    if not hasattr(xp, "may_share_memory"):
        raise TypeError(
            f"out is a {type_name(out)}; only NumPy and CuPy arrays are written to"
        )
    if not getattr(out.flags, "writeable", True):  # CuPy's always are
        raise ValueError("out is read-only; expected an array that can be written to")
    for name, array in inputs.items():
        if xp.may_share_memory(out, array):
            raise ValueError(f"out overlaps {name}; expected memory of its own")


def _into(out, result):
    if out is None:
        return result
    out[...] = result
    return out
