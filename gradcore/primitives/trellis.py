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
    steps, _, states = x.shape
    x = F.maximum(x, NEVER)
    out = F.empty(x.shape, x.dtype)
    out[0] = F.where(F.arange(states) < 2, x[0], NEVER)
    before = F.full((*x.shape[1:2], states + 2), NEVER, x.dtype)
    stay, skip = before[:, 2:], F.where(allowed[2, 0], 0, NEVER)
    for t in range(1, steps):
        stay[...] = out[t - 1]
        step, leap = before[:, 1:-1], before[:, :-2] + skip
        top = F.maximum(F.maximum(stay, step), leap)
        total = F.exp(stay - top) + F.exp(step - top) + F.exp(leap - top)
        out[t] = F.maximum(F.log(total) + top + x[t], NEVER)
    return out


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
    out = F.copy(x)
    states = x.shape[2]
    for t in range(x.shape[0] - 1, 0, -1) if back else range(1, x.shape[0]):
        for d in MOVES:
            if d >= states:
                continue
            share = w[d, t - 1, :, d:]
            if back:
                out[t - 1, :, : states - d] += share * out[t, :, d:]
            else:
                out[t, :, d:] += share * out[t - 1, :, : states - d]
    return out
