"""Sums, means and other reductions, as torch spells them. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops.registry import op
from gradcore.primitives import reductions as r

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

@op(out=True)
def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    return r.sum(input, axis=tuple(range(input.ndim)))

@op(out=True)
def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    a = input._array
    return r.mean(input, axis=tuple(range(a.ndim)), count=a.size)
