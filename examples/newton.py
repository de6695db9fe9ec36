"""Newton's method without a Hessian: `python examples/newton.py`.

How strongly some measurements change the odds of a cure is fitted by logistic regression, with a small penalty. The
function to minimise is written with NumPy alone. Each step solves H p = -g by conjugate gradients, which need products
of the Hessian with vectors only: the derivative of the gradient along the vector, forward over reverse mode, at the cost
of a few gradients and no memory for H.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradcore.func import grad, jvp

Array = Any


def patients(n: int, features: int, seed: int) -> tuple[Array, Array]:
    """Made-up measurements of `n` patients, and who was cured: 1 or 0."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, features)) @ (np.eye(features) + 0.5 * rng.normal(size=(features, features)))
    odds = x @ rng.normal(size=features)
    return x, (rng.uniform(size=n) < 1 / (1 + np.exp(-odds))).astype(float)


def solve(product: Callable[[Array], Array], b: Array, tolerance: float) -> tuple[Array, int]:
    """Solve H p = b for a positive definite H known by its products with vectors: p, and how many products it took."""
    p, residual = np.zeros_like(b), b
    direction, size = residual, residual @ residual
    count = 0
    while np.sqrt(size) > tolerance * np.linalg.norm(b) and count < 2 * b.size:
        along = product(direction)
        step = size / (direction @ along)
        p, residual = p + step * direction, residual - step * along
        before, size = size, residual @ residual
        direction = residual + size / before * direction
        count += 1
    return p, count


Step = tuple[float, float, int]


def minimise(f: Callable[[Array], Array], w: Array, tolerance: float = 1e-10) -> tuple[Array, list[Step]]:
    """Go to the minimum of the convex `f` from `w`: the place, and value, size of the gradient and products of each step."""
    gradient, history = grad(f), []
    for _ in range(50):
        g = gradient(w)
        size = float(np.linalg.norm(g))
        if size <= tolerance:
            break
        p, count = solve(lambda v, w=w: jvp(gradient, (w,), (v,))[1], -g, min(0.5, size**0.5))
        step, value = 1.0, f(w)
        rounding = 1e-14 * abs(value)  # which is all that is left of differences near the minimum
        while f(w + step * p) > value + 1e-4 * step * (g @ p) + rounding and step > 1e-6:
            step /= 2
        w = w + step * p
        history.append((float(f(w)), size, count))
    return w, history


def main(argv: Sequence[str] | None = None) -> None:
    """Fit, and tell what each step did."""
    parser = argparse.ArgumentParser(description="Fit a logistic regression by Newton's method without a Hessian.")
    parser.add_argument("--patients", type=int, default=2000)
    parser.add_argument("--features", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    x, cured = patients(options.patients, options.features, options.seed)

    def loss(w: Array) -> Array:
        """The mean negative log-likelihood, and the penalty."""
        odds = x @ w
        return np.mean(np.logaddexp(0.0, odds) - cured * odds) + 1e-3 * np.sum(w * w)

    w, history = minimise(loss, np.zeros(options.features))
    for i, (value, size, count) in enumerate(history, 1):
        print(f"step {i}: loss {value:.10f}, gradient before {size:.1e}, {count} products with the Hessian")
    print(f"gradient now {np.linalg.norm(grad(loss)(w)):.1e}; {np.mean((x @ w > 0) == cured):.1%} told right")


if __name__ == "__main__":
    main()
