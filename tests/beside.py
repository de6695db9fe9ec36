"""One expression, over some tensors with names, run by gradcore and by torch. It must not know any operation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.twin import same


def names(T: Any) -> dict[str, Any]:
    """Tensors to play with: x, x3, l (integers), z (0-d) without gradients; leaves w, y; u, v, c made from leaves."""

    def counted(*shape: int) -> Any:
        return T.tensor(np.arange(int(np.prod(shape))).reshape(shape).tolist(), dtype=T.float32)

    x, y, v, c = counted(2, 3), counted(3), counted(4), T.tensor([[1 + 1j, 2, 3j]])
    leaves = {"w": counted(2, 3), "y": y}
    for leaf in (*leaves.values(), v, c):
        leaf.requires_grad_()
    return {
        "torch": T, "np": np, "x": x.clone(), "x3": counted(2, 3, 4).clone(), "z": T.tensor(2.0), **leaves,
        "u": leaves["w"] * 1, "v": v * 1, "c": c * 1, "l": T.tensor([[3, 1, 2], [9, 8, 7]]),
        "e": T.tensor([[0.0], [1.0], [2.0]]).expand(3, 4),
    }  # fmt: skip


def assert_beside(torch: Any, code: str, *, may_raise: bool = False) -> None:
    """Compare what an expression gives in gradcore and in torch. Statements end in `; `, the last part is the result."""

    def program(T: Any) -> Any:
        *statements, expression = code.split("; ")
        world = names(T)
        for statement in statements:
            exec(statement, world)
        return shown(T, eval(expression, world))

    same(program, torch, may_raise=may_raise)


def shown(T: Any, result: Any) -> Any:
    """A result with what else a program can see of its memory."""
    if isinstance(result, T.Tensor):
        return {"tensor": result, "memory": [result._is_view(), result.is_contiguous(), result._version]}
    return [shown(T, each) for each in result] if isinstance(result, (tuple, list)) else result


def cases(*tables: str) -> list[Any]:
    """The expressions of some tables, in lines and between bars, as test parameters."""
    codes = [code.strip() for table in tables for line in table.splitlines() for code in line.split(" | ")]
    return [pytest.param(code, id=code) for code in codes if code]
