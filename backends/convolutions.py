"""Convolutions and their derivatives by cuDNN, where it serves; must not know how they are computed else."""
from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import cupy as cp

from gradcore.backends import cudnn, plans
from gradcore.backends.plans import Sizes

# What each way is called, and how its two operands.
WAYS = {
    "forward": ("conv_fprop", "image", "weight"),
    "transposed": ("conv_dgrad", "loss", "filter"),
    "kernel": ("conv_wgrad", "image", "loss"),
}
TYPES = {"float16": "HALF", "bfloat16": "BFLOAT16", "float32": "FLOAT", "float64": "DOUBLE"}


class Convolution(NamedTuple):
    """What is asked of cuDNN: a way, sizes and settings."""

    way: str
    first: Sizes
    second: Sizes
    result: Sizes
    dtype: str
    padding: Sizes
    stride: Sizes
    dilation: Sizes
    exact: bool
    single: bool

    def described(self, library: Any, handle: Any) -> tuple[Any, tuple[Any, ...]]:
        """The graph of one operation, with its two operands and its result."""
        kind = getattr(library.data_type, TYPES[self.dtype])
        wide = kind if self.dtype == "float64" else library.data_type.FLOAT
        graph = library.pygraph(io_data_type=kind, intermediate_data_type=wide, compute_data_type=wide, handle=handle)
        operation, *names = WAYS[self.way]
        operands = [plans.operand(graph, shape, kind) for shape in (self.first, self.second)]
        build: Callable[..., Any] = getattr(graph, operation)
        made = build(
            **dict(zip(names, operands, strict=True)),
            padding=list(self.padding), stride=list(self.stride), dilation=list(self.dilation),
        )  # fmt: skip
        plans.result(made, self.result, kind)
        return graph, (*operands, made)

    def unwanted(self, notes: Any) -> list[Any]:
        """Other bits next time, where that must not be; fewer digits, where they are wanted."""
        return [notes.NONDETERMINISTIC] * self.exact + [notes.DOWN_CONVERT_INPUTS, notes.TENSOR_CORE] * self.single


def convolution(
    way: str, first: Any, second: Any, shape: Sizes, padding: tuple[Sizes, ...], stride: Sizes, dilation: Sizes
) -> Any:
    """Return a convolution ("forward"), its transpose or its derivative by the "kernel", of this shape; None if cuDNN
    does not serve."""
    if not plans.usable() or first.dtype.name not in TYPES or first.dtype != second.dtype or not 0 < len(stride) <= 3:
        return None
    if not (first.size and second.size and prod(shape)) or any(before != after or before < 0 for before, after in padding):
        return None
    # One axis is two, of which the first has one cell.
    more = (1,) * (len(stride) == 1)
    wide = [(*s[:2], *more, *s[2:]) for s in (first.shape, second.shape, shape)]
    ahead = (0,) * len(more), (1,) * len(more), (1,) * len(more)
    steps = [(*extra, *given) for extra, given in zip(ahead, ([p[0] for p in padding], stride, dilation), strict=True)]
    single = not cudnn.allow_tf32 and first.dtype.name == "float32"
    asked = Convolution(
        way, wide[0], wide[1], wide[2], first.dtype.name, steps[0], steps[1], steps[2], plans.exact(), single
    )
    first, second = cp.ascontiguousarray(first), cp.ascontiguousarray(second)
    plan = plans.plan(asked, int(first.data.device_id), lambda: (first, second, cp.empty(shape, first.dtype)))
    if plan is None:
        return None
    out = cp.empty(shape, first.dtype)
    plan.run(first, second, out)
    return out
