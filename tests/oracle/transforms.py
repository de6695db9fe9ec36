"""Forward mode against torch's, or against its reverse mode where it has none; batches against a loop. No op by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad

from tests.oracle import compare
from tests.oracle.compare import REFERENCE
from tests.oracle.corrections import RIGHT
from tests.oracle.gradients import differentiable, forward, has_gradient, random_like, sides
from tests.oracle.library import tensors_in
from tests.oracle.trial import Arguments, Check, NotApplicable, Trial

Outputs = list[Any]


def callables(trial: Trial) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """torch's function and ours."""
    return RIGHT.get(trial.info.name, trial.info.op), trial.library.resolve(trial.info.op, trial.info.name)


def arguments(trial: Trial, library: Any, sample: Any, leaves: Sequence[Any]) -> Arguments:
    """The sample's arguments with `leaves` for the tensors that want a gradient."""
    tensors = tensors_in((sample.input, sample.args, sample.kwargs))
    given = {id(tensors[i]): x for i, x in zip(differentiable(sample), leaves, strict=True)}
    return trial.arguments(library, sample, given)


def check_jvp(trial: Trial, sample: Any) -> str | None:
    """Compare the products of the Jacobian with random tangents."""
    if trial.library.module is torch and not trial.info.supports_forward_ad:
        raise NotApplicable
    reference, function = callables(trial)
    both = sides(trial, sample, reference, function)
    if isinstance(both, str):
        return both
    theirs, ours = both
    tangents = [random_like(x, 4000 + i) for i, x in enumerate(theirs.leaves)]
    duals = import_module(f"{trial.library.module.__name__}.autograd.forward_ad")
    with duals.dual_level():
        leaves = [duals.make_dual(x.detach(), trial.library.tensor(t)) for x, t in zip(ours.leaves, tangents, strict=True)]
        done = forward(trial, trial.library, sample, function, arguments(trial, trial.library, sample, leaves))
        if done.error:
            return f"raised {compare.brief(done.error)} in forward mode"
        parts = [duals.unpack_dual(o) for o in done.value if o.is_floating_point() or o.is_complex()]
        moved = [np.zeros_like(trial.library.array(p)) if t is None else trial.library.array(t) for p, t in parts]
    if trial.info.supports_forward_ad:
        expected = torch_jvp(trial, sample, reference, theirs.leaves, tangents)
        if expected is not None and len(expected) == len(moved) and not tangent_difference(trial, expected, moved):
            return None
    trial.notes["forward mode against reverse mode"] += 1
    if len(theirs.outputs) != len(moved):
        raise NotApplicable
    cotangents = [random_like(o, 1000 + i) for i, o in enumerate(theirs.outputs)]
    pulled = theirs.library.grad(theirs.outputs, theirs.leaves, cotangents)
    pairs = [(g, t) for g, t in zip(pulled, tangents, strict=True) if g is not None]
    back = sum(np.vdot(REFERENCE.array(g), REFERENCE.array(t)).real for g, t in pairs)
    there = sum(np.vdot(REFERENCE.array(c), m).real for c, m in zip(cotangents, moved, strict=True))
    used = [x.dtype for x in (*theirs.outputs, *theirs.leaves)]
    tolerance = trial.derivative_tolerance(min(used, key=compare.real_width))
    scale = max(1.0, *(float(np.abs(m).sum()) for m in moved))
    if np.isclose(there, back, tolerance.rtol, tolerance.atol * scale, equal_nan=True):
        return None
    return f"<cotangent, jvp> is {there}, torch's <vjp, tangent> {back}"


def torch_jvp(
    trial: Trial, sample: Any, function: Callable[..., Any], leaves: Outputs, tangents: list[torch.Tensor]
) -> Outputs | None:
    with forward_ad.dual_level():
        given = [forward_ad.make_dual(x.detach(), t) for x, t in zip(leaves, tangents, strict=True)]
        done = forward(trial, REFERENCE, sample, function, arguments(trial, REFERENCE, sample, given))
        if done.error:
            return None
        parts = [forward_ad.unpack_dual(o) for o in done.value if o.is_floating_point() or o.is_complex()]
        return [np.zeros_like(REFERENCE.array(p)) if t is None else REFERENCE.array(t) for p, t in parts]


def tangent_difference(trial: Trial, expected: Outputs, actual: Outputs) -> str | None:
    tolerance = trial.derivative_tolerance(trial.dtype)
    for i, (e, a) in enumerate(zip(expected, actual, strict=True)):
        if e.shape != a.shape:
            return f"tangent {i}: expected shape {e.shape}, got {a.shape}"
        if not np.allclose(a, e, tolerance.rtol, tolerance.atol * max(1.0, np.abs(e).max(initial=0)), equal_nan=True):
            return f"tangent {i}: expected {e}, got {a}"
    return None


def check_vmap(trial: Trial, sample: Any) -> str | None:
    """Compare a batch of two samples, one slightly smaller, with a loop over them."""
    _, function = callables(trial)
    positions = differentiable(sample)
    tensors = tensors_in((sample.input, sample.args, sample.kwargs))
    if not positions or trial.library.module is torch:
        raise NotApplicable
    rows = [[trial.library.tensor(tensors[i].detach() * by) for i in positions] for by in (1.0, 0.97)]

    def run(*leaves: Any) -> Outputs:
        done = forward(trial, trial.library, sample, function, arguments(trial, trial.library, sample, leaves))
        if done.error:
            raise done.error
        return list(done.value)

    try:
        expected = [[trial.library.array(x.detach()) for x in run(*row)] for row in rows]
    except Exception:
        raise NotApplicable from None
    if any(a.shape != b.shape for a, b in zip(*expected, strict=True)):
        raise NotApplicable
    func = import_module(f"{trial.library.module.__name__}.func")
    stacked = [trial.library.tensor(torch.stack([tensors[i].detach(), tensors[i].detach() * 0.97])) for i in positions]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        actual = func.vmap(run)(*stacked)
    if any("vmap" in str(w.message) for w in caught):
        trial.notes["done one by one"] += 1
    tolerance = trial.tolerance(trial.dtype)
    for i, (each, a) in enumerate(zip(zip(*expected, strict=True), actual, strict=True)):
        e, a = np.stack(each), trial.library.array(a)
        if e.shape != a.shape:
            return f"result {i}: expected shape {e.shape}, got {a.shape}"
        if not np.allclose(a, e, tolerance.rtol, tolerance.atol, equal_nan=True):
            return f"result {i}: expected {e}, got {a}"
    return None


CHECKS = [
    Check("jvp", has_gradient, check_jvp, requires_grad=True),
    Check("vmap", has_gradient, check_vmap, requires_grad=True),
]
