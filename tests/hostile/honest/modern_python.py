# Type hints, f-strings, decorators, a cache, a dataclass, pattern matching.
# expect: 20
# rest: right

# %% train
from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache, wraps
from typing import NamedTuple


@dataclass(frozen=True)
class Settings:
    eps: float = 1e-5
    names: list[str] = field(default_factory=list)


class Moments(NamedTuple):
    mean: np.ndarray
    var: np.ndarray


@lru_cache(maxsize=None)
def axis_of(what: str) -> int:
    match what:
        case "batch":
            return 0
        case _:
            raise ValueError(f"{what!r} is unknown")


def logged(function):
    @wraps(function)
    def wrapper(*arguments, **options):
        print(f"{function.__name__}: {len(arguments)} arguments, {options=}")
        return function(*arguments, **options)

    return wrapper


@logged
def batch_norm_train(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float = Settings().eps
) -> tuple[np.ndarray, ...]:
    axis = axis_of("batch")
    moments = Moments(x.mean(axis=axis), x.var(axis=axis))
    y = gamma * (x - moments.mean) / np.sqrt(moments.var + eps) + beta
    return y, *moments
