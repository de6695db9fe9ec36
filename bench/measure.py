"""Taking time: of cases, library by library in turns, and of imports. It must not know what a case computes.

Clock: with one thread on the CPU, the process's own time (`process_time`), which other programs on a shared
machine do not lengthen. With more threads, or on a GPU, it counts too much or too little: `perf_counter`.
Libraries take turns (A B C, then C B A), so that a slow minute hits all of them, and a ratio is made of two
neighbours. The cyclic collector runs as in any program; what the imports left behind is put out of its sight.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from bench import device_cases, memory
from bench.cases import Case
from bench.libraries import Library, Run
from bench.operations import CASES

ROOT = Path(__file__).resolve().parents[1]
Clock = Callable[[], float]
Job = Callable[[], "Result"]


class Plan(NamedTuple):
    """How to measure: `rounds` samples of `sample` seconds, at least `least` of them in `limit` seconds.

    Cases of more than `largest` elements are left out.
    """

    rounds: int = 25
    sample: float = 0.01
    limit: float = 6.0
    least: int = 5
    largest: float = 1e9

    def turns(self) -> Iterator[int]:
        """Count the rounds until all are done or the time is up."""
        start = time.perf_counter()
        for i in range(self.rounds):
            if i >= self.least and time.perf_counter() - start > self.limit:
                return
            yield i


QUICK = Plan(rounds=5, sample=0.002, limit=1.0, least=3, largest=1e6)


class Spread(NamedTuple):
    """The middle of some samples and where the middle half of them lies."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """The quartiles of `samples`."""
        if len(samples) < 2:
            return cls(samples[0], samples[0], samples[0])
        return cls(*statistics.quantiles(samples, n=4, method="inclusive"))


@dataclass
class Result:
    """What was measured: by library, samples of which number i was taken next to number i of the others.

    `goal` is for the ratio of the figure of `beside` to gradcore's; `absent` says who has no part, and why.
    """

    name: str
    about: str
    samples: dict[str, list[float]]
    unit: str = "s"
    goal: float | None = None
    beside: str = "torch"
    family: str = ""
    size: int | None = None
    moved: float = 0
    flops: float = 0
    absent: dict[str, str] = field(default_factory=dict)

    def ratio(self, library: str) -> Spread | None:
        """How many times gradcore's figure the library's is, None where one of them is absent."""
        if not {library, "gradcore"} <= self.samples.keys():
            return None
        ours, theirs = self.samples["gradcore"], self.samples[library]
        return Spread.of([b / a for a, b in zip(ours, theirs, strict=True)])

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without a goal, or without a figure to compare with."""
        ratio = self.ratio(self.beside)
        return None if self.goal is None or ratio is None else ratio.median >= self.goal


def clock_for(device: str, threads: int) -> Clock:
    """The clock that tells most there; see above."""
    return time.process_time if device == "cpu" and threads == 1 else time.perf_counter


def sample_on_device(library: Library, run: Run, calls: int) -> float:
    """Seconds per call between two events of the device's."""
    start, end = (library.module.cuda.Event(enable_timing=True) for _ in range(2))
    library.synchronize()
    start.record()
    for _ in repeat(None, calls):
        run()
    end.record()
    library.synchronize()
    return start.elapsed_time(end) / 1000 / calls


def sample(library: Library, run: Run, calls: int, clock: Clock) -> float:
    """Seconds per call, of `calls` calls in a row."""
    library.synchronize()
    start = clock()
    for _ in repeat(None, calls):
        run()
    library.synchronize()
    return (clock() - start) / calls


def calls_for(library: Library, run: Run, plan: Plan, clock: Clock) -> int:
    """How many calls one sample takes to last long enough."""
    calls = 1
    while (seconds := sample(library, run, calls, clock) * calls) < plan.sample:
        calls = max(calls + 1, min(10 * calls, round(1.2 * calls * plan.sample / max(seconds, 1e-6))))
    return calls


def times(runs: Mapping[Library, Run], plan: Plan, clock: Clock) -> dict[str, list[float]]:
    """Seconds per call of each library's `run`, in turns: sample i of each next to sample i of the others."""
    gc.collect()
    for run in runs.values():
        run()
    calls = {library: calls_for(library, run, plan, clock) for library, run in runs.items()}
    samples: dict[str, list[float]] = {library.name: [] for library in runs}
    for turn in plan.turns():
        order = list(runs) if turn % 2 == 0 else list(runs)[::-1]
        for library in order:
            arguments = library, runs[library], calls[library]
            seconds = sample(*arguments, clock) if library.device == "cpu" else sample_on_device(*arguments)
            samples[library.name].append(seconds)
    return samples


def timed(case: Case, libraries: Sequence[Library], plan: Plan, clock: Clock) -> Result:
    """Measure a case with every library that has a part in it."""
    runs: dict[Library, Run] = {}
    absent = {}
    for library in libraries:
        try:
            run = case.build(library)
            run()
            runs[library] = run
        except Exception as error:
            absent[library.name] = f"{type(error).__name__}: {error}"
    samples = times(runs, plan, clock)
    return Result(
        case.name, case.about, samples, goal=case.goal, beside=case.beside, family=case.family, size=case.size,
        absent=absent,
        moved=getattr(case, "moved", 0), flops=getattr(case, "flops", 0),
    )  # fmt: skip


# -- in interpreters of their own ----------------------------------------------------------------------------


def fresh(*arguments: str) -> float:
    """The number that a new interpreter prints, started with `arguments` at the root of the checkout."""
    command = [sys.executable, *arguments]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # else every import would compile
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return float(done.stdout)


IMPORT = """
import sys, time
start = time.process_time()
__import__(sys.argv[1])
print(time.process_time() - start)
"""


IMPORT_GOALS = {"numpy": round(1 / 1.3, 2)}


def imported(beside: str, plan: Plan) -> Result:
    """Processor time of `import gradcore` and of the import of what stands `beside` it, in turns."""
    modules = ("gradcore", beside)
    for module in modules:
        fresh("-c", IMPORT, module)  # writes bytecode, fills the file cache
    samples: dict[str, list[float]] = {module: [] for module in modules}
    for _ in plan.turns():
        for module in modules:
            samples[module].append(fresh("-c", IMPORT, module))
    about = f"`import {beside}` beside `import gradcore`."
    return Result(f"import {beside}", about, samples, goal=IMPORT_GOALS.get(beside), beside=beside)


def remembered(what: str, libraries: Sequence[Library], plan: Plan) -> Result:
    """One of the measures of bench/memory.py, with every library that can."""
    samples: dict[str, list[float]] = {}
    absent = {}
    for library in [each for each in libraries if each.records]:
        try:
            command = ("-m", "bench.memory", library.name, what)
            samples[library.name] = [fresh(*command) for _ in range(plan.least)]
        except RuntimeError as error:
            absent[library.name] = str(error)
    unit, goal = ("arrays", None) if what == memory.PEAK else ("bytes", 1.0)
    return Result(f"memory {what}", memory.ABOUT[what], samples, unit, goal, absent=absent)


def ways(name: str, libraries: Sequence[Library]) -> list[Library]:
    """gradcore once more, under the name of another way to compute the same."""
    return [Library(name, "gradcore", library.device) for library in libraries if library.name == "gradcore"]


def jobs(libraries: Sequence[Library], plan: Plan, clock: Clock) -> Iterator[tuple[str, bool, Job]]:
    """All there is to measure: its name, whether it has a goal, and what to call."""
    on_host = all(library.device == "cpu" for library in libraries)
    for case in [*([] if on_host else device_cases.CASES), *CASES]:
        if (case.size or 0) <= plan.largest or not on_host:
            beside = libraries if case.beside == "torch" else [*libraries, *ways(case.beside, libraries)]
            yield case.name, case.goal is not None or case in device_cases.CASES, partial(timed, case, beside, plan, clock)
    if on_host:
        for beside in ("numpy", *(library.name for library in libraries if library.name == "torch")):
            yield f"import {beside}", beside in IMPORT_GOALS, partial(imported, beside, plan)
        for what in memory.ABOUT:
            yield f"memory {what}", what != memory.PEAK, partial(remembered, what, libraries, plan)
