"""Counting what passed: per tier, per column of the coverage page; as text and as JSON. It must not run anything."""

from __future__ import annotations

import platform
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from tests.oracle.trial import Outcome

# What the checks are about.
COLUMNS: dict[str, tuple[str, ...]] = {
    "forward": ("function", "method", "inplace", "operator", "inplace_operator", "alias", "out", "errors"),
    "backward": ("grad", "inplace_grad", "writes"),
    "double backward": ("gradgrad",),
    "forward mode": ("jvp",),
    "batching": ("vmap",),
}
COMPLEX = "complex"  # all of these, of complex128

# The share of the differentiable names that must pass all samples. Forward and backward count as one: see `figures`.
REQUIRED = {"forward and backward": 0.97, "double backward": 0.95, "forward mode": 0.95, "batching": 0.95, COMPLEX: 0.90}


def column_of(check: str, dtype: str) -> str:
    if dtype.startswith("complex"):
        return COMPLEX
    return next(name for name, checks in COLUMNS.items() if check in checks)


def figures(outcomes: Iterable[Outcome]) -> dict[str, tuple[int, int]]:
    """Return, for each line of `REQUIRED`, how many names of the three tiers pass all, and how many there are."""
    verdicts: dict[str, dict[str, bool]] = {line: {} for line in REQUIRED}
    for o in outcomes:
        if o.entry.tier.startswith("tier") and o.total and any(o.check in checks for checks in COLUMNS.values()):
            column = column_of(o.check, o.dtype)
            of_line = verdicts["forward and backward" if column in ("forward", "backward") else column]
            of_line[o.entry.name] = of_line.get(o.entry.name, True) and o.passed
    return {line: (sum(of_line.values()), len(of_line)) for line, of_line in verdicts.items() if of_line}


def by_op(outcomes: Iterable[Outcome]) -> dict[tuple[str, str], list[Outcome]]:
    """Group outcomes by (tier, name): the variants of an op are one op."""
    groups: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.entry.tier, outcome.entry.name].append(outcome)
    return groups


def samples_of(outcomes: Iterable[Outcome]) -> tuple[int, int]:
    """Return how many samples passed every check that saw them, and how many there are."""
    seen: dict[tuple[str, str], int] = defaultdict(int)
    failed: dict[tuple[str, str], set[int]] = defaultdict(set)
    for outcome in outcomes:
        if outcome.counts_samples:
            key = (outcome.entry.label, outcome.dtype)
            seen[key] = max(seen[key], outcome.total + outcome.skipped)
            failed[key].update(outcome.failures)
    total = sum(seen.values())
    return total - sum(len(f) for f in failed.values()), total


def notes_of(outcomes: Iterable[Outcome]) -> Counter[str]:
    notes: Counter[str] = Counter()
    for outcome in outcomes:
        notes.update(outcome.notes)
    return notes


def summary(outcomes: list[Outcome]) -> list[str]:
    """Write one line per tier, one per check, and what was noted."""
    lines = []
    for tier, counts in tier_counts(outcomes).items():
        lines.append(
            f"{tier}: ops passed {counts['ops_passed']} / {counts['ops']}, "
            f"samples passed {counts['samples_passed']} / {counts['samples']} "
            f"({', '.join(f'{d} {p}/{t}' for d, (p, t) in counts['by_dtype'].items())})"
        )
    checks: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for outcome in outcomes:
        checks[outcome.check][0] += outcome.total - len(outcome.failures)
        checks[outcome.check][1] += outcome.total
    if checks:
        lines.append("comparisons: " + ", ".join(f"{c} {p}/{t}" for c, (p, t) in checks.items()))
    for line, (good, every) in figures(outcomes).items():
        share = f"{good} / {every} = {good / every:.1%} (at least {REQUIRED[line]:.0%})"
        lines.append(f"names that pass every sample, {line}: {share}")
    notes = notes_of(outcomes)
    agree = notes.pop("grad_fn agrees", 0)
    other = {text: n for text, n in notes.items() if text.startswith("grad_fn is")}
    if agree or other:
        lines.append(f"grad_fn bears torch's name: {agree} / {agree + sum(other.values())}")
    lines += [f"  {text}: {n}" for text, n in Counter(other).most_common(10)]
    rest = Counter({text: n for text, n in notes.items() if text not in other})
    lines += [f"note: {text}: {n}" for text, n in rest.most_common(10)]
    return lines


def tier_counts(outcomes: list[Outcome]) -> dict[str, dict[str, Any]]:
    groups = by_op(outcomes)
    counts: dict[str, dict[str, Any]] = {}
    for tier in sorted({tier for tier, _ in groups}):
        of_tier = [o for (t, _), members in groups.items() if t == tier for o in members]
        ops = {name: all(o.passed for o in members) for (t, name), members in groups.items() if t == tier}
        passed, total = samples_of(of_tier)
        counts[tier] = {
            "ops_passed": sum(ops.values()),
            "ops": len(ops),
            "samples_passed": passed,
            "samples": total,
            "by_dtype": {
                dtype: samples_of(o for o in of_tier if o.dtype == dtype)
                for dtype in dict.fromkeys(o.dtype for o in of_tier)
            },
            "failing_ops": sorted(name for name, good in ops.items() if not good),
        }
    return counts


def as_json(outcomes: list[Outcome], library: str, device: str = "cpu") -> dict[str, Any]:
    """Return everything as plain data."""
    versions = {name: metadata.version(name).partition("+")[0] for name in ("torch", "numpy")}
    return {
        "library": library,
        "device": device,
        "versions": {"Python": platform.python_version(), **versions},
        "day": datetime.now(UTC).date().isoformat(),
        "tiers": tier_counts(outcomes),
        "notes": dict(notes_of(outcomes).most_common()),
        "outcomes": [
            {
                "op": o.entry.label,
                "name": o.entry.name,
                "tier": o.entry.tier,
                "dtype": o.dtype,
                "check": o.check,
                "passed": o.total - len(o.failures),
                "total": o.total,
                "not_applicable": o.skipped,
                "failures": [
                    {"sample": i, "message": m, "arguments": o.described.get(i, "")}
                    for i, m in sorted(o.failures.items())[:5]
                ],
                "notes": dict(o.notes),
            }
            for o in outcomes
        ],
    }
