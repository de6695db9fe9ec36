"""An operation with a derivative of its own, Kepler's equation: `python examples/custom_function.py`.

The position of a planet on its ellipse follows from E - e sin(E) = M, which has no closed form. Newton's method finds E; the
derivative needs none of its steps, for the implicit function theorem gives it from the solution alone. With it the orbit
of Mercury, say, can be fitted to dates and positions by gradient descent.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any

import gradcore
from gradcore import Tensor
from gradcore.autograd import Function, gradcheck, gradgradcheck

# Mercury: eccentricity, time of perihelion in days after the first observation, period in days (held fixed).
ECCENTRICITY, PERIHELION, PERIOD = 0.2056, 30.0, 87.969


class Kepler(Function):
    """The eccentric anomaly E with E - e sin(E) = M, for 0 <= e < 1."""

    @staticmethod
    def forward(e: Tensor, mean: Tensor) -> Tensor:
        """Solve by Newton's method; nothing in here is recorded."""
        angle = mean + e * mean.sin()
        for _ in range(20):
            step = (angle - e * angle.sin() - mean) / (1 - e * angle.cos())
            angle = angle - step
            if step.abs().max() < 1e-14:
                break
        return angle

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        """Keep what the derivative needs: the solution, not the way to it."""
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        """Differentiate the equation: (1 - e cos E) dE = dM + sin(E) de. Recorded, so it can be differentiated again."""
        e, angle = ctx.saved_tensors
        by_mean = g / (1 - e * angle.cos())
        return (by_mean * angle.sin()).sum_to_size(e.shape), by_mean


def position(e: Tensor, perihelion: Tensor, days: Tensor) -> Tensor:
    """The coordinates in the plane of the orbit, in units of its half axis, a row for each day."""
    mean = 2 * math.pi * (days - perihelion) / PERIOD
    angle = Kepler.apply(e, mean)
    return gradcore.stack([angle.cos() - e, (1 - e * e).sqrt() * angle.sin()], 1)


def fit(days: Tensor, seen: Tensor, steps: int) -> tuple[float, float, float]:
    """The eccentricity and perihelion that fit best, by gradient descent, and the root mean square error."""
    e = gradcore.tensor(0.05, dtype=gradcore.float64, requires_grad=True)
    perihelion = gradcore.tensor(20.0, dtype=gradcore.float64, requires_grad=True)
    for _ in range(steps):
        loss = ((position(e, perihelion, days) - seen) ** 2).sum(1).mean()
        by_e, by_perihelion = gradcore.autograd.grad(loss, [e, perihelion])
        with gradcore.no_grad():
            e -= 0.3 * by_e
            perihelion -= 60 * by_perihelion
    return e.item(), perihelion.item(), loss.item() ** 0.5


def main(arguments: Sequence[str] | None = None) -> tuple[float, float, float]:
    """Run the command line's `arguments`; return eccentricity, perihelion and error."""
    parser = argparse.ArgumentParser(description="Fit an orbit through a custom Function.")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--noise", type=float, default=0.01, help="of the observations, in half axes")
    options = parser.parse_args(arguments)
    if options.steps < 1:
        parser.error("--steps must be at least 1")

    gradcore.manual_seed(0)
    e = gradcore.tensor(0.3, dtype=gradcore.float64, requires_grad=True)
    mean = gradcore.linspace(-3, 3, 7, dtype=gradcore.float64).requires_grad_()
    assert gradcheck(Kepler.apply, (e, mean))
    assert gradgradcheck(Kepler.apply, (e, mean))
    print("first and second derivatives agree with finite differences")

    days = gradcore.arange(0.0, 120.0, 3.0, dtype=gradcore.float64)
    truth = [gradcore.tensor(value, dtype=gradcore.float64) for value in (ECCENTRICITY, PERIHELION)]
    seen = position(*truth, days)
    seen = seen + options.noise * gradcore.randn(seen.shape, dtype=gradcore.float64)
    found = fit(days, seen, options.steps)
    print(f"eccentricity {found[0]:.4f} (true {ECCENTRICITY}), perihelion on day {found[1]:.2f} (true {PERIHELION:.2f})")
    print(f"root mean square error {found[2]:.4f}")
    return found


if __name__ == "__main__":
    main()
