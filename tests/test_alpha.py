"""The factor `alpha` of sums and differences beside torch, as a number of every kind."""

from __future__ import annotations

from typing import Any

import pytest

import gradcore
from tests.twin import attempt, same

torch = pytest.importorskip("torch")

DTYPES = ["float32", "float64", "int64", "bool", "complex64"]
ALPHAS: list[Any] = [1, 1.0, True, False, 2, 0, 0.5, 1j, (1 + 0j)]


@pytest.mark.parametrize("alpha", ALPHAS, ids=repr)
@pytest.mark.parametrize("name", ["add", "add_", "sub", "sub_"])
def test_alpha(name: str, alpha: Any) -> None:
    def program(lib: Any) -> Any:
        found = {}
        for x in DTYPES:
            for y in [*DTYPES, 3, 2.5, True]:
                a = lib.ones(3, dtype=getattr(lib, x))
                if name.startswith("sub") and (x == "bool" or y in ("bool", True)):
                    continue  # gradcore takes `1 - mask`
                b = lib.ones(3, dtype=getattr(lib, y)) if isinstance(y, str) else y
                found[f"{x} {y}"] = attempt(lambda a=a, b=b: getattr(a, name)(b, alpha=alpha))
        return found

    same(program, torch, words=0)


def test_a_boolean_alpha_says_what_is_wrong() -> None:
    x = gradcore.ones(3, requires_grad=True)
    for f in (gradcore.add, gradcore.sub, gradcore.rsub):
        with pytest.raises(RuntimeError, match="Boolean alpha only supported for Boolean results"):
            f(x, x, alpha=True)


def test_an_alpha_of_one_makes_no_node_of_its_own() -> None:
    for lib in (torch, gradcore):
        x, y = lib.ones(3, requires_grad=True), lib.ones(3, requires_grad=True)
        for alpha in (1, 1.0):
            for f in (lib.add, lib.sub, lib.rsub):
                behind = f(x, y, alpha=alpha).grad_fn.next_functions
                assert [each.name().rpartition("::")[2] for each, _ in behind] == ["AccumulateGrad"] * 2
