"""The nonlinearities of networks on host arrays, in blocks that stay in the cache; must not know gradients or Tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcore.backends import composed, shared
from gradcore.backends.special import BLOCK, FEW, constants, horner

Array = Any

# -x * polynomial(x**2) is log(1 - p) - log(p) for the probability p that a standard normal number is below x, such that
# p is off by at most 2e-8, and on below -0.1 by 2e-7 of itself. Beyond |x| = 5.5 it only grows.
_LOGIT = constants(
    "f4", -1.595770769251661, -0.07266341826043742, 6.280637597953053e-05, 0.00011145629192727813,
    -8.066207650026845e-06, 2.7448602419750457e-07, -3.773504014917218e-09,
)  # fmt: skip
_ONE, _MINUS_HALF, _DENSITY = constants("f4", 1.0, -0.5, composed.DENSITY)


def _odds(x: Array, squares: Array, out: Array) -> None:
    """Write 1 / p of x into `out`, and x**2 into `squares`."""
    np.multiply(x, x, squares)
    horner(_LOGIT, squares, out)
    np.multiply(out, x, out)
    np.exp(out, out)
    np.add(out, _ONE, out)


@shared.widened
def gelu(F: Any, x: Array) -> Array:
    """Return x times the probability that a standard normal number is below x."""
    if x.dtype.char != "f" or x.size <= FEW:
        return composed.gelu(F, x)
    out = np.empty(x.shape, x.dtype)
    flat, x = out.reshape(-1), x.reshape(-1)
    squares = np.empty(min(x.size, BLOCK), x.dtype)
    for start in range(0, x.size, BLOCK):
        block = slice(start, start + BLOCK)
        y, z = x[block], flat[block]
        _odds(y, squares[: y.size], z)
        np.divide(y, z, z)
    return out


@shared.widened
def gelu_backward(F: Any, g: Array, x: Array) -> Array:
    """Return g times the derivative of `gelu` at x."""
    if x.dtype.char != "f" or g.dtype.char != "f" or x.size <= FEW or g.shape != x.shape:
        return composed.gelu_backward(F, g, x)
    out = np.empty(x.shape, x.dtype)
    flat, x, g = out.reshape(-1), x.reshape(-1), g.reshape(-1)
    squares = np.empty(min(x.size, BLOCK), x.dtype)
    for start in range(0, x.size, BLOCK):
        block = slice(start, start + BLOCK)
        y, z = x[block], flat[block]
        density = squares[: y.size]
        _odds(y, density, z)
        np.reciprocal(z, z)
        np.multiply(density, _MINUS_HALF, density)
        np.exp(density, density)
        np.multiply(density, _DENSITY, density)
        np.multiply(density, y, density)
        np.add(z, density, z)
        np.multiply(z, g[block], z)
    return out

