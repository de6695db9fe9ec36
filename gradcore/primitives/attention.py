"""Attention as one primitive: a device need not hold all scores. It must not know Tensors or heads."""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive

Array = Any


def _shares(F: Any, query: Any, key: Any, mask: Any, scale: float, causal: bool, boolean: bool) -> Any:
    scores = F.matmul(query * scale, F.matrix_transpose(key))
    if causal:
        scores = F.where(F.tril(F.zero(scores) + 1, k=0) > 0, scores, float("-inf"))
    if mask is None:
        return F.softmax(scores, axis=(scores.ndim - 1,))
    seen = mask if boolean else mask != float("-inf")
    scores = F.where(seen, scores if boolean else scores + mask, float("-inf"))
    return F.masked(F.softmax(scores, axis=(scores.ndim - 1,)), seen)  # nan where nothing may be seen


def _left(F: Any, x: Any, dropped: Any, drop: float) -> Any:
    return F.masked(x, F.kept_places(dropped, shape=tuple(x.shape), p=drop)) * (1 / (1 - drop)) if drop else x


def _attend(
    F: Any, query: Any, key: Any, value: Any, mask: Any, scale: float, causal: bool, boolean: bool = False,
    drop: float = 0.0, source: Any = None,
) -> tuple[Any, Any, Any]:
    shares = _shares(F, query, key, mask, scale, causal, boolean)
    some, dropped = F.dropout(shares, p=drop, source=source) if drop else (shares, shares)
    return F.matmul(some, value), shares, dropped


def _attend_backward(
    F: Any, x: Any, query: Any, key: Any, value: Any, mask: Any, out: Any, kept: Any, dropped: Any, scale: float,
    causal: bool, boolean: bool = False, drop: float = 0.0,
) -> tuple[Any, Any, Any]:
    shares = _shares(F, query, key, mask, scale, causal, boolean)
    scores = _left(F, F.matmul(x, F.matrix_transpose(value)), dropped, drop)
    scores = F.softmax_backward(scores, shares, axis=(shares.ndim - 1,)) * scale
    some = F.matrix_transpose(_left(F, shares, dropped, drop))
    return F.matmul(scores, key), F.matmul(F.matrix_transpose(scores), query), F.matmul(some, x)


@primitive("general", composition=_attend_backward)
def attend_backward(
    F: Any, x: Array, query: Array, key: Array, value: Array, mask: Array, out: Array, kept: Array, dropped: Array, *,
    scale: float, causal: bool, boolean: bool = False, drop: float = 0.0,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """The cotangents of query, key and value of `attend`, of the cotangent x of its result `out`."""
    return F.attend_backward(x, query, key, value, mask, out, kept, dropped, scale, causal, drop)  # type: ignore[no-any-return]


def _vjp(
    F: Any, g: Any, needs: Any, query: Any, key: Any, value: Any, mask: Any, out: Any, kept: Any, dropped: Any,
    scale: float, causal: bool, boolean: bool, drop: float,
) -> tuple[Any, ...]:  # fmt: skip
    arrays = g, query, key, value, mask, out, kept, dropped
    return *F.attend_backward(*arrays, scale=scale, causal=causal, boolean=boolean, drop=drop), None


@primitive(
    "general",
    vjp=_vjp,
    outputs=("out", "kept", "dropped"),
    constant=("kept", "dropped"),
    composition=_attend,
    node="ScaledDotProductFlashAttentionForCpu",
)
def attend(
    F: Any, query: Array, key: Array, value: Array, mask: Array, *, scale: float, causal: bool, boolean: bool = False,
    drop: float = 0.0, source: Any = None,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """softmax(query key^T * scale + mask) value of (..., L, E), (..., S, E), (..., S, V); `causal` lets no row look ahead.

    A `boolean` mask says who is looked at, any other is added, None is none; it has no derivative here. With `drop`,
    elements of the softmax are dropped with this probability, by numbers of `source`. With the result comes what the
    backend wants kept for the derivative.
    """
    return F.attend(query, key, value, mask, scale, causal, drop, source)  # type: ignore[no-any-return]
