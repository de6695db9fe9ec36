"""Pointwise operations and Python's operators, as torch spells them. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore.ops.registry import functions, methods, op
from gradcore.primitives import elementwise as e
from gradcore.recorder.inplace import inplace

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


@op(inplace=True, out=True)
def add(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """Add `alpha` times `other`, with broadcasting and type promotion."""
    return e.add(input, other if alpha == 1 else e.multiply(other, alpha))  # type: ignore[no-any-return]


@op("multiply", inplace=True, out=True)
def mul(input: Tensor, other: Any) -> Tensor:
    """Multiply, with broadcasting and type promotion."""
    return e.multiply(input, other)  # type: ignore[no-any-return]


# The operators are the primitives themselves: nothing stands between `x * y` and its recorder.
methods.update(__add__=e.add, __radd__=e.add, __mul__=e.multiply, __rmul__=e.multiply, __iadd__=inplace(e.add, "__iadd__"), __imul__=inplace(e.multiply, "__imul__"))
