"""Running sums and products, and products along an axis, with their derivatives. It must not know Tensors.

No derivative divides: those of products are products of the other factors (`cumprod(exclusive=True)`) and the
linear recurrence r[k+1] = b[k+1] + a[k] r[k], whose own derivative is the same recurrence run the other way.
So factors of zero are no special case at any order.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from gradcore.backends.shared import widened
from gradcore.primitives.logarithms import logaddexp
from gradcore.recorder import primitive

Array = Any


def _at(axis: int, start: int | None, stop: int | None) -> tuple[slice, ...]:
    """The index of a part along `axis`."""
    return (*(slice(None),) * axis, slice(start, stop))


def _but_first(F: Any, x: Array, axis: int) -> Array:
    return F.basic_getitem(x, index=_at(axis, 1, None))


def _but_last(F: Any, x: Array, axis: int) -> Array:
    return F.basic_getitem(x, index=_at(axis, None, -1))


def scan(F: Any, combine: Callable[[list[Array], list[Array]], list[Array]], parts: list[Array], axis: int) -> list[Array]:
    """Combine, for every position along `axis`, all `parts` up to it, in log2(n) steps."""
    n = parts[0].shape[axis] if parts[0].ndim else 1
    step = 1
    while step < n:
        before = [x[_at(axis, None, -step)] for x in parts]
        here = [x[_at(axis, step, None)] for x in parts]
        heads = [x[_at(axis, None, step)] for x in parts]
        parts = [F.concatenate(pair, axis) for pair in zip(heads, combine(before, here), strict=True)]
        step *= 2
    return parts


# -- sums -------------------------------------------------------------------------------------------------


@primitive("linear", dense=True, x=lambda F, g, axis, reverse: F.cumsum(g, axis=axis, reverse=not reverse))
def cumsum(F: Any, x: Array, *, axis: int, reverse: bool = False) -> Array:
    """The sum of the elements up to each, or with `reverse` from each on."""
    if not x.ndim:
        return F.copy(x)
    out = F.flip(F.cumsum(F.flip(x, axis), axis), axis) if reverse else F.cumsum(x, axis)
    return F.astype(out, x.dtype)


@widened
def _logcumsumexp(F: Any, x: Array, axis: int) -> Array:
    if not x.ndim:
        return F.copy(x)
    if x.dtype.kind != "c":
        if F.device_type == "cpu":
            return F.logaddexp.accumulate(x, axis)
        return scan(F, lambda before, here: [F.logaddexp(before[0], here[0])], [x], axis)[0]
    # Of which branch a complex logarithm is depends on the order of the sums: one after the other, as in torch.
    add: Callable[..., Array] = logaddexp.primitive.forward  # type: ignore[attr-defined]
    sums = [F.getitem(x, _at(axis, i, i + 1)) for i in range(x.shape[axis])]
    for i, each in enumerate(sums):
        sums[i] = add(F, each, sums[i - 1] if i else F.full(each.shape, -inf, x.dtype))
    return F.concatenate(sums, axis) if sums else F.copy(x)


def _logcumsumexp_pull(F: Any, g: Array, x: Array, out: Array, axis: int) -> Array:
    if not out.ndim:
        return g
    before, after = _but_last(F, out, axis), _but_first(F, out, axis)
    stuck = F.logical_and(before == after, F.absolute(after) == inf)  # infinity less infinity would spoil what is before
    decay = F.exp(F.where(stuck, 0.0, before - after))
    return F.recurrence(decay, g, axis=axis, reverse=True) * F.exp(x - out)


@primitive("general", dense=True, x=_logcumsumexp_pull)
def logcumsumexp(F: Any, x: Array, *, axis: int) -> Array:
    """The logarithm of the running sum of exp(x)."""
    return _logcumsumexp(F, x, axis)


# -- linear recurrences -----------------------------------------------------------------------------------


_WIDE = 100  # elements side by side, for which a call for each step costs less than log2(n) passes


def _step_by_step(F: Any, a: Array, b: Array, axis: int) -> Array:
    factors, out = F.ascontiguousarray(F.moveaxis(a, axis, 0)), F.copy(F.moveaxis(b, axis, 0))
    for factor, before, here in zip(factors, out, out[1:], strict=False):
        here += factor * before
    return F.ascontiguousarray(F.moveaxis(out, 0, axis))


def _recurrence_pull(
    F: Any, g: Array, a: Array, out: Array, needs: tuple[bool, ...], axis: int, reverse: bool
) -> tuple[Array, Array]:
    back = F.recurrence(a, g, axis=axis, reverse=not reverse)
    if not needs[0]:
        return None, back
    if reverse:
        return _but_last(F, back, axis) * _but_first(F, out, axis), back
    return _but_first(F, back, axis) * _but_last(F, out, axis), back


@primitive("general", vjp=_recurrence_pull)
def recurrence(F: Any, a: Array, b: Array, *, axis: int, reverse: bool = False) -> Array:
    """r[0] = b[0], r[k+1] = b[k+1] + a[k] r[k]; with `reverse`, r[k] = b[k] + a[k] r[k+1], from the last."""
    if b.shape[axis] < 2:
        return F.copy(b)
    if reverse:
        a, b = F.flip(a, axis), F.flip(b, axis)
    if F.device_type == "cpu" and b.itemsize > 2 and b.size >= _WIDE * b.shape[axis]:
        out = _step_by_step(F, a, b, axis)
        return F.flip(out, axis) if reverse else out
    # Nothing stands before the first element, so its factor is never used.
    factors = F.concatenate([F.zeros_like(b[_at(axis, None, 1)]), a], axis)

    def combine(before: list[Array], here: list[Array]) -> list[Array]:
        return [before[0] * here[0], here[0] * before[1] + here[1]]

    out = scan(F, combine, [factors, b], axis)[1]
    return F.flip(out, axis) if reverse else out


# -- products ---------------------------------------------------------------------------------------------


def _cumprod_pull(F: Any, g: Array, x: Array, out: Array, axis: int, reverse: bool, exclusive: bool) -> Array:
    if not out.ndim:
        return F.zero(g) if exclusive else g
    if not exclusive:
        others = F.cumprod(x, axis=axis, reverse=reverse, exclusive=True)
        a = (_but_last if reverse else _but_first)(F, x, axis)
        return others * F.recurrence(a, g, axis=axis, reverse=not reverse)
    a = _but_first(F, _but_last(F, x, axis), axis)
    b = (_but_last if reverse else _but_first)(F, g, axis)
    later = F.recurrence(a, b, axis=axis, reverse=not reverse)
    place = _at(axis, 1, None) if reverse else _at(axis, None, -1)
    return out * F.embed(later, index=place, shape=tuple(out.shape))


@primitive("general", dense=True, x=_cumprod_pull)
def cumprod(F: Any, x: Array, *, axis: int, reverse: bool = False, exclusive: bool = False) -> Array:
    """The product of the elements up to each, or with `reverse` from it on; with `exclusive`, without it."""
    if not x.ndim:
        return F.ones_like(x) if exclusive else F.copy(x)
    if reverse:
        x = F.flip(x, axis)
    if exclusive:
        first = x[_at(axis, None, 1)]
        x = F.concatenate([F.ones_like(first), x[_at(axis, None, -1)]], axis)
    out = F.astype(F.cumprod(x, axis), x.dtype)
    return F.flip(out, axis) if reverse else out


def _prod_pull(F: Any, g: Array, x: Array, x_shape: tuple[int, ...], axis: int) -> Array:
    before = F.cumprod(x, axis=axis, exclusive=True)
    after = F.cumprod(x, axis=axis, exclusive=True, reverse=True)
    return F.spread(g, axis=(axis,), shape=x_shape) * (before * after)


@primitive("general", dense=True, x=_prod_pull)
def prod(F: Any, x: Array, *, axis: int, keepdims: bool = False) -> Array:
    """The product over one axis."""
    out = F.as_array(F.prod(x, axis, keepdims=keepdims))
    return F.astype(out, x.dtype)  # integers stay what they are
