"""Attention by cuDNN, by kernels of its own, or composed, whichever serves best; must not know how any of them computes.

cuDNN and the kernels keep the same of a forward, the logarithm of each query's sum, so that either reverses the other's.
"""
from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import cupy as cp

from gradcore.backends import composed, plans
from gradcore.backends.kernels import attention as kernels
from gradcore.backends.kernels.dropout import AGAIN
from gradcore.backends.kernels.launch import named, wide

Bind = Callable[[Callable[..., Any]], Callable[..., Any]]

TYPES = {"float16": "HALF", "bfloat16": "BFLOAT16"}  # that cuDNN serves


class Attention(NamedTuple):
    """What is asked of cuDNN: attention, or its derivative, of heads of these sizes."""

    backward: bool
    batch: int
    heads: int
    queries: int
    keys: int
    depth: int
    width: int
    dtype: str
    scale: float
    causal: bool
    exact: bool

    def described(self, library: Any, handle: Any) -> tuple[Any, tuple[Any, ...]]:
        """The graph, with q, k, v, the result and the levels; of the derivative the cotangents after these."""
        kind, wider = getattr(library.data_type, TYPES[self.dtype]), library.data_type.FLOAT
        graph = library.pygraph(io_data_type=kind, intermediate_data_type=wider, compute_data_type=wider, handle=handle)
        of_queries, of_keys = (self.batch, self.heads, self.queries), (self.batch, self.heads, self.keys)
        shapes = (*of_queries, self.depth), (*of_keys, self.depth), (*of_keys, self.width), (*of_queries, self.width)
        given = [plans.operand(graph, shape, kind) for shape in shapes[:3]]
        settings: dict[str, Any] = {"attn_scale": self.scale}
        if self.causal:
            settings |= {"diagonal_alignment": library.diagonal_alignment.TOP_LEFT, "diagonal_band_right_bound": 0}
        if not self.backward:
            made = graph.sdpa(**dict(zip("qkv", given, strict=True)), is_inference=False, **settings)
            plans.result(made[0], shapes[3], kind)
            plans.result(made[1], (*of_queries, 1), wider)
            return graph, (*given, *made)
        given += [plans.operand(graph, shapes[3], kind), plans.operand(graph, (*of_queries, 1), wider)]
        given += [plans.operand(graph, shapes[3], kind)]
        names = ("q", "k", "v", "o", "stats", "dO")
        settings["use_deterministic_algorithm"] = self.exact
        made = graph.sdpa_backward(**dict(zip(names, given, strict=True)), **settings)
        for end, shape in zip(made, shapes, strict=False):
            plans.result(end, shape, kind)
        return graph, (*given, *made)

    def unwanted(self, notes: Any) -> list[Any]:
        """Nothing: whether the bits must be the same every time is a setting of the graph's."""
        return []


def _plan(
    backward: bool, q: Any, k: Any, v: Any, mask: Any, scale: float, causal: bool, drop: float, arrays: Callable[[], Any]
) -> plans.Plan | None:
    """How cuDNN computes it, None where it does not serve: masks, and random numbers that composed ones could not repeat."""
    if mask is not None or drop or not plans.usable() or q.dtype.name not in TYPES or not q.dtype == k.dtype == v.dtype:
        return None
    lead = q.shape[:-2]
    if not lead == k.shape[:-2] == v.shape[:-2] or not (q.size and k.size and v.size):
        return None
    sizes = (*lead[-1:], 1)[0], q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1]
    asked = Attention(backward, prod(lead[:-1]), *sizes, q.dtype.name, scale, causal, backward and plans.exact())
    return plans.plan(asked, int(q.data.device_id), arrays)


def attend(bind: Bind) -> Callable[..., Any]:
    """Return the function `attend` of a backend, which keeps a number for each query, or all shares."""
    otherwise = bind(composed.attend)

    def call(
        q: Any, k: Any, v: Any, mask: Any, scale: float, causal: bool, drop: float = 0.0, source: Any = None
    ) -> Any:
        def arrays() -> Any:
            levels = cp.empty(q.shape[:-1], wide(q))
            return *map(cp.ascontiguousarray, (q, k, v)), cp.empty((*q.shape[:-1], v.shape[-1]), q.dtype), levels

        plan = _plan(False, q, k, v, mask, scale, causal, drop, arrays)
        if plan is None and not kernels.serve(q, k, v):
            return otherwise(q, k, v, mask, scale, causal, drop, source)
        given = arrays()
        out, levels = given[3:]
        dropped = cp.empty(2, "u8") if drop else levels
        if plan is not None:
            plan.run(*given)
        else:
            kernels.forward(given, mask, dropped, scale, causal, drop, source.call() if drop else AGAIN)
        return out, levels, dropped

    return named(call, "attend", otherwise)


def attend_backward(bind: Bind) -> Callable[..., Any]:
    """Return the function `attend_backward` of a backend."""
    otherwise, forward = bind(composed.attend_backward), bind(composed.attend)

    def call(
        g: Any, q: Any, k: Any, v: Any, mask: Any, out: Any, kept: Any, dropped: Any, scale: float, causal: bool,
        drop: float = 0.0,
    ) -> Any:
        if kept.ndim == q.ndim:  # all shares
            return otherwise(g, q, k, v, mask, out, kept, dropped, scale, causal, drop)

        def arrays() -> Any:
            return *map(cp.ascontiguousarray, (q, k, v, out, kept, g)), *(cp.empty(x.shape, x.dtype) for x in (q, k, v))

        plan = _plan(True, q, k, v, mask, scale, causal, drop, arrays)
        if plan is None and not kernels.room(q, v):
            kept = forward(q, k, v, mask, scale, causal)[1]
            return otherwise(g, q, k, v, mask, out, kept, dropped, scale, causal, drop)
        given = arrays()
        if plan is not None:
            plan.run(*given)
        else:
            kernels.backward(given, mask, dropped, scale, causal, drop)
        return given[6:]

    return named(call, "attend_backward", otherwise)
