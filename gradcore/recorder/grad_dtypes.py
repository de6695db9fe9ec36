"""The dtype of a leaf's gradient where a user chose another than the leaf's own. It must not know any operation.

Other tensors pay nothing for it: a choice is an attribute of its tensor, `_grad_dtype`, and a hook before all others.
"""

from __future__ import annotations

import weakref
from typing import Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.recorder import hooks
from gradcore.recorder.record import cast
from gradcore.recorder.value import Value


class _Cast:
    """What gives the cotangents of a leaf the dtype that was chosen, before the leaf's hooks see them."""

    __slots__ = ("owner",)

    last = -1

    def __init__(self, t: Value) -> None:
        self.owner = weakref.ref(t)

    def __call__(self, c: Any) -> Any:
        dtype = getattr(self.owner(), "_grad_dtype", None)
        if dtype is None:
            return c
        if dtype.kind in "biu":
            raise RuntimeError(
                f"a gradient cannot be of grad_dtype {dtypes.of(dtype)}: choose a floating point or complex dtype, or None"
            )
        if isinstance(c, Value):
            return c if c._array.dtype == dtype else cast(c, dtype)
        F = of(c)
        return c if c.dtype == dtype else F.astype(F.real(c) if c.dtype.kind == "c" and dtype.kind != "c" else c, dtype)


def choose(t: Value, dtype: Any) -> None:
    """Let gradients of `t` have this NumPy dtype, or any if it is None."""
    if "_grad_dtype" not in t.__dict__:
        hooks.add_first(t, _Cast(t))
    t.__dict__["_grad_dtype"] = dtype
