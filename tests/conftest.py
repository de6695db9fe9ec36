"""Set up every test: hypothesis profiles, markers, what this machine has. It must not import gradcore.

Tests of the lower layers run while the upper ones are broken; a test that needs gradcore imports it itself.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
STAND_IN = os.environ.get("GPU_STAND_IN", "0") not in ("", "0")  # tests marked cuda run on the stand-in
ORACLE_DEMANDED = os.environ.get("CI_ORACLE", "0") not in ("", "0")

# No deadline anywhere: on a shared machine it measures the neighbours. CI draws the same examples every time.
settings.register_profile("gradcore", deadline=None)
settings.register_profile(
    "gradcore-ci",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("gradcore-ci" if os.environ.get("CI") else "gradcore")


def installed(distribution: str) -> str | None:
    """Return the installed version without its local part (`+cpu`), or None."""
    try:
        return metadata.version(distribution).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def reference_version() -> str:
    """Return the version of torch that the extra `oracle` asks for."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return next(r.partition("==")[2] for r in extras["oracle"] if r.startswith("torch=="))


@cache
def has_gpu() -> bool:
    """Return whether CuPy is installed and finds a usable GPU, or is stood in for."""
    if STAND_IN:
        return True
    if util.find_spec("cupy") is None:
        return False
    import cupy

    return bool(cupy.is_available())


@pytest.fixture
def strict_cuda() -> Iterator[Any]:
    """A pretended device "cuda" under CuPy's rules that counts what waits for it; see tests/double."""
    from tests import double

    with double.installed() as cuda:
        yield cuda


@pytest.fixture(autouse=STAND_IN)
def _stand_in() -> Iterator[None]:
    from tests import double

    with double.installed():
        yield


def pytest_configure(config: pytest.Config) -> None:
    if ORACLE_DEMANDED and installed("torch") != reference_version():
        raise pytest.UsageError(
            f"CI_ORACLE is set, so torch {reference_version()} must be installed; found "
            f"""{installed("torch")}. Run: pip install -e ".[test,oracle]\""""
        )


def pytest_report_header(config: pytest.Config) -> str:
    torch, reference = installed("torch"), reference_version()
    if torch is None:
        oracle = f"torch not installed, oracle tests skip (they want {reference})"
    elif torch != reference:
        oracle = f"torch {torch}, but the oracle tests are written for {reference}"
    else:
        oracle = f"torch {torch}"
    return f"gradcore: numpy {installed('numpy')}, {oracle}, GPU: {'yes' if has_gpu() else 'no'}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    no_gpu = pytest.mark.skip(reason="needs CuPy and a GPU")
    for item in items:
        names = vars(getattr(item, "module", None) or object)
        if "torch" in names or "cupy" in names or item.path.is_relative_to(ROOT / "tests/oracle"):
            item.add_marker(pytest.mark.oracle)
        if item.get_closest_marker("cuda") and not has_gpu():
            item.add_marker(no_gpu)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Add up what tests/oracle/test_opinfo.py recorded, in whichever process it ran."""
    ops: dict[str, dict[str, bool]] = {}
    samples: dict[str, list[int]] = {}
    checks: dict[str, list[int]] = {}
    for good, reports in ((True, "passed"), (False, "failed")):
        for report in terminalreporter.stats.get(reports, []):
            for name, value in getattr(report, "user_properties", ()):
                if name != "oracle" or report.when != "call":
                    continue
                counted = json.loads(value)
                tier, op = counted["tier"], counted["op"]
                ops.setdefault(tier, {})[op] = good and ops.get(tier, {}).get(op, True)
                add(samples.setdefault(tier, [0, 0]), counted["samples"])
                for check, counts in counted["checks"].items():
                    add(checks.setdefault(check, [0, 0]), counts)
    for tier, verdicts in sorted(ops.items()):
        passed, total = samples[tier]
        terminalreporter.write_line(
            f"oracle, {tier}: {sum(verdicts.values())} of {len(verdicts)} ops, {passed} of {total} samples in all dtypes"
        )
    if checks:
        each = ", ".join(f"{check} {passed}/{total}" for check, (passed, total) in sorted(checks.items()))
        terminalreporter.write_line(f"oracle, comparisons: {each}")


def add(to: list[int], counts: list[int]) -> None:
    for i, count in enumerate(counts):
        to[i] += count
