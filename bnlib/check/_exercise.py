"""An exercise: a formula, inputs to try it on, and the mistakes people make.

The formula is written once, with a keyword (a "knob") for each way of getting it wrong.
Turned to nothing, it is the truth; turned, it is a wrong version, and a learner whose
results equal those of a wrong version is told which one. Two knobs turned at once
explain two mistakes at once.

But: no sandbox here. The learner's function runs in this process.
"""

import copy
import inspect
import linecache
import re
import textwrap
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np

from bnlib.check._book import book_address

OURS = tuple(str(Path(__file__).parents[2] / name) for name in ("bnlib", "grading"))
CODE = re.compile("`[^`]+`")
NO_BREAK = "\N{NO-BREAK SPACE}"
SLIGHT = 1e-5  # an error that is small, relative to the largest entry
SWAPS = {"order", "swapped", "crossed"}  # knobs that exchange one output for another


class CheckFailed(AssertionError):
    """The learner's function is not right yet; the message says what to look at."""

    def _render_traceback_(self):
        # IPython shows these lines instead of a traceback through this file.
        return [str(self)]


@dataclass(frozen=True)
class Case:
    """One input on which the learner's result is compared with the formula's.

    Attributes
    ----------
    what : str
        The input in a learner's words: "x of shape (6, 4), float32".
    arguments : tuple
        Positional arguments of the learner's function.
    options : dict
        Keyword arguments.
    tolerance : float
        Largest allowed difference, relative to the largest entry of the right result.
    hint : str
        What to say besides if this is the first input that fails, and no known mistake
        explains it.
    """

    what: str
    arguments: tuple
    options: dict = field(default_factory=dict)
    tolerance: float = 1e-9
    hint: str = ""
    known: dict = field(default_factory=dict, init=False, repr=False)  # once computed


@dataclass(frozen=True)
class Mistake:
    """A way to get the formula wrong.

    Attributes
    ----------
    message : str
        What the learner did, why it is wrong, and what is right: a few sentences.
    knobs : dict
        Keyword arguments that make the formula wrong in this way.
    alone : bool
        Whether it is tried alone only, never as one of two mistakes at once, which
        takes time where there are many.
    """

    message: str
    knobs: dict
    alone: bool = False


@dataclass(frozen=True, eq=False)
class Exercise:
    """A check, to be called with the learner's function.

    Attributes
    ----------
    name : str
        Name of the function or class that the learner writes.
    outputs : tuple of str
        Names of what it returns, in order.
    formula : callable
        ``formula(*arguments, **options, **knobs)`` returns the outputs as float64
        arrays, in a tuple.
    cases : callable
        ``cases(rng)`` returns a list of `Case`.
    mistakes : tuple of Mistake
        Likeliest first.
    section : str
        Label of the section of the book that explains it: "forward-training".
    examine : tuple of str
        Outputs in the order in which to put them right (statistics before y); by
        default as returned.
    run : callable, optional
        ``run(learner, *arguments, **options)`` where a plain call will not do (a class
        to instantiate and step).
    changed : str
        What to say to a learner whose function changes its input. Where it is about
        x, something else is said of other arguments.
    called : dict
        What a learner calls an argument of the formula, where that is another name.
    page : str
        The book's page that holds the section, where its label does not begin with the
        page's name: "one_picture" for "one-picture-group".
    """

    name: str
    outputs: tuple[str, ...]
    formula: Callable
    cases: Callable
    mistakes: tuple[Mistake, ...]
    section: str
    examine: tuple[str, ...] = ()
    run: Callable | None = None
    changed: str = (
        "The caller still needs that array: in training, the backward pass reads x "
        "again. Write `x = x - mean`, which makes a new array, not `x -= mean`."
    )
    called: dict = field(default_factory=dict)
    page: str = ""

    def __call__(self, learner, *, seed=0):
        """Check the learner's function.

        Parameters
        ----------
        learner : callable
            What the learner wrote.
        seed : int
            Seed of the inputs.

        Raises
        ------
        CheckFailed
            With a message for the learner.
        """
        print(f"✓ {self.name}: {self._judge(learner, seed)}")

    def _judge(self, learner, seed):
        """Return what to say of a right answer; raise CheckFailed for another."""
        cases = _draw(self, seed)
        results = [self._observe(learner, case) for case in cases]
        for output in self.examine or self.outputs:
            self._examine(self.outputs.index(output), cases, results)
        return f"right on {len(cases)} inputs"

    def _result(self, learner, *arguments, on="", advice=""):
        """Return what the learner's function returns, for other uses than comparison.

        `on` and `advice` are said if it raises: on what, and what to do.
        """
        try:
            return _quietly(learner, *arguments)
        except NotImplementedError as error:
            raise CheckFailed(self._to_be_written(error)) from None
        except Exception as error:
            raise self._failure(
                f"It raises {type(error).__name__}{on}: {error}{_where(error)}{advice}"
            ) from error

    def _observe(self, learner, case):
        """Run the learner's function; return its outputs, or the exception it raised.

        Raises CheckFailed for what no comparison of numbers is needed to see.
        """
        arguments = copy.deepcopy(case.arguments)
        run = self.run or (lambda f, *args, **options: f(*args, **options))
        try:
            result = _quietly(run, learner, *arguments, **case.options)
        except NotImplementedError as error:
            raise CheckFailed(self._to_be_written(error)) from None
        except Exception as error:
            if isinstance(error, ValueError) and "read-only" in str(error):
                name = next(iter(inspect.signature(self.formula).parameters))
                raise self._changes(name, case) from None
            return error
        names = inspect.signature(self.formula).parameters
        for name, after, before in zip(names, arguments, case.arguments, strict=False):
            if _changed(after, before):
                raise self._changes(name, case)
        return self._unpack(result, case)

    def _changes(self, name, case):
        """Return what to raise where the learner's function changes an argument."""
        return self._failure(
            f"It changes its input {self.called.get(name, name)} in place "
            f"(on {case.what}). {self._advice(name)}"
        )

    def _advice(self, name):
        """Say how to leave an argument unchanged."""
        name = self.called.get(name, name).partition(" ")[0]
        if name == "x" or "`x " not in self.changed:
            return self.changed
        return (
            f"The caller still needs that array. `{name} *= ...` and `{name}[:] = ...` "
            f"write into it; `{name} = {name} * ...` makes a new one."
        )

    def _to_be_written(self, error):
        """Say what raised NotImplementedError: this exercise, or one that it calls."""
        function = traceback.extract_tb(error.__traceback__)[-1].name
        if function in (self.name, "__init__", "__call__", "<lambda>"):
            return f"✗ {self.name}: still to be written."
        return f"✗ {self.name} calls {function}, which is still to be written."

    def _unpack(self, result, case):
        names = ", ".join(self.outputs)
        if result is None:
            raise self._failure(
                f"It returns None; expected {names}. Is the `return` missing?"
            )
        if len(self.outputs) == 1 and not isinstance(result, tuple):
            result = (result,)
        if not isinstance(result, tuple | list) or len(result) != len(self.outputs):
            got = (
                f"{len(result)} values"
                if isinstance(result, tuple | list)
                else f"one {type(result).__name__}"
            )
            raise self._failure(
                f"It returns {got}; expected {len(self.outputs)}: {names}."
            )
        return tuple(
            self._as_array(*pair, case)
            for pair in zip(self.outputs, result, strict=True)
        )

    def _as_array(self, name, value, case):
        if value is None:
            raise self._failure(
                f"{name} is None (on {case.what}); expected an array. Is a `return` "
                "missing?"
            )
        if hasattr(value, "detach"):  # a torch tensor
            value = value.detach().cpu().numpy()
        try:
            return np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise self._failure(
                f"{name} is a {type(value).__name__}; expected an array of numbers "
                f"(on {case.what})."
            ) from None

    def _examine(self, k, cases, results):
        """Raise CheckFailed if output k is wrong in any case."""
        wrong = []
        for case, result in zip(cases, results, strict=True):
            truth, got = self._formula(case, {})[k], _part(result, k)
            if not _agree(got, truth, case.tolerance):
                wrong.append((case, got, truth))
        if not wrong:
            return
        case, got, truth = wrong[0]
        reason = self._explain(k, cases, results)
        if reason is None and isinstance(got, Exception):
            reason = self._explain_exception(k, cases, results)
        if reason is None:
            reason = self._describe(self.outputs[k], got, truth, case)
            if _is_double(case) and _off(got, truth) < SLIGHT:
                reason += " Is something rounded to float32 on the way?"
            right = len(cases) - len(wrong)
            if right:
                reason += f"\nIt is right on {right} of {len(cases)} inputs."
            reason = f"{reason} {case.hint}".rstrip()
        cause = got if isinstance(got, Exception) else None
        raise self._failure(reason) from cause

    def _explain(self, k, cases, results):
        """Return the messages of the one or two mistakes that give output k.

        A single mistake may spoil an output that the learner has right, for that one
        may be computed apart from this; a swap of outputs may not, nor may a pair,
        of which too many would fit by chance.

        Axes of length 1 do not count: they are a matter for `_describe`.
        """
        tried = [
            (case, result[k].squeeze(), np.squeeze(self._formula(case, {})[k]))
            for case, result in zip(cases, results, strict=True)
            if not isinstance(result, Exception)
        ]
        # Wrong results first: on them most mistakes can be ruled out at once.
        tried.sort(key=lambda t: _agree(t[1], t[2], t[0].tolerance))
        if not tried or _agree(tried[0][1], tried[0][2], tried[0][0].tolerance):
            return None
        alone = [m for m in self.mistakes if self._matches(k, m.knobs, tried)]
        if alone:
            everywhere = (m for m in alone if self._agrees(m.knobs, cases, results))
            if found := next(everywhere, None):
                return found.message
            spared = [m for m in alone if not self._spoils(m.knobs, cases, results)]
            spared += [m for m in alone if not SWAPS & m.knobs.keys()]
            if spared:
                return spared[0].message
        for first, second in combinations([m for m in self.mistakes if not m.alone], 2):
            knobs = first.knobs | second.knobs
            if (
                len(knobs) == len(first.knobs) + len(second.knobs)
                and self._matches(k, knobs, tried)
                and not self._spoils(knobs, cases, results)
            ):
                return f"Two things.\nFirst: {first.message}\nSecond: {second.message}"
        return None

    def _explain_exception(self, k, cases, results):
        """Return the message of a mistake that raises where the learner's code does.

        It may give numbers elsewhere, wrong in another output.
        """
        for i in range(len(self.outputs)):
            if i != k and (reason := self._explain(i, cases, results)):
                return reason
        for mistake in self.mistakes:
            wrong = [self._formula(case, mistake.knobs) for case in cases]
            # By name: what was raised in a sandbox is of another class with that name.
            raised = [
                (type(_part(w, k)).__name__, type(_part(r, k)).__name__)
                for w, r in zip(wrong, results, strict=True)
            ]
            if all(w == r for w, r in raised) and self._agrees(
                mistake.knobs, cases, results
            ):
                return mistake.message
        return None

    def _matches(self, k, knobs, tried):
        """Whether a wrong version gives the learner's output k, and not the truth.

        An input on which the learner's function raises was not tried here: code that
        gets the axes wrong may well raise where there are other axes.
        """
        differs = False
        for case, got, truth in tried:
            wrong = _part(self._formula(case, knobs), k)
            if isinstance(wrong, Exception):
                return False
            wrong = np.squeeze(wrong)
            # A result that should be 0 is so up to rounding, on the scale of the truth.
            scale = max(_scale(wrong), _scale(truth))
            if not _agree(got, wrong, case.tolerance, scale):
                return False
            differs = differs or not any(
                _agree(value, truth, case.tolerance) for value in (wrong, got)
            )
        return differs

    def _spoils(self, knobs, cases, results):
        """Whether a wrong version is wrong in an output that the learner has right."""
        tried = [
            (case, result, self._formula(case, {}), self._formula(case, knobs))
            for case, result in zip(cases, results, strict=True)
            if not isinstance(result, Exception)
        ]
        return any(
            all(
                _agree(got[k], truth[k], case.tolerance)
                for case, got, truth, _ in tried
            )
            and not all(
                _agree(_part(wrong, k), truth[k], case.tolerance)
                for case, _, truth, wrong in tried
            )
            for k in range(len(self.outputs))
        )

    def _agrees(self, knobs, cases, results):
        """Whether a wrong version gives all of the learner's numbers."""
        return all(
            isinstance(result, Exception)
            or _agree(got.squeeze(), np.squeeze(_part(wrong, k)), case.tolerance)
            for case, result in zip(cases, results, strict=True)
            for wrong in [self._formula(case, knobs)]
            if not isinstance(wrong, Exception)
            for k, got in enumerate(() if isinstance(result, Exception) else result)
        )

    def _formula(self, case, knobs):
        """Return what the formula gives, computed once: all learners are asked this."""
        key = str(knobs)
        if key not in case.known:
            case.known[key] = self._compute(case, knobs)
        return case.known[key]

    def _compute(self, case, knobs):
        arguments = copy.deepcopy(case.arguments)
        with np.errstate(all="ignore"):
            try:
                return self.formula(*arguments, **case.options, **knobs)
            except Exception as error:
                if not knobs:
                    raise
                return error

    def _describe(self, name, got, want, case):
        """Say what can be said of a result that no known mistake explains."""
        if isinstance(got, Exception):
            return f"It raises {type(got).__name__} on {case.what}: {got}{_where(got)}"
        if got.shape != want.shape:
            return (
                f"{name} has shape {got.shape} on {case.what}; expected {want.shape}."
                f"{_shape_hint(got.shape, want.shape)}"
            )
        if not np.isfinite(got).all():
            bad = _first(~np.isfinite(got))
            return (
                f"{name} holds {got[bad]} on {case.what}, first at {_at(bad)}; "
                f"expected {want[bad]:.6g}. Is there a division by zero, a square root "
                "of a negative number, or an overflow?"
            )
        wrong = ~(np.abs(got - want) <= case.tolerance * _scale(want))
        bad = _first(wrong)
        where = (
            f", in {wrong.sum()} of {wrong.size} entries: first at {_at(bad)}, where"
            if got.ndim
            else ":"
        )
        text = (
            f"{name} is wrong on {case.what}{where} it is {got[bad]:.6g}; "
            f"expected {want[bad]:.6g}."
        )
        off = _off(got, want)
        ratio = _constant_ratio(got, want)
        if off < SLIGHT:
            text += f" It is off by {off:.0e} of the largest entry only."
        elif ratio is not None:
            text += f" Everywhere it is {ratio:.4g} times the right value."
        return text

    def _failure(self, reason):
        page = self.page or self.section.partition("-")[0]
        link = f"{book_address()}chapters/{page}.html#sec-{self.section}"
        lines = [
            textwrap.fill(
                CODE.sub(lambda code: code[0].replace(" ", NO_BREAK), line),
                84,
                initial_indent="  ",
                subsequent_indent="  ",
                break_on_hyphens=False,
                break_long_words=False,
            ).replace(NO_BREAK, " ")
            for line in reason.splitlines()
        ]
        explained = f"  Explained in {link}"
        return CheckFailed("\n".join([f"✗ {self.name}", *lines, explained]))


@lru_cache(maxsize=64)
def _draw(exercise, seed):
    return exercise.cases(np.random.default_rng(seed))


def _part(result, k):
    return result if isinstance(result, Exception) else result[k]


def _scale(want):
    finite = np.abs(want)[np.isfinite(want)]
    return np.max(finite, initial=np.finfo(np.float32).tiny)


def _agree(got, want, tolerance, scale=None):
    """Whether shapes are equal and entries close, relative to the scale.

    NaN and infinity agree with their own; exceptions with nothing.
    """
    if isinstance(got, Exception) or got.shape != want.shape:
        return False
    finite = np.isfinite(want)
    if not np.array_equal(got[~finite], want[~finite], equal_nan=True):
        return False
    scale = _scale(want) if scale is None else scale
    return bool(np.all(np.abs(got[finite] - want[finite]) <= tolerance * scale))


def _off(got, want):
    """Return the largest error relative to the scale; infinity if not comparable."""
    if isinstance(got, Exception) or got.shape != want.shape:
        return np.inf
    off = np.max(np.abs(got - want), initial=0.0) / _scale(want)
    return off if np.isfinite(off) else np.inf


def _is_double(case):
    """Whether all arrays among the arguments are float64."""

    def narrow(value):
        if isinstance(value, tuple | list):
            return any(map(narrow, value))
        return isinstance(value, np.ndarray) and value.dtype != np.float64

    return not narrow(case.arguments)


def _changed(after, before):
    if isinstance(before, tuple | list):
        return any(_changed(*pair) for pair in zip(after, before, strict=True))
    if isinstance(before, dict):
        return after.keys() != before.keys() or any(
            _changed(after[key], value) for key, value in before.items()
        )
    return isinstance(before, np.ndarray) and not np.array_equal(
        after, before, equal_nan=True
    )


def _first(mask):
    return tuple(int(i) for i in np.argwhere(mask)[0])


def _at(index):
    return f"[{', '.join(map(str, index))}]" if index else "its only entry"


def _constant_ratio(got, want):
    """Return the factor between two arrays where there is one that is not 0 or 1."""
    large = np.abs(want) > 1e-3 * _scale(want)
    if large.sum() < 2:
        return None
    ratios = got[large] / want[large]
    if min(abs(ratios[0]), abs(ratios[0] - 1)) < 1e-3:
        return None
    return ratios[0] if np.allclose(ratios, ratios[0], rtol=1e-4, atol=0) else None


def _shape_hint(got, want):
    if got != want and tuple(n for n in got if n != 1) == want:
        return (
            " The axes of length 1 are left over from `keepdims=True`; take them off"
            " with `.reshape` or `[0]`, or leave `keepdims` out."
        )
    return ""


def _quietly(function, *arguments, **options):
    """Call a function; what NumPy would warn of, a check says in its own words."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def _where(error):
    """Return the learner's own line that raised, if the source is known."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if (
            not frame.filename.startswith(OURS)
            and "site-packages" not in frame.filename
        ):
            source = linecache.getline(frame.filename, frame.lineno).strip()
            return f"\nin line {frame.lineno}: {source}" if source else ""
    return ""
