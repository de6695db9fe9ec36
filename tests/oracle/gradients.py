"""First and second derivatives against torch's, and against differences where torch has no second. No op by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tests.oracle import compare
from tests.oracle.catalogue import Entry
from tests.oracle.checks import RANDOM
from tests.oracle.compare import REFERENCE
from tests.oracle.corrections import RIGHT
from tests.oracle.library import Library, tensors_in
from tests.oracle.trial import Arguments, Attempt, Check, NotApplicable, Trial, attempt

STEP = 1e-6  # central differences in float64: truncation and rounding meet near the cube root of epsilon
DIFFERENCES = compare.Tolerance(1e-4, 1e-6)


@dataclass
class Side:
    """One library's run of the op: its leaves, the outputs that carry a gradient, and the call to repeat it."""

    library: Library
    function: Callable[..., Any]
    leaves: list[Any]
    outputs: list[Any]


def flat(library: Library, value: Any) -> list[Any]:
    """Return the tensors of a result, in order."""
    if library.is_tensor(value):
        return [value]
    if isinstance(value, list | tuple):
        return [t for item in value for t in flat(library, item)]
    return []


def random_like(tensor: torch.Tensor, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(tuple(tensor.shape))
    if tensor.dtype.is_complex:
        values = values + 1j * rng.standard_normal(tuple(tensor.shape))
    return torch.from_numpy(np.asarray(values)).to(tensor.dtype)


def differentiable(sample: Any) -> list[int]:
    """Return the positions, among the sample's tensors, of those that want a gradient."""
    tensors = tensors_in((sample.input, sample.args, sample.kwargs))
    return [i for i, t in enumerate(tensors) if t.requires_grad]


def forward(
    trial: Trial, library: Library, sample: Any, function: Callable[..., Any], arguments: Arguments
) -> Attempt:
    """Run the op and op_db's post-processing; the value is the list of result tensors."""

    def compute() -> list[Any]:
        result = library.call(function, arguments.input, *arguments.args, **arguments.kwargs)
        return flat(library, library.resolve(sample.output_process_fn_grad)(result))

    return attempt(compute)


def sides(
    trial: Trial, sample: Any, torch_function: Callable[..., Any], function: Callable[..., Any]
) -> tuple[Side, Side] | str:
    """Run the op on both sides; a string says why they cannot be compared further."""
    positions = differentiable(sample)
    if not positions:
        raise NotApplicable
    library = trial.library
    theirs, ours = trial.arguments(REFERENCE, sample), trial.arguments(library, sample)
    expected = forward(trial, REFERENCE, sample, torch_function, theirs)
    actual = forward(trial, library, sample, function, ours)
    if expected.error or actual.error:
        found = trial.verdict(expected, actual)
        if found:
            return found
        raise NotApplicable
    if len(expected.value) != len(actual.value):
        return f"expected {len(expected.value)} result tensors, got {len(actual.value)}"
    pairs = list(zip(expected.value, actual.value, strict=True))
    for i, (e, a) in enumerate(pairs):
        if bool(e.requires_grad) is not bool(a.requires_grad):
            return f"result {i}: torch has requires_grad={e.requires_grad}, here it is {a.requires_grad}"
        if tuple(e.shape) != tuple(a.shape):
            return f"result {i}: expected shape {tuple(e.shape)}, got {tuple(a.shape)}"
    kept = [(e, a) for e, a in pairs if e.requires_grad]
    if not kept:
        raise NotApplicable
    note_names(trial, kept)
    return (
        Side(REFERENCE, torch_function, [theirs.tensors[i] for i in positions], [e for e, _ in kept]),
        Side(library, function, [ours.tensors[i] for i in positions], [a for _, a in kept]),
    )


def note_names(trial: Trial, pairs: list[tuple[Any, Any]]) -> None:
    """Count how often a result's grad_fn bears torch's name: a statistic, not a failure."""
    for e, a in pairs:
        if e.grad_fn is None:
            continue
        want, got = node_name(e.grad_fn), node_name(a.grad_fn)
        trial.notes["grad_fn agrees" if want == got else f"grad_fn is {got}, torch's is {want}"] += 1


def node_name(node: Any) -> str:
    name = getattr(node, "name", None)
    return str(name() if callable(name) else name or type(node).__name__)


def gradient_difference(trial: Trial, expected: Any, actual: Any, what: str) -> str | None:
    """Compare two lists of gradients, where None means zero."""
    if len(expected) != len(actual):
        return f"expected {len(expected)} {what}s, got {len(actual)}"
    for i, (e, a) in enumerate(zip(expected, actual, strict=True)):
        if e is None and a is None:
            continue
        if e is None or a is None:
            present = REFERENCE.array(e) if a is None else trial.library.array(a)
            if np.any(present != 0):
                return f"{what} {i}: expected {'None' if e is None else e}, got {'None' if a is None else a}"
            trial.notes[f"{what} None where torch has zeros" if a is None else f"{what} zeros for None"] += 1
            continue
        found = compare.difference(e, a, trial.library, trial.derivative_tolerance)
        if found:
            return f"{what} {i}: {found}"
    return None


def first_gradients(
    trial: Trial, sample: Any, torch_function: Callable[..., Any], function: Callable[..., Any]
) -> str | None:
    """Compare vector-Jacobian products for random cotangents, and that nothing handed in was changed."""
    both = sides(trial, sample, torch_function, function)
    if isinstance(both, str):
        return both
    theirs, ours = both
    cotangents = [random_like(o, 1000 + i) for i, o in enumerate(theirs.outputs)]
    handed = [ours.library.tensor(c) for c in cotangents]
    expected = attempt(theirs.library.grad, theirs.outputs, theirs.leaves, cotangents)
    actual = attempt(ours.library.grad, ours.outputs, ours.leaves, handed)
    if expected.error or actual.error:
        return trial.verdict(expected, actual)
    trial.note_warnings(expected, actual)
    found = gradient_difference(trial, expected.value, actual.value, "gradient")
    if found:
        if not as_exact(trial, sample, torch_function, expected.value, actual.value, first, cotangents):
            return found
        trial.notes["gradient differs by rounding alone"] += 1
    for kind, before, after in (("cotangent", cotangents, handed), ("input", theirs.leaves, ours.leaves)):
        for i, (b, a) in enumerate(zip(before, after, strict=True)):
            if compare.difference(b.detach(), a.detach(), trial.library, trial.tolerance):
                return f"the backward pass changed {kind} {i}"
    return None


def check_gradient(trial: Trial, sample: Any) -> str | None:
    reference = RIGHT.get(trial.info.name, trial.info.op)
    return first_gradients(trial, sample, reference, trial.library.resolve(trial.info.op, trial.info.name))


def check_inplace_gradient(trial: Trial, sample: Any) -> str | None:
    """Differentiate through the in-place method, on a copy since a leaf may not be written."""
    if not isinstance(sample.input, torch.Tensor) or sample.broadcasts_input:
        raise NotApplicable
    method = trial.info.get_inplace()
    ours = trial.library.resolve(method, f"Tensor.{trial.info.name}_")

    def on_a_copy(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x, *args, **kwargs: function(x.clone(), *args, **kwargs)

    return first_gradients(trial, sample, on_a_copy(method), on_a_copy(ours))


def check_second_gradient(trial: Trial, sample: Any) -> str | None:
    """Compare the gradients of a random combination of the first gradients, w.r.t. inputs and cotangents."""
    reference = RIGHT.get(trial.info.name, trial.info.op)
    both = sides(trial, sample, reference, trial.library.resolve(trial.info.op, trial.info.name))
    if isinstance(both, str):
        return both
    theirs, ours = both
    cotangents = [random_like(o, 1000 + i) for i, o in enumerate(theirs.outputs)]
    weights = [random_like(x, 2000 + i) for i, x in enumerate(theirs.leaves)]
    actual = attempt(second, ours, cotangents, weights)
    if trial.info.supports_gradgrad:
        expected = attempt(second, theirs, cotangents, weights)
        if expected.error is None:
            if actual.error:
                return trial.verdict(expected, actual)
            trial.note_warnings(expected, actual)
            found = gradient_difference(trial, expected.value, actual.value, "second gradient")
            op = trial.info.op
            if found and as_exact(trial, sample, op, expected.value, actual.value, second, cotangents, weights):
                trial.notes["second gradient differs by rounding alone"] += 1
                return None
            return found
    if trial.dtype is not torch.float64 or trial.library.module is torch:
        raise NotApplicable
    if actual.error:
        return trial.verdict(Attempt(), actual)
    trial.notes["second gradient against differences"] += 1
    return against_differences(trial, sample, ours, actual.value, cotangents, weights)


def as_exact(
    trial: Trial,
    sample: Any,
    function: Callable[..., Any],
    expected: Sequence[Any],
    actual: Sequence[Any],
    derive: Callable[..., Sequence[Any]],
    *vectors: list[torch.Tensor],
) -> bool:
    """Whether a result of float32 inputs is about as near to torch's in float64 as torch's own: the rest is rounding."""
    if all(t.dtype is not torch.float32 for t in tensors_in((sample.input, sample.args, sample.kwargs))):
        return False

    def doubled(x: Any) -> Any:
        inexact = isinstance(x, torch.Tensor) and x.dtype is torch.float32
        return x.double().requires_grad_(x.requires_grad) if inexact else x

    wide = sample.transform(doubled)
    given = trial.arguments(REFERENCE, wide)
    outputs = forward(trial, REFERENCE, wide, function, given)
    if outputs.error:
        return False
    leaves = [given.tensors[i] for i in differentiable(wide)]
    side = Side(REFERENCE, function, leaves, [o for o in outputs.value if o.requires_grad])
    truth = attempt(derive, side, *([doubled(v) for v in each] for each in vectors))
    if truth.error:
        return False
    for t, e, a in zip(truth.value, expected, actual, strict=True):
        if t is None or e is None or a is None:
            if not t is e is a:
                return False
        elif compare.difference(e, a, trial.library, trial.derivative_tolerance):
            exact, theirs = REFERENCE.array(t), np.abs(REFERENCE.array(e) - REFERENCE.array(t))
            gap = np.abs(trial.library.array(a) - exact)
            if not np.max(gap, initial=0) <= 4 * np.max(theirs, initial=0):
                return False
    return True


def first(side: Side, cotangents: list[torch.Tensor]) -> Sequence[Any]:
    return side.library.grad(side.outputs, side.leaves, cotangents)


def second(side: Side, cotangents: list[torch.Tensor], weights: list[torch.Tensor]) -> list[Any]:
    library = side.library
    handed = [library.tensor(c, requires_grad=True) for c in cotangents]
    firsts = library.grad(side.outputs, side.leaves, handed, create_graph=True)
    live = [(f, library.tensor(w)) for f, w in zip(firsts, weights, strict=True) if f is not None and f.requires_grad]
    if not live:
        return [None] * (len(side.leaves) + len(handed))
    return list(library.grad([f for f, _ in live], [*side.leaves, *handed], [w for _, w in live]))


def against_differences(
    trial: Trial,
    sample: Any,
    side: Side,
    seconds: list[Any],
    cotangents: list[torch.Tensor],
    weights: list[torch.Tensor],
) -> str | None:
    """Hold second gradients against central differences of the library's own first ones, along a random direction."""
    tensors = tensors_in((sample.input, sample.args, sample.kwargs))
    sources = [tensors[i] for i in differentiable(sample)]
    moves = [random_like(s, 3000 + i) for i, s in enumerate([*sources, *cotangents])]
    slope = sum(
        float(np.vdot(side.library.array(s), REFERENCE.array(m)).real)
        for s, m in zip(seconds, moves, strict=True)
        if s is not None
    )

    def combination(step: float) -> float:
        moved = [s.detach() + step * m for s, m in zip([*sources, *cotangents], moves, strict=True)]
        given = {
            id(s): side.library.tensor(m, requires_grad=True)
            for s, m in zip(sources, moved[: len(sources)], strict=True)
        }
        arguments = trial.arguments(side.library, sample, given)
        leaves = [given[id(s)] for s in sources]
        done = forward(trial, side.library, sample, side.function, arguments)
        if done.error:
            raise done.error
        outputs = [o for o in done.value if o.requires_grad]
        handed = [side.library.tensor(c) for c in moved[len(sources) :]]
        firsts = side.library.grad(outputs, leaves, handed)
        return sum(
            float(np.vdot(side.library.array(f), REFERENCE.array(w)).real)
            for f, w in zip(firsts, weights, strict=True)
            if f is not None
        )

    measured = (combination(STEP) - combination(-STEP)) / (2 * STEP)
    scale = max(1.0, abs(combination(0.0)), abs(slope))
    if compare.close(measured, slope, DIFFERENCES.rtol, DIFFERENCES.atol * scale):
        return None
    return f"second gradient: along a random direction {slope}, but differences of the first say {measured}"


def has_gradient(entry: Entry, dtype: torch.dtype) -> bool:
    return entry.differentiates(dtype) and entry.info.name not in RANDOM


def has_inplace_gradient(entry: Entry, dtype: torch.dtype) -> bool:
    info = entry.info
    return has_gradient(entry, dtype) and bool(info.get_inplace() and info.supports_inplace_autograd)


CHECKS = [
    Check("grad", has_gradient, check_gradient, requires_grad=True),
    Check("gradgrad", has_gradient, check_second_gradient, requires_grad=True),
    Check("inplace_grad", has_inplace_gradient, check_inplace_gradient, requires_grad=True),
]
