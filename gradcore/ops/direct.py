"""Primitives that are public as they are: there is nothing to normalise. It must not know which they are.

The method of one input is the primitive itself: nothing stands between `x.exp()` and its recorder.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from gradcore.graph import modes
from gradcore.ops.arguments import not_a_tensor
from gradcore.ops.out import put_out
from gradcore.ops.registry import functions, methods, named
from gradcore.recorder.inplace import inplace as in_place
from gradcore.recorder.value import Value

Function = Callable[..., Any]


def public(primitive: Function, *names: str, inplace: bool = True, numbers: str = "either", exact: bool = False) -> Function:
    """Make `primitive` public under torch's `names`; returns the function of the first one.

    A name with a dot ("special.expm1") is a function in that namespace, any other also a method and, if
    `inplace`, one with an underscore. `numbers` says which of two arguments may be one ("either", "second" or
    "neither"), `exact` that `out=` must have the result's dtype.
    """
    name = names[0]
    unary = len(primitive.primitive.inputs) == 1  # type: ignore[attr-defined]
    function = _unary(primitive, name, exact) if unary else _binary(primitive, name, numbers)
    quick = primitive if unary else function
    home, _, own = name.rpartition(".")
    named(function, own, home).__doc__ = primitive.__doc__
    for each in names:
        namespace, _, bare = each.rpartition(".")
        functions[namespace][bare] = function
        if not namespace:
            methods[bare] = quick
            if inplace:
                methods[f"{bare}_"] = in_place(quick, f"{bare}_")
    return function


# `x`, `x1` and `x2` are NumPy's names of the arguments, which torch takes too.


def _unary(primitive: Function, name: str, exact: bool) -> Function:
    def function(input: Any = None, *, out: Any = None, x: Any = None) -> Any:
        if not isinstance(input, Value):
            input = x if input is None else input
            if not isinstance(input, Value):
                raise not_a_tensor(name, "input", 1, input)
        return primitive(input) if out is None else _put(primitive, name, out, (input,), exact)

    return function


def _binary(primitive: Function, name: str, numbers: str) -> Function:
    always, never = numbers == "either", numbers == "neither"

    def function(input: Any = None, other: Any = None, *, out: Any = None, x1: Any = None, x2: Any = None) -> Any:
        if other is None:
            input, other = x1 if input is None else input, x2
        if not always and not (isinstance(input, Value) and (isinstance(other, Value) or not never)):
            raise _refused(name, input, other, Value)
        result = primitive(input, other) if out is None else _put(primitive, name, out, (input, other))
        return accepted(result, name, input, other)

    return function


def _put(primitive: Function, name: str, out: Any, given: tuple[Any, ...], exact: bool = False) -> Any:
    # What has no derivative may be asked of tensors that need a gradient.
    with nullcontext() if primitive.primitive.differentiable else modes.no_grad():  # type: ignore[attr-defined]
        return put_out(name, primitive, out, given, {}, exact=exact)


def accepted(result: Any, name: str, input: Any, other: Any) -> Any:
    """`result`, or the TypeError for the operand because of which it is NotImplemented."""
    if result is NotImplemented:
        raise _refused(name, input, other, (Value, bool, int, float, complex))
    return result


def _refused(name: str, input: Any, other: Any, taken: Any) -> TypeError:
    if isinstance(input, taken):
        return not_a_tensor(name, "other", 2, other)
    return not_a_tensor(name, "input", 1, input)
