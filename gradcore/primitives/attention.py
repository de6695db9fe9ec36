"""Attention without masks, as one primitive: a device need not hold all scores. It must not know Tensors or heads."""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive

Array = Any


def _shares(F: Any, query: Any, key: Any, scale: float, causal: bool) -> Any:
    scores = F.matmul(query * scale, F.matrix_transpose(key))
    if causal:
        scores = F.where(F.tril(F.zero(scores) + 1, k=0) > 0, scores, float("-inf"))
    return F.softmax(scores, axis=(scores.ndim - 1,))


def _attend(F: Any, query: Any, key: Any, value: Any, scale: float, causal: bool) -> tuple[Any, Any]:
    shares = _shares(F, query, key, scale, causal)
    return F.matmul(shares, value), shares


def _attend_backward(
    F: Any, x: Any, query: Any, key: Any, value: Any, out: Any, kept: Any, scale: float, causal: bool
) -> tuple[Any, Any, Any]:
    shares = _shares(F, query, key, scale, causal)
    scores = F.softmax_backward(F.matmul(x, F.matrix_transpose(value)), shares, axis=(shares.ndim - 1,)) * scale
    return F.matmul(scores, key), F.matmul(F.matrix_transpose(scores), query), F.matmul(F.matrix_transpose(shares), x)


@primitive("general", composition=_attend_backward)
def attend_backward(
    F: Any, x: Array, query: Array, key: Array, value: Array, out: Array, kept: Array, *, scale: float, causal: bool
) -> tuple[Array, Array, Array]:
    """The cotangents of query, key and value of `attend`, of the cotangent x of its result `out`."""
    return F.attend_backward(x, query, key, value, out, kept, scale, causal)  # type: ignore[no-any-return]


@primitive(
    "general",
    vjp=lambda F, g, needs, query, key, value, out, kept, scale, causal: F.attend_backward(
        g, query, key, value, out, kept, scale=scale, causal=causal
    ),
    outputs=("out", "kept"),
    constant=("kept",),
    composition=_attend,
    node="ScaledDotProductFlashAttentionForCpu",
)
def attend(F: Any, query: Array, key: Array, value: Array, *, scale: float, causal: bool) -> tuple[Array, Array]:
    """softmax(query key^T * scale) value of (..., L, E), (..., S, E) and (..., S, V); `causal` lets no row look ahead.

    With it comes what the backend wants kept for the derivative.
    """
    return F.attend(query, key, value, scale, causal)  # type: ignore[no-any-return]
