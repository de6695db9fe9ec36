"""The methods and operators of NumPy's arrays, of whatever NumPy's protocols know. It must not know what that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradcore.backends import numpy as host

np: Any = host.asarray(0.0).__array_namespace__()


class ArrayMethods:
    """What is called on arrays of NumPy's. Those that are functions of the same name and arguments follow below."""

    __slots__ = ()

    def fill(self: Any, value: Any) -> None:
        """Overwrite every element with `value`."""
        self[...] = value

    def sort(self: Any, axis: int = -1, **how: Any) -> None:
        """Sort in place."""
        self[...] = np.sort(self, axis)

    def partition(self: Any, kth: Any, axis: int = -1, **how: Any) -> None:
        """Sort in place, which is one way to partition."""
        self.sort(axis)

    def put(self: Any, indices: Any, values: Any, mode: str = "raise") -> None:
        """Overwrite the elements at places of the flat array."""
        np.put(self, indices, values, mode)

    def compress(self: Any, condition: Any, axis: Any = None) -> Any:
        """The parts that `condition` marks."""
        return np.compress(condition, self, axis)

    def astype(self: Any, dtype: Any, *args: Any, **keywords: Any) -> Any:
        """A copy in another dtype."""
        return np.astype(self, host.dtype(dtype))

    def view(self: Any, *args: Any) -> Any:
        """Itself. Raises TypeError for another dtype, as which it cannot be a view."""
        if args:
            raise TypeError("view() in another dtype has no derivative; use astype()")
        return self[...]

    def flatten(self: Any, order: str = "C") -> Any:
        """A flat copy."""
        return np.ravel(self, order).copy()

    def reshape(self: Any, *shape: Any, order: str = "C") -> Any:
        """A view of another shape."""
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)

    def transpose(self: Any, *axes: Any) -> Any:
        """A view with the axes in another order."""
        return np.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *args, **keywords: function(self, *args, **keywords)


def _operator(ufunc: Any, turned: bool) -> Callable[..., Any]:
    def operator(self: Any, other: Any) -> Any:
        return self.by_ufunc(ufunc, "__call__", *((other, self) if turned else (self, other)))

    return operator


def _in_place(ufunc: Any) -> Callable[..., Any]:
    def operator(self: Any, other: Any) -> Any:
        into = {"out": (self,)} if self.ndim else {}  # NumPy's numbers do not change
        return self.by_ufunc(ufunc, "__call__", self, other, **into)

    return operator


_METHODS = (
    "all any argmax argmin argsort choose clip conj conjugate cumprod cumsum diagonal dot max mean min nonzero prod ravel "
    "repeat round searchsorted squeeze std sum swapaxes take trace var "
    # NumPy asks the elements of arrays of objects for these.
    "sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh exp exp2 expm1 log log2 log10 log1p sqrt cbrt "
    "square absolute sign floor ceil trunc rint degrees radians arctan2 hypot fmod copysign logical_xor"
).split()
_BINARY = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
_OTHERS = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
    "divmod": "divmod",
}  # fmt: skip

for _name in _METHODS:
    setattr(ArrayMethods, _name, _method(getattr(np, _name)))
for _name, _ufunc in {**_BINARY, **_OTHERS}.items():
    setattr(ArrayMethods, f"__{_name}__", _operator(getattr(np, _ufunc), False))
for _name, _ufunc in {**_BINARY, "divmod": "divmod"}.items():
    setattr(ArrayMethods, f"__r{_name}__", _operator(getattr(np, _ufunc), True))
for _name, _ufunc in _BINARY.items():
    setattr(ArrayMethods, f"__i{_name}__", _in_place(getattr(np, _ufunc)))
for _name, _ufunc in {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}.items():
    setattr(ArrayMethods, f"__{_name}__", _method(getattr(np, _ufunc)))
