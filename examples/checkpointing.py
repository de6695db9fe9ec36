"""Gradients through long simulations in little memory, measured: `python examples/checkpointing.py`.

A warm spot spreads on a plate whose conductivity is unknown; how warm the plate is in the end shall change with the
beginning and with the conductivity. Plainly, every step's arrays are kept for the backward pass. `checkpoint` around each
of some segments keeps one state for each, and computes a segment again when it is its turn. `checkpoint_loop` keeps as many
states as it is allowed, and computes as little as possible again.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable, Sequence

import gradcore
from gradcore import Tensor
from gradcore.utils.checkpoint import checkpoint, checkpoint_loop


def step(u: Tensor, conductivity: Tensor) -> Tensor:
    """The temperatures a moment later: heat flows to neighbours, and a little is radiated."""
    across = conductivity * (u.roll(1, 0) + u.roll(-1, 0) - 2 * u)
    along = conductivity * (u.roll(1, 1) + u.roll(-1, 1) - 2 * u)
    return u + across + along - 0.001 * u**4


def plainly(u: Tensor, conductivity: Tensor, steps: int) -> Tensor:
    """Keep everything."""
    for _ in range(steps):
        u = step(u, conductivity)
    return u


def in_segments(u: Tensor, conductivity: Tensor, steps: int, length: int) -> Tensor:
    """Keep the state at the beginning of each segment."""
    for start in range(0, steps, length):
        u = checkpoint(plainly, u, conductivity, min(length, steps - start), use_reentrant=False)
    return u


def in_a_loop(u: Tensor, conductivity: Tensor, steps: int, slots: int) -> Tensor:
    """Keep at most `slots` states."""
    return checkpoint_loop(lambda u: step(u, conductivity), u, steps, slots)


def measure(run: Callable[[Tensor, Tensor], Tensor], size: int) -> tuple[float, float, list[Tensor]]:
    """Memory at its highest, in plates; seconds; and the gradients. Two runs, since to trace memory takes time."""
    line = gradcore.linspace(-1, 1, size, dtype=gradcore.float64)
    u = (-20 * (line[:, None] ** 2 + line**2)).exp().requires_grad_()
    conductivity = gradcore.full((size, size), 0.1, dtype=gradcore.float64).requires_grad_()
    start = time.perf_counter()
    (run(u, conductivity) ** 2).sum().backward()
    seconds = time.perf_counter() - start
    gradients = [u.grad, conductivity.grad]
    u.grad = conductivity.grad = None
    tracemalloc.start()
    (run(u, conductivity) ** 2).sum().backward()
    peak = tracemalloc.get_traced_memory()[1] / u.nbytes
    tracemalloc.stop()
    return peak, seconds, gradients


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Run the command line's `arguments`; return the peak memory of each way, in arrays of the state's size."""
    parser = argparse.ArgumentParser(description="Measure the memory of gradients with and without checkpoints.")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--size", type=int, default=200, help="of the plate, which is square")
    parser.add_argument("--slots", type=int, default=10, help="states that checkpoint_loop may keep")
    options = parser.parse_args(arguments)
    if min(options.steps, options.size, options.slots) < 1:
        parser.error("--steps, --size and --slots must be at least 1")

    steps, length = options.steps, max(round(options.steps**0.5), 1)
    ways: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "plainly": lambda u, c: plainly(u, c, steps),
        f"segments of {length}": lambda u, c: in_segments(u, c, steps, length),
        f"loop with {options.slots} slots": lambda u, c: in_a_loop(u, c, steps, options.slots),
    }
    peaks: dict[str, float] = {}
    reference: list[Tensor] = []
    print(f"{steps} steps on {options.size} x {options.size} numbers; memory in arrays of that size")
    for name, run in ways.items():
        peaks[name], seconds, gradients = measure(run, options.size)
        reference = reference or gradients
        same = all(bool(gradcore.allclose(g, r, rtol=1e-9)) for g, r in zip(gradients, reference, strict=True))
        print(f"{name:>20}: {peaks[name]:8.1f} arrays, {seconds:6.2f} s, gradients {'agree' if same else 'DIFFER'}")
        assert same
    return peaks


if __name__ == "__main__":
    main()
