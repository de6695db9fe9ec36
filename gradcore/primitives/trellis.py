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
    wide = F.full((*x.shape[1:2], states + 2), NEVER, x.dtype)
    here, around = wide[:, 2:], F.sliding_window_view(wide, (states,), (1,))  # (N, 3, S): leap, step, stay
    skips = F.zeros(around.shape, x.dtype)
    skips[:, 0] = F.where(allowed[2, 0], 0, NEVER)
    for t in range(1, steps):
        here[...] = out[t - 1]
        paths = around + skips
        top = F.max(paths, 1)
        paths -= top[:, None]
        total = F.log(F.sum(F.exp(paths, paths), 1))
        total += top
        total += x[t]
        out[t] = F.maximum(total, NEVER)
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
    steps, batch, states = x.shape
    last = len(MOVES) - 1
    wide = F.zeros((batch, states + last), x.dtype)
    here, around = wide[:, :states] if back else wide[:, last:], F.sliding_window_view(wide, (states,), (1,))
    shares = F.zeros((max(steps - 1, 0), *around.shape), x.dtype)
    for d in MOVES[:states]:
        if back:
            shares[:, :, d, : states - d] = w[d, :, :, d:]
        else:
            shares[:, :, last - d, d:] = w[d, :, :, d:]
    for t in range(steps - 1, 0, -1) if back else range(1, steps):
        here[...] = out[t if back else t - 1]
        out[t - 1 if back else t] += F.sum(around * shares[t - 1], 1)
    return out
