"""NaN, infinities, signed zeros, tiny and huge numbers in torch's own samples: values and first gradients are torch's.

`python -m tests.oracle --check edges --tier 1 2 3` does as many as `EDGE_DRAWS` and `GRADCORE_SEED` say; here they are the
same few in every run, for what torch makes of such numbers depends on more than the numbers.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.oracle import catalogue, edges, plan, trial  # noqa: E402  (they import torch)
from tests.oracle.library import StandIn, tensors_in  # noqa: E402

CHECK = plan.ASKED_FOR["edges"]


def entries() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [entry for entry, _, _ in plan.planned(catalogue.entries(), ["float64"], ["edges"])]


ENTRIES = entries()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.tier}-{entry.label}")
def test_spoilt_samples_agree_with_torch(entry: Any) -> None:
    outcome = trial.run(CHECK, entry, torch.float64, plan.library_named("gradcore"))
    assert outcome.passed, outcome.story()


def test_what_is_spared_is_an_op_of_the_tiers_and_has_a_reason() -> None:
    known = {name for entry in ENTRIES for name in (entry.name, entry.label)}
    assert sorted(set(edges.SPARED) - known) == []
    assert all(reason and set(kinds) <= set(edges.KINDS) for kinds, reason in edges.SPARED.values())
    whole = {name for name, (kinds, _) in edges.SPARED.items() if set(kinds) == set(edges.KINDS)}
    assert len(whole) < 0.08 * len({entry.name for entry in ENTRIES})


@pytest.mark.filterwarnings("ignore")
def test_samples_are_spoilt_and_differences_are_seen() -> None:
    class Hiding(StandIn):
        """torch, but for NaN, which it takes for 0."""

        def call(self, function: Any, *args: Any, **options: Any) -> Any:
            return function(*map(torch.nan_to_num, args), **options)

    for name in ("exp", "mul", "sum"):
        (entry, *_) = catalogue.entries(names=[name])
        samples = list(edges.spoilt_samples(trial.Trial(entry, torch.float64, StandIn())))
        numbers = np.concatenate([t.detach().numpy().ravel() for s in samples for t in tensors_in((s.input, s.args))])
        assert len(samples) == edges.DRAWS
        assert np.isin(numbers, [0, 1e-30, -1e-30, 1e30, -1e30]).any() or not np.isfinite(numbers).all()
    (entry,) = catalogue.entries(names=["isnan"])
    draws = [trial.run(CHECK, entry, torch.float64, library).passed for library in (StandIn(), Hiding())]
    assert draws == [True, False]
