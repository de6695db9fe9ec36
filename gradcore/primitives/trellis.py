"""Sums over all paths through a trellis, in logarithms, with derivatives. It must not know Tensors.

A path is in one of S states at each of T steps; from one step to the next it stays, moves on by one state or, where that
is allowed, by two. What flows back through the trellis is a linear recurrence, `flow`, whose derivative is the same
recurrence run the other way, so every order is there.
"""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive

Array = Any
MOVES = (0, 1, 2)
# The logarithm of a probability of 0: finite, so that differences of two are no nan.
NEVER = -1e30


def _moved(F: Any, x: Array, beyond: float) -> Array:
    """For each move and step after the first, what x (T, N, S) has for the states that it comes from at the step before,
    `beyond` the first state."""
    steps, batch, states = x.shape
    shape = (steps - 1, batch, states + len(MOVES) - 1)
    wide = F.pad(F.basic_getitem(x, index=(slice(0, steps - 1),)), index=_all(shape, states), shape=shape, value=beyond)
    last = len(MOVES) - 1
    return F.stack(*(F.basic_getitem(wide, index=(..., slice(last - d, last - d + states))) for d in MOVES), axis=0)


def _all(shape: tuple[int, int, int], states: int) -> tuple[slice, slice, slice]:
    return slice(0, shape[0]), slice(0, shape[1]), slice(shape[2] - states, shape[2])


def _trellis_pull(F: Any, g: Array, allowed: Array, out: Array) -> Array:
    """What reaches each state from there on; the share of a move is its part in the sum it went into."""
    shares = F.softmax(F.where(allowed, _moved(F, out, NEVER), NEVER), axis=(0,))
    return F.flow(g, F.masked(shares, allowed), back=True)


@primitive("general", x=_trellis_pull)
def trellis(F: Any, x: Array, allowed: Array) -> Array:
    """The logarithms of the sums over all paths to each state, of the products of exp(x) (T, N, S) on the way.

    `allowed` (3, 1, N, S) says which states each move may reach, and matters for the last one; paths begin in the first
    two states.
    """
    steps, batch, states = x.shape
    flat = batch * (states + _FIRST)
    x = _wide(F, F.maximum(x, NEVER), NEVER)
    out = F.full((steps, flat), NEVER, x.dtype)
    first = (..., slice(_FIRST, _FIRST + 2))
    out.reshape((steps, batch, -1))[(slice(1), *first)] = x.reshape((steps, batch, -1))[(slice(1), *first)]
    skips = F.zeros((len(MOVES), 1, batch, states), x.dtype)
    skips[-1] = F.where(allowed[-1], 0, NEVER)
    skips = _wide(F, skips, NEVER)[::-1, 0, _FIRST:]
    around = F.sliding_window_view(out, (flat - _FIRST,), (1,))  # (T, 3, states): leap, step, stay
    paths = F.empty(skips.shape, x.dtype)
    leap, step, stay = paths
    for t in range(1, steps):
        F.add(around[t - 1], skips, paths)
        top = F.maximum(leap, step)
        F.maximum(top, stay, out=top)
        paths -= top
        F.exp(paths, paths)
        leap += step
        leap += stay
        F.log(leap, leap)
        leap += top
        F.add(leap, x[t, _FIRST:], out[t, _FIRST:])
    return F.maximum(_narrow(out, batch), NEVER)


# Cells before the states of each sample, so that the samples can stand in one row that moves as a whole.
_FIRST = len(MOVES) - 1


def _wide(F: Any, x: Array, beyond: float) -> Array:
    """(..., N, S) as (..., N * (_FIRST + S)), with `beyond` before the states of each sample."""
    *lead, batch, states = x.shape
    out = F.full((*lead, batch, _FIRST + states), beyond, x.dtype)
    out[..., _FIRST:] = x
    return out.reshape((*lead, batch * (_FIRST + states)))


def _narrow(x: Array, batch: int) -> Array:
    """The states of each sample in (..., N * (_FIRST + S)), as (..., N, S)."""
    return x.reshape((*x.shape[:-1], batch, -1))[..., _FIRST:]


def _flow_pull(
    F: Any, g: Array, w: Array, out: Array, needs: tuple[bool, ...], back: bool
) -> tuple[Array | None, Array | None]:
    gx = F.flow(g, w, back=not back)
    if not needs[1]:
        return gx, None
    forth, later = (gx, out) if back else (out, gx)
    return gx, _moved(F, forth, 0.0) * F.basic_getitem(later, index=(slice(1, None),))


@primitive("general", vjp=_flow_pull)
def flow(F: Any, x: Array, w: Array, *, back: bool) -> Array:
    """y[t, s] = x[t, s] + sum_d w[d, t-1, s] y[t-1, s-d] for the moves d; with `back`, the transpose of that map."""
    steps, batch, states = x.shape
    out, shares = _wide(F, x, 0), F.zeros((len(MOVES), max(steps - 1, 0), batch, states), x.dtype)
    for d in MOVES[:states]:
        shares[d, ..., d:] = w[d, ..., d:]
    shares = _wide(F, shares, 0)
    moves = [(slice(out.shape[1] - d), slice(d, None)) for d in MOVES[:states]]
    for t in range(steps - 1, 0, -1) if back else range(1, steps):
        before, here = out[t - 1], out[t]
        for d, (origin, end) in enumerate(moves):
            share = shares[d, t - 1, end]
            if back:
                to = before[origin]
                to += share * here[end]
            else:
                to = here[end]
                to += share * before[origin]
    return F.ascontiguousarray(_narrow(out, batch))
