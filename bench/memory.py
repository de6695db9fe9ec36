"""Memory as the system counts it, measured in an interpreter of its own. It must not know how time is taken.

`tracemalloc` does not see what C++ allocates, so the measure is the process's resident memory: its growth
while many operations are recorded, divided by their number. Run as `python -m bench.memory LIBRARY MEASURE`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.libraries import Library, load

COUNT = 50_000
FLOATS = 4_000_000

# What is recorded COUNT times, on 2×2.
OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "y * x": lambda y, x: y * x,
    "y + x": lambda y, x: y + x,
    "y * 1.5": lambda y, x: y * 1.5,
    "y.tanh()": lambda y, x: y.tanh(),
}
PEAK = "peak of a step"
ABOUT = {
    **dict.fromkeys(OPERATIONS, "Bytes that recording it on 2×2 takes, the result included."),
    PEAK: f"The most that forward and backward of a chain hold at once, in arrays of {FLOATS:.0e} floats.",
}


def of_process(entry: str) -> int:
    """Bytes of this process in memory: now (`VmRSS`) or at most so far (`VmHWM`, or all that is known)."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if entry in line)
    import resource  # not on Windows

    # On Linux this would count what the parent held when it started us.
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def per_operation(library: Library, operation: Callable[[Any, Any], Any]) -> float:
    """Bytes that the graph grows by for one operation on 2×2; its result is alive through the graph alone."""
    x = y = library.leaf(np.full((2, 2), 0.5))
    for _ in range(1000):
        y = operation(y, x)
    before = of_process("VmRSS")
    for _ in range(COUNT):
        y = operation(y, x)
    return (of_process("VmRSS") - before) / COUNT


def peak_of_a_step(library: Library) -> float:
    """The most that a forward and backward pass over many floats holds, in arrays of that many floats."""
    def step(x: Any) -> None:
        y = (x * x + x).tanh()
        (y * y + y).mean().backward()

    step(library.leaf(np.ones(2)))  # loads what is loaded on first use
    x = library.leaf(np.linspace(-1, 1, FLOATS))
    before = of_process("VmRSS")
    step(x)
    return (of_process("VmHWM") - before) / (4 * FLOATS)


def measure(name: str, what: str) -> float:
    """The number for a library and one of OPERATIONS or PEAK."""
    library = load(name)
    if library is None:
        raise ModuleNotFoundError(f"{name} is not installed")
    library.set_threads(1)
    return peak_of_a_step(library) if what == PEAK else per_operation(library, OPERATIONS[what])


if __name__ == "__main__":
    print(measure(*sys.argv[1:]))
