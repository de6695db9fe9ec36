"""What may be written over between an operation and the backward pass: results and inputs, as far as torch allows it.

An operation that keeps more for its rule than torch's does refuses programs that run in torch. It must not know how the
library notices.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import torch

from tests.oracle.catalogue import Entry
from tests.oracle.checks import GAUGE
from tests.oracle.compare import REFERENCE
from tests.oracle.corrections import RIGHT
from tests.oracle.gradients import differentiable, flat, gradient_difference, has_gradient, random_like
from tests.oracle.library import Library, tensors_in
from tests.oracle.trial import Check, NotApplicable, Trial, attempt

# What torch keeps a copy of, or an alias that it does not watch: its number is then wrong (kron) or cost a pass.
KEPT_OTHERWISE = {
    "kron": "torch keeps aliases that it does not watch, and takes what was written for what was there",
    "linalg.qr": "of a wide matrix, the product of what torch keeps would have to be computed again",
    "nn.functional.scaled_dot_product_attention": "torch scales copies of queries and keys; here the scores are scaled",
}
SAMPLES, INPUTS = 6, 3


def written_over(
    trial: Trial, library: Library, function: Callable[..., Any], sample: Any, place: int | None
) -> list[Any]:
    """Run the op on copies of the leaves, double its results or input number `place`, and differentiate."""
    sources = tensors_in((sample.input, sample.args, sample.kwargs))
    leaves = trial.arguments(library, sample).tensors
    given = {id(s): leaf.clone() if leaf.requires_grad else leaf for s, leaf in zip(sources, leaves, strict=True)}
    arguments = trial.arguments(library, sample, given)
    result = flat(library, library.call(function, arguments.input, *arguments.args, **arguments.kwargs))
    outputs = [o for o in result if o.requires_grad]
    kept = [o * 1.0 for o in outputs]
    with library.module.no_grad():
        for each in outputs if place is None else [arguments.tensors[place]]:
            each.mul_(2)
    theirs = [torch.from_numpy(library.array(o)) for o in kept]
    cotangents = [library.tensor(random_like(o, 3000 + i)) for i, o in enumerate(theirs)]
    return list(library.grad(kept, [leaf for leaf in leaves if leaf.requires_grad], cotangents))


def check_writes(trial: Trial, sample: Any) -> str | None:
    positions = differentiable(sample)
    if not positions:
        raise NotApplicable
    function = trial.library.resolve(trial.info.op, trial.info.name)
    applied = False
    for place in (None, *positions[:INPUTS]):
        expected = attempt(written_over, trial, REFERENCE, trial.info.op, sample, place)
        if expected.error:
            continue  # going further is allowed
        applied = True
        what = "its results are" if place is None else f"input {place} is"
        actual = attempt(written_over, trial, trial.library, function, sample, place)
        if actual.error:
            return f"where {what} written over before the backward pass: {trial.verdict(expected, actual)}"
        found = gradient_difference(trial, expected.value, actual.value, f"where {what} written over, gradient")
        if found:
            return found
    if not applied:
        raise NotApplicable
    return None


def applies(entry: Entry, dtype: torch.dtype) -> bool:
    told = any(entry.info.name in names for names in (KEPT_OTHERWISE, GAUGE, RIGHT))
    return dtype is torch.float64 and has_gradient(entry, dtype) and not told


CHECKS = [
    Check(
        "writes",
        applies,
        check_writes,
        samples=lambda trial: islice(trial.samples(requires_grad=True), SAMPLES),
        counts_samples=False,
    )
]
