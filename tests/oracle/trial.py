"""One op, one dtype, one check: run every sample on both sides and collect what differs. It must not know any check."""

from __future__ import annotations

import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from tests.oracle import compare
from tests.oracle.catalogue import Entry
from tests.oracle.compare import REFERENCE
from tests.oracle.library import Library, Missing, tensors_in

NUMPY_MAX_NDIM = 64  # torch itself has no such limit; a sample beyond it cannot be handed over


class NotApplicable(Exception):
    """The check says nothing about this sample."""


@dataclass
class Arguments:
    """A sample's arguments as one side's objects; `tensors` in the order of `tensors_in`."""

    input: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensors: list[Any]


@dataclass
class Attempt:
    """What a call came to: a value or an exception, and the warnings on the way."""

    value: Any = None
    error: Exception | None = None
    warned: list[str] = field(default_factory=list)


def attempt(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Attempt:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            done = Attempt(function(*args, **kwargs))
        except Missing:
            raise
        except Exception as error:
            done = Attempt(error=error)
    done.warned = [f"{w.category.__name__}: {w.message}" for w in caught]
    return done


@dataclass
class Trial:
    """The setting of one check: which op, which dtype, which library, and what is noted besides pass and fail."""

    entry: Entry
    dtype: torch.dtype
    library: Library
    notes: Counter[str] = field(default_factory=Counter)

    @property
    def info(self) -> Any:
        return self.entry.info

    def samples(self, *, requires_grad: bool) -> Iterator[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield from self.info.sample_inputs("cpu", self.dtype, requires_grad=requires_grad)

    def arguments(self, library: Library, sample: Any, given: dict[int, Any] | None = None) -> Arguments:
        """Make fresh arguments for one side; `given` replaces tensors by the id of the sample's."""
        leaves = dict(given or {})
        whole = (sample.input, sample.args, sample.kwargs)
        of_input, args, kwargs = library.convert(whole, leaves)
        return Arguments(of_input, args, kwargs, [leaves[id(t)] for t in tensors_in(whole)])

    def tolerance(self, dtype: torch.dtype) -> compare.Tolerance:
        return compare.tolerance_for(self.narrowest(dtype), self.info)

    def derivative_tolerance(self, dtype: torch.dtype) -> compare.Tolerance:
        return compare.tolerance_for(self.narrowest(dtype), self.info, derivative=True)

    def narrowest(self, dtype: torch.dtype) -> torch.dtype:
        """A float64 result of float32 inputs is only as good as they are."""
        inexact = [d for d in (self.dtype, dtype) if d.is_floating_point or d.is_complex]
        if not (dtype.is_floating_point or dtype.is_complex) or not inexact:
            return dtype
        return min(inexact, key=compare.real_width)

    def note_warnings(self, expected: Attempt, actual: Attempt) -> None:
        """Count warnings that torch does not give, by their category."""
        for text in actual.warned:
            kind = text.partition(":")[0]
            if not any(other.startswith(kind) for other in expected.warned):
                self.notes[f"stray warning {text[:90]}"] += 1

    def verdict(self, expected: Attempt, actual: Attempt, *, values: bool = True) -> str | None:
        """Compare what two calls came to; None where they agree."""
        self.note_warnings(expected, actual)
        if expected.error is not None:
            if actual.error is None:
                return f"torch raises {compare.brief(expected.error)}; here nothing is raised"
            return compare.exception_difference(expected.error, actual.error)
        if actual.error is not None:
            return f"raised {compare.brief(actual.error)}{origin(actual.error)}"
        return compare.difference(expected.value, actual.value, self.library, self.tolerance, values=values)

    def inputs_differ(self, expected: Arguments, actual: Arguments) -> str | None:
        """Say which argument the call changed as torch does not (running statistics do change, in both)."""
        for i, (e, a) in enumerate(zip(expected.tensors, actual.tensors, strict=True)):
            found = compare.difference(e, a, self.library, self.tolerance)
            if found:
                return f"after the call, tensor argument {i} is not what torch leaves: {found}"
        return None


def origin(error: BaseException) -> str:
    """Name the line that raised."""
    frames = traceback.extract_tb(error.__traceback__)
    outside = [f for f in frames if "/tests/oracle/" not in f.filename]
    return f" ({outside[-1].filename}:{outside[-1].lineno})" if outside else ""


@dataclass(frozen=True)
class Check:
    """A named comparison: to which op and dtype it applies, and what it says of one sample (None: it passes)."""

    name: str
    applies: Callable[[Entry, torch.dtype], bool]
    one: Callable[[Trial, Any], str | None]
    requires_grad: bool = False
    samples: Callable[[Trial], Iterator[Any]] | None = None  # instead of OpInfo's sample_inputs
    counts_samples: bool = True  # whether its samples are the op's, so that they enter "samples passed"


@dataclass
class Outcome:
    """What one check said of one op in one dtype."""

    entry: Entry
    dtype: str
    check: str
    total: int = 0
    skipped: int = 0
    failures: dict[int, str] = field(default_factory=dict)
    described: dict[int, str] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)
    counts_samples: bool = True

    @property
    def passed(self) -> bool:
        return not self.failures

    def story(self) -> str:
        """Tell the first failure, with its arguments."""
        if self.passed:
            return ""
        first = min(self.failures)
        head = f"{self.entry.label} {self.dtype} {self.check}: {len(self.failures)} of {self.total} samples fail"
        return f"{head}; first is sample {first}\n  {self.failures[first]}\n{self.described.get(first, '')}"


def run(check: Check, entry: Entry, dtype: torch.dtype, library: Library, only: int | None = None) -> Outcome:
    """Run one check on every sample (or on sample `only`)."""
    trial = Trial(entry, dtype, library)
    name = REFERENCE.dtype_name(dtype)
    outcome = Outcome(entry, name, check.name, notes=trial.notes, counts_samples=check.counts_samples)
    stream = check.samples(trial) if check.samples else trial.samples(requires_grad=check.requires_grad)
    for index, sample in enumerate(stream):
        if only is not None and index != only:
            continue
        try:
            if not all(map(transferable, tensors_in((sample.input, sample.args, sample.kwargs)))):
                raise NotApplicable
            said = check.one(trial, sample)
        except NotApplicable:
            outcome.skipped += 1
            continue
        except Missing as missing:
            said = str(missing)
        except Exception as error:  # the library broke outside a call: in a conversion, in an attribute
            said = f"{compare.brief(error)}{origin(error)} (outside the op itself)"
        outcome.total += 1
        if said:
            outcome.failures[index] = said
            outcome.described[index] = describe(sample)
    return outcome


def transferable(tensor: torch.Tensor) -> bool:
    """Whether NumPy can hold the tensor: error samples have meta, sparse and 65-dimensional ones."""
    dense = tensor.device.type == "cpu" and tensor.layout is torch.strided
    return dense and tensor.ndim <= NUMPY_MAX_NDIM and not tensor.is_quantized


def describe(sample: Any) -> str:
    """Print a sample's arguments; tensors of up to a dozen numbers with their values."""
    lines = [f"    input = {shown(sample.input)}"]
    lines += [f"    args[{i}] = {shown(arg)}" for i, arg in enumerate(sample.args)]
    lines += [f"    {key} = {shown(value)}" for key, value in sample.kwargs.items()]
    return "\n".join(lines)


def shown(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        dtype = REFERENCE.dtype_name(value.dtype)
        strides = "" if value.is_contiguous() else f", strides {tuple(value.stride())}"
        values = f" {REFERENCE.array(value).tolist()}" if value.numel() <= 12 else ""
        grad = ", requires_grad" if value.requires_grad else ""
        return f"Tensor{list(value.shape)} {dtype}{strides}{grad}{values}"
    if isinstance(value, list | tuple):
        inside = ", ".join(shown(v) for v in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    if callable(value) and hasattr(value, "__name__"):
        return str(value.__name__)
    return repr(value)
