"""Every op and companion on torch's own samples: values, variants, first and second derivatives, all of them.

All of that in float64, with forward mode and batching, which compute with the same rules; in float32 without these; values
and first derivatives in complex128, and of a few ops in 16-bit numbers. `python -m tests.oracle` does all in any dtype.
"""

from __future__ import annotations

import json
import os
import warnings
from itertools import groupby
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.oracle import catalogue, plan, report, trial  # noqa: E402  (they import torch)

# Of 16-bit numbers a sample of operations: they are computed in wider ones, by the same rules.
HALVES = ("float16", "bfloat16")
IN_HALVES = """add mul sum mean exp sqrt matmul softmax cumsum max.binary nn.functional.layer_norm nn.functional.relu
    nn.functional.conv2d nn.functional.cross_entropy""".split()

TRANSFORMS = ("jvp", "vmap")
RULES = ("function", "grad")

TIERS = os.environ.get("ORACLE_TIERS", f"tier1 tier2 tier3 {catalogue.COMPANION}").split()


def work() -> list[Any]:
    """All checks of one op and dtype, as one test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        entries = list(catalogue.entries(TIERS, []))
        planned = list(plan.planned(entries, [plan.DTYPES[0]]))
        planned += plan.planned(entries, plan.DTYPES[1:], [name for name in plan.CHECKS if name not in TRANSFORMS])
        planned += plan.planned(entries, ["complex128"], RULES)
        if "tier1" in TIERS:
            planned += plan.planned(catalogue.entries(names=IN_HALVES), HALVES, RULES)
    planned.sort(key=lambda item: (item[0].tier, item[0].label, trial.REFERENCE.dtype_name(item[1])))
    grouped = groupby(planned, key=lambda item: (item[0].tier, item[0].label, trial.REFERENCE.dtype_name(item[1])))
    return [pytest.param(list(items), id="-".join(key)) for key, items in grouped]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("items", work())
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def test_all_samples_agree_with_torch(device: str, items: list[Any], record_property: Any) -> None:
    library = plan.library_named("gradcore", device)
    outcomes = [trial.run(check, entry, dtype, library) for entry, dtype, check in items]
    record_property("oracle", json.dumps(counted(outcomes)))
    assert any(outcome.total for outcome in outcomes), "nothing was compared"
    failed = [outcome.story() for outcome in outcomes if not outcome.passed]
    assert not failed, "\n".join(failed)


def counted(outcomes: list[trial.Outcome]) -> dict[str, Any]:
    """What the summary at the end of the run adds up (see tests/conftest.py)."""
    entry = outcomes[0].entry
    passed, total = report.samples_of(outcomes)
    return {
        "tier": entry.tier,
        "op": entry.name,
        "samples": [passed, total],
        "checks": {o.check: [o.total - len(o.failures), o.total] for o in outcomes},
    }
