"""Python's operators on Tensors. It must not know any derivative.

Where it can, an operator is the primitive itself: nothing stands between `x * y` and its recorder. A function
that returns NotImplemented lets Python try the other operand and raise TypeError itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradcore.ops import pointwise
from gradcore.ops.registry import methods
from gradcore.primitives import comparison as c
from gradcore.primitives import elementwise as e
from gradcore.recorder.inplace import inplace
from gradcore.recorder.record import operand

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def _truediv_from(self: Tensor, other: Any) -> Any:
    return self.reciprocal() * other


def _pow(self: Tensor, exponent: Any) -> Any:
    if (type(exponent) is int or type(exponent) is float) and self._array.dtype.kind == "f":
        return e.power_number(self, exponent)
    return _general_pow(self, exponent)


def _pow_from(self: Tensor, base: Any) -> Any:
    if (type(base) is int or type(base) is float) and self._array.dtype.kind == "f":
        return e.number_power(self, base)
    return _general_pow_from(self, base)


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The operator of a function that raises TypeError for a wrong operand itself."""
    return lambda self, other: NotImplemented if operand(other) is NotImplemented else function(self, other)


def _swapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The operator for a Tensor on the right of something that is none."""
    return lambda self, other: NotImplemented if operand(other) is NotImplemented else function(other, self)


_general_pow, _general_pow_from = _checked(pointwise.pow), _swapped(pointwise.pow)

_BINARY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "add": (e.add, e.add),
    "sub": (e.subtract, e.reverse_subtract),
    "mul": (e.multiply, e.multiply),
    "truediv": (e.divide, _truediv_from),
    "floordiv": (_checked(pointwise.floor_divide), _swapped(pointwise.floor_divide)),
    "mod": (_checked(pointwise.remainder), _swapped(pointwise.remainder)),
    "pow": (_pow, _pow_from),
    "and": (e.bitwise_and, e.bitwise_and),
    "or": (e.bitwise_or, e.bitwise_or),
    "xor": (e.bitwise_xor, e.bitwise_xor),
    "lshift": (e.left_shift, _swapped(e.left_shift)),
    "rshift": (e.right_shift, _swapped(e.right_shift)),
}

for _name, (_function, _reflected) in _BINARY.items():
    methods[f"__{_name}__"] = _function
    methods[f"__r{_name}__"] = _reflected
    methods[f"__i{_name}__"] = inplace(_function, f"__i{_name}__")


def _inverted(self: Any) -> Any:
    if self._array.dtype.kind in "fcV":
        raise TypeError(
            "~ (operator.invert) is only implemented on integer and Boolean-type tensors, "
            f"and this is one of {self.dtype}: compare first, as in ~(x > 0), or negate by -x"
        )
    return e.bitwise_not(self)


methods.update(
    __div__=e.divide,
    __rdiv__=_truediv_from,
    __idiv__=methods["__itruediv__"],
    __neg__=e.negative,
    __pos__=pointwise.positive,
    __abs__=e.absolute,
    __invert__=_inverted,
    __eq__=c.equal,
    __ne__=c.not_equal,
    __lt__=c.less,
    __le__=c.less_equal,
    __gt__=c.greater,
    __ge__=c.greater_equal,
)
