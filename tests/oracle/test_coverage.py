"""The coverage page lists the ops that there are, and ticks only what passed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.oracle import catalogue, coverage, report  # noqa: E402  (they import torch)


def outcome(name: str, check: str, passed: int, total: int, dtype: str = "float64", label: str = "") -> dict[str, Any]:
    tier = catalogue.tiers()[name]
    return {
        "op": label or name, "name": name, "tier": tier, "dtype": dtype, "check": check, "passed": passed, "total": total
    }  # fmt: skip


def result(*outcomes: dict[str, Any], device: str = "cpu", day: str = "2026-01-02") -> dict[str, Any]:
    return {"device": device, "day": day, "versions": {"torch": "2.13.0"}, "outcomes": list(outcomes)}


def cells(page: str, name: str) -> list[str]:
    line = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
    return [each.strip() for each in line.strip("| ").split("|")][1:]


MEASURED = [
    result(
        outcome("max", "function", 3, 3),
        outcome("max", "function", 4, 4, label="max.binary"),
        outcome("max", "grad", 3, 3, dtype="float32"),
        outcome("max", "grad", 6, 7),
        outcome("mul", "function", 1, 2),
        outcome("mul", "grad", 2, 2, dtype="complex128"),
        outcome("mul", "jvp", 0, 0),
    ),
    result(outcome("max", "function", 1, 3), device="double"),
]


def test_a_tick_needs_every_sample_of_every_variant_and_dtype() -> None:
    page = coverage.text(MEASURED)
    assert cells(page, "max") == ["✓", "9 of 10", "–", "–", "1 of 3"]
    assert cells(page, "mul") == ["1 of 2", "–", "–", "✓", "–"]
    assert cells(page, "sin") == ["–"] * 5
    assert "| forward | 1 of 2 | 8 of 9 |" in page
    assert "No column was measured on a real GPU" in page


def test_what_was_measured_again_counts_alone() -> None:
    page = coverage.text([*MEASURED, result(outcome("mul", "function", 2, 2), outcome("max", "grad", 7, 7))])
    assert cells(page, "mul")[0] == "✓"
    assert cells(page, "max")[1] == "✓"
    with_gpu = coverage.text([*MEASURED, result(outcome("mul", "function", 2, 2), device="cuda")])
    assert cells(with_gpu, "mul") == ["1 of 2", "–", "–", "✓", "–", "✓"]
    assert "No column was measured on a real GPU" not in with_gpu


def test_the_page_is_written_and_checked_by_command(tmp_path: Path, capsys: Any) -> None:
    page, results = tmp_path / "page.md", tmp_path / "results.json"
    results.write_text(json.dumps(MEASURED[0]))
    assert coverage.main(["--check", "--page", str(page)]) == 1
    assert coverage.main([str(results), "--page", str(page)]) == 0
    assert coverage.main(["--check", "--page", str(page)]) == 0
    page.write_text(page.read_text().replace("| `sin` |", "| `sine` |"))
    assert coverage.main(["--check", "--page", str(page)]) == 1
    assert capsys.readouterr().err.splitlines()[-2:] == ["sin: not on the page", "sine: no op"]
    with pytest.raises(SystemExit):
        coverage.main(["--page", str(page)])


def test_the_page_in_the_repository_lists_every_op() -> None:
    page = coverage.PAGE.read_text()
    assert coverage.differences(page) == []
    assert len(coverage.listed(page)) == len(set(coverage.listed(page))) == len(catalogue.tiers())


def test_every_check_has_a_column_and_every_column_a_check() -> None:
    from tests.oracle import plan

    columns = {report.column_of(check, "float64") for check in plan.CHECKS}
    assert columns == set(report.COLUMNS)
    assert report.column_of("grad", "complex128") == report.COMPLEX
