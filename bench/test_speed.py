"""The cases for pytest-benchmark: `pytest bench --benchmark-enable`. It must not add any case of its own."""

from __future__ import annotations

from typing import Any

import pytest

from bench.cases import Case
from bench.libraries import KNOWN, load
from bench.operations import CASES


@pytest.mark.parametrize("library", KNOWN)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_speed(benchmark: Any, case: Case, library: str) -> None:
    lib = load(library)
    if lib is None:
        pytest.skip(f"{library} is not installed")
    try:
        run = case.build(lib)
        run()
    except AttributeError as missing:
        if library == "gradcore":
            raise
        pytest.skip(str(missing))
    benchmark.group = case.name
    benchmark(run)
