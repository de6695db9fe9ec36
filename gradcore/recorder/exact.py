"""Kernels for 16-bit arrays beside Python numbers, which are not rounded to 16 bits first. It must not know any operation.

torch computes such products and quotients in float32, with the number in float32, and rounds the result once: so what
float16 cannot hold, a loss scale say, divides all the same.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from gradcore.backends import numpy as host
from gradcore.backends.shared import is_narrow, widened
from gradcore.graph import modes
from gradcore.recorder import views
from gradcore.recorder.primitive import Primitive
from gradcore.recorder.steps import Kernel, Pull, traced
from gradcore.recorder.value import Value

_FLOAT32 = host.dtype("float32")


class Exact(Kernel):
    """A primitive whose arrays of 16 bits are taken to float32, and whose results and cotangents are rounded once.

    It takes and saves numbers as they are. Arrays of transforms are taken to float32 where their rules meet plain ones, and
    so are those of traced sweeps, which are made of operations.
    """

    __slots__ = ()

    def __init__(self, op: Primitive, F: Any) -> None:
        super().__init__(op, F)
        if not hasattr(F, "interpreter"):
            self.forward = widened(self.forward)

    def bound(self, pull: Pull, F: Any) -> Pull:
        """`pull` on float32."""
        return pull if F is traced or hasattr(self.F, "interpreter") else _wide(pull)


def _wide(pull: Pull) -> Pull:
    def wide(g: Any, saved: Any) -> tuple[Any, ...]:
        parts = pull(g.astype(_FLOAT32), tuple([x.astype(_FLOAT32) if is_narrow(x) else x for x in saved]))
        return tuple([None if part is None else part.astype(g.dtype) for part in parts])

    return wide


def _sixteen_bits(op: Primitive, dtype: Any) -> bool:
    return op.exact_numbers and dtype.itemsize == 2 and dtype.kind in "fV"


def with_numbers(op: Primitive, inputs: Sequence[Any], dtype: Any) -> Sequence[Any]:
    """The inputs of `op` in `dtype`, where a second one on the host that is 0-d and constant is a number, as in torch."""
    if not _sixteen_bits(op, dtype) or len(inputs) != 2:
        return inputs
    y = inputs[1]
    if not isinstance(y, Value) or type(y._array) is not host.Array or y._array.ndim or y._array.dtype == dtype:
        return inputs
    history = y._node if y._meta is None else views.current(y)
    return [inputs[0], y._array.item()] if history is None or not modes.is_grad_enabled() else inputs


def wanted(op: Primitive, inputs: Sequence[Any], dtype: Any) -> bool:
    """Whether `op` in `dtype` on these inputs, some of which may be numbers, is to be exact in them."""
    return _sixteen_bits(op, dtype) and any(type(x) in (bool, int, float) for x in inputs)


def fitting(kernel: Kernel, inputs: Sequence[Any], dtype: Any) -> Kernel:
    """The exact kernel in the place of `kernel`, if that is wanted."""
    return _exact(kernel.op, kernel.F) if wanted(kernel.op, inputs, dtype) else kernel


@functools.cache
def _exact(op: Primitive, F: Any) -> Exact:
    return Exact(op, F)
