"""Logarithms and their kin, as torch spells them. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore.ops.arguments import need_tensor, not_a_tensor
from gradcore.ops.direct import public
from gradcore.ops.numbers import floating, full, promoted
from gradcore.ops.registry import functions, op
from gradcore.primitives import logarithms as p
from gradcore.recorder import renamed
from gradcore.recorder.record import operand
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

asinh = public(p.arcsinh, "asinh", "arcsinh")
acosh = public(p.arccosh, "acosh", "arccosh")
atanh = public(p.arctanh, "atanh", "arctanh")
exp2 = public(p.exp2, "exp2", "special.exp2")
logaddexp = public(p.logaddexp, "logaddexp", inplace=False, numbers="neither")
logaddexp2 = public(p.logaddexp2, "logaddexp2", inplace=False, numbers="neither")


def named_by_numbers(primitive: Any, node: str) -> dict[tuple[bool, bool], Any]:
    """`primitive` by whether its first and its second operand is a tensor, for which torch has a node name each."""
    return {
        (True, True): primitive,
        (False, True): renamed(primitive, f"{node}Backward1"),
        (True, False): renamed(primitive, f"{node}Backward2"),
    }


def applied(named: dict[tuple[bool, bool], Any], name: str, input: Any, other: Any) -> Any:
    """The result for two operands of which one may be a number. Raises TypeError for others."""
    x, y = operand(input), operand(other)
    if y is NotImplemented:
        raise not_a_tensor(name, "other", 2, other)
    if x is NotImplemented or not (isinstance(x, Value) or isinstance(y, Value)):
        raise not_a_tensor(name, "input", 1, input)
    kind = (isinstance(x, Value), isinstance(y, Value))
    dtype = floating(promoted(x, y))  # before a number is one of unsigned integers
    return named[kind](full(x, y, dtype) if not kind[0] else x, full(y, x, dtype) if not kind[1] else y)


_xlogy = named_by_numbers(p.xlogy, "Xlogy")


@op(inplace=True, out=True)
def xlogy(input: Any, other: Any) -> Any:
    """Multiply by the logarithm of `other`: 0 where `input` is 0, whatever `other` but NaN; one may be a number."""
    return applied(_xlogy, "xlogy", input, other)


functions["special"]["xlogy"] = functions[""]["xlogy"]


@op(inplace=True, out=True)
def logit(input: Tensor, eps: float | None = None) -> Any:
    """Return log(x / (1 - x)), of `input` kept within [eps, 1 - eps] if that is given."""
    need_tensor(input, "logit")
    return p.logit(input, eps=None if eps is None or eps < 0 else eps)


functions["special"]["logit"] = functions[""]["logit"]
