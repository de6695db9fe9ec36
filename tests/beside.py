"""One expression run by gradcore and by torch, and what each says of the result. It must not know any operation."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np

import gradcore


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


def outcome(T: Any, code: str) -> Any:
    """What a result says of itself, or the type and text of the error. Statements end in `; r` for the result r."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        *statements, expression = code.split("; ")
        world = names(T)
        try:
            for statement in statements:
                exec(statement, world)
            return described(T, eval(expression, world))
        except Exception as error:
            return type(error).__name__, str(error)


def described(T: Any, result: Any) -> Any:
    """Everything that a program can see of a result."""
    if isinstance(result, T.Tensor):
        node = result.grad_fn
        host = result.detach()
        return {
            "shape": tuple(result.shape),
            "dtype": str(result.dtype),
            "values": np.array(host.tolist()).round(5).tolist(),
            "grad_fn": None if node is None else (node.name() if callable(node.name) else node.name).rpartition("::")[2],
            "is_view": result._is_view(),
            "requires_grad": result.requires_grad,
            "contiguous": result.is_contiguous(),
            "version": result._version,
        }
    if isinstance(result, (tuple, list)):
        return [described(T, each) for each in result]
    return result


def assert_beside(torch: Any, code: str) -> None:
    """Compare gradcore's outcome with torch's; of an error, the type and the first words."""
    ours, theirs = outcome(gradcore, code), outcome(torch, code)
    if isinstance(theirs, tuple):
        assert isinstance(ours, tuple), f"torch raises {theirs}, gradcore gives {ours}"
        assert ours[0] == theirs[0], f"torch raises {theirs}, gradcore {ours}"
        assert first_words(ours[1]).startswith(first_words(theirs[1])[:32]), (ours, theirs)
    else:
        assert ours == theirs


def first_words(text: str) -> str:
    return re.sub(r"\W+", " ", text.removeprefix("torch.")).strip().lower()
