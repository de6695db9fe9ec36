"""Which operation answers which ufunc, and which method of one. It must not know NumPy's calls or any derivative.

A ufunc of the same name as an operation needs no entry.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from gradcore import ops
from gradcore.ops import arguments, numpy_functions

Function = Callable[..., Any]


def _divmod(x: Any, y: Any) -> tuple[Any, Any]:
    return x // y, x % y


def _float_power(x: Any, y: Any) -> Any:
    return x.double() ** y


def _modf(x: Any) -> tuple[Any, Any]:
    return x.frac(), x.trunc()


def _cbrt(x: Any) -> Any:
    return x.sign() * x.abs() ** (1 / 3)


def _vecdot(x: Any, y: Any, *, axis: int = -1) -> Any:
    return (x.conj() * y).sum(axis)


def _matvec(x: Any, y: Any) -> Any:
    return (x @ y.unsqueeze(-1)).squeeze(-1)


def _vecmat(x: Any, y: Any) -> Any:
    return (x.conj().unsqueeze(-2) @ y).squeeze(-2)


# Operators take Python's numbers as they are, so that they stay weaker than the Tensor's dtype.
OPERATORS: Final[dict[str, Function]] = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv,
    "true_divide": operator.truediv, "floor_divide": operator.floordiv, "remainder": operator.mod, "power": operator.pow,
    "negative": operator.neg, "positive": operator.pos, "absolute": operator.abs, "fabs": operator.abs,
    "bitwise_and": operator.and_, "bitwise_or": operator.or_, "bitwise_xor": operator.xor, "invert": operator.invert,
    "left_shift": operator.lshift, "right_shift": operator.rshift, "divmod": _divmod, "equal": operator.eq,
    "not_equal": operator.ne, "less": operator.lt, "less_equal": operator.le, "greater": operator.gt,
    "greater_equal": operator.ge,
}  # fmt: skip

# The others that are not called as the operation is, or are composed of several.
NAMES: Final[dict[str, str | Function]] = {
    "matmul": "matmul", "vecdot": _vecdot, "matvec": _matvec, "vecmat": _vecmat, "conjugate": "conj", "rint": "round",
    "float_power": _float_power, "modf": _modf, "cbrt": _cbrt, "arcsinh": "asinh", "arccosh": "acosh",
    "arctanh": "atanh", "radians": "deg2rad", "degrees": "rad2deg", "psi": "digamma",
    # SciPy's
    "j0": "bessel_j0", "j1": "bessel_j1", "y0": "bessel_y0", "y1": "bessel_y1", "k0": "modified_bessel_k0",
    "k1": "modified_bessel_k1", "k0e": "scaled_modified_bessel_k0", "k1e": "scaled_modified_bessel_k1",
    "_zeta": "zeta",
}  # fmt: skip


def _along(name: str, extended: Any = None) -> Function:
    """The reduction `name` with the arguments of ufunc.reduce; `initial` and `where` are for NumPy's own, `extended`."""

    def reduce(x: Any, axis: Any = 0, *, keepdims: bool = False, initial: Any = None, where: Any = True) -> Any:
        if initial is not None or where is not True:
            if extended is None:
                raise TypeError(f"{name}: initial= and where= of this ufunc's reduce are not supported on tensors")
            return extended(x, axis, keepdims=keepdims, initial=initial, where=where)
        for each in sorted(arguments.axes(axis, x.ndim), reverse=True):
            x = ops.function("", name)(x, each, keepdim=keepdims)
        return x

    return reduce


def _running(name: str) -> Function:
    """The cumulative operation `name` with the arguments of ufunc.accumulate."""

    def accumulate(x: Any, axis: int = 0) -> Any:
        result = ops.function("", name)(x, axis)
        return result[0] if isinstance(result, tuple) else result

    return accumulate


def outer(f: Function | None) -> Function | None:
    """`f` of every pair of elements."""
    return f and (lambda x, y: f(x.reshape((*x.shape, *(1,) * y.ndim)), y))


def _parts(reduce: Function) -> Function:
    """The reduction of each part with the arguments of ufunc.reduceat: from one place up to the next."""

    def reduceat(x: Any, indices: Any, axis: int = 0) -> Any:
        axis, places = axis % x.ndim, [int(i) for i in indices]
        ends = [*places[1:], x.shape[axis]]
        spans = [(i, max(end - i, 1)) for i, end in zip(places, ends, strict=True)]
        return ops.function("", "stack")([reduce(x.narrow(axis, i, n), axis) for i, n in spans], axis)

    return reduceat


METHODS: Final[dict[str, dict[str, Function]]] = {
    "reduce": {
        "add": _along("sum", numpy_functions.sum_), "multiply": _along("prod", numpy_functions.prod),
        "maximum": _along("amax", numpy_functions.known("max")), "minimum": _along("amin", numpy_functions.known("min")),
        "logical_and": _along("all"), "logical_or": _along("any"), "logaddexp": _along("logsumexp"),
    },
    "accumulate": {
        "add": _running("cumsum"), "multiply": _running("cumprod"), "maximum": _running("cummax"),
        "minimum": _running("cummin"), "logaddexp": _running("logcumsumexp"),
    },
}  # fmt: skip
METHODS["reduceat"] = {name: _parts(reduce) for name, reduce in METHODS["reduce"].items()}
