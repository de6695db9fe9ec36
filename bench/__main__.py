"""`python -m bench`: measure; print a table, write JSON, a plot. It must set threads before NumPy comes."""

from __future__ import annotations

import argparse
import gc
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

NAMES = ("gradcore", "torch", "autograd", "mygrad", "jax", "gradcore-graphs", "torch-graphs", "torch-compile")
RESULTS = Path(__file__).parent / "results"


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    about = "Measure gradcore beside torch and the other libraries that are installed."
    parser = argparse.ArgumentParser(prog="python -m bench", description=about)
    add = parser.add_argument
    add("--device", default="cpu", help="cpu or cuda (default: cpu)")
    add("--filter", default="", metavar="WORDS", help="only cases whose name has all these words")
    add("--goals", action="store_true", help="only what the project has set itself a goal for")
    add("--libraries", nargs="+", default=NAMES, choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    add("--threads", type=int, default=1, help="threads for every library (default: 1)")
    add("--quick", action="store_true", help="few short samples and no big arrays: to see that it runs")
    add("--out", type=Path, default=RESULTS, metavar="DIR", help="where JSON and plot go")
    add("--readme", action="store_true", help="write what has a goal into the README")
    return parser.parse_args(arguments)


def set_threads(count: int, device: str) -> None:
    """Say in the environment what NumPy and XLA read when they are imported."""
    for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM"):
        os.environ[f"{name}_NUM_THREADS"] = str(count)
    if count == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    if device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line's `arguments`; return the exit status: 1 if gradcore failed a case."""
    options = parsed(arguments)
    set_threads(options.threads, options.device)
    import numpy as np

    from bench import measure, report
    from bench.libraries import load

    found = [load(name, options.device) for name in options.libraries]
    libraries = [library for library in found if library is not None]
    if not libraries:
        print(f"python -m bench: none of {', '.join(options.libraries)} is here for device {options.device}")
        return 1
    for library in libraries:
        library.set_threads(options.threads)
    gpu = "" if options.device == "cpu" else f" ({libraries[0].module.cuda.get_device_name()})"
    told = report.Report(
        settings={**vars(options), "out": str(options.out), "device": options.device + gpu},
        versions={library.name: library.version for library in libraries} | {"numpy": np.__version__},
    )
    plan = measure.QUICK if options.quick else measure.Plan()
    gc.collect()
    gc.freeze()
    clock = measure.clock_for(options.device, options.threads)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for name, has_goal, job in measure.jobs(libraries, plan, clock):
            if all(word in name for word in options.filter.split()) and (has_goal or not options.goals):
                print(f"\r\033[K{name}" if sys.stderr.isatty() else name, end="", file=sys.stderr, flush=True)
                told.results.append(job())
    except KeyboardInterrupt:
        print("\nstopped before the end: what follows was measured until then", file=sys.stderr)
    finally:
        signal.signal(signal.SIGTERM, before)
    print(file=sys.stderr)

    print(report.table(told))
    if options.device != "cpu":
        print(report.rates(told))
    options.out.mkdir(parents=True, exist_ok=True)
    slug = re.sub(r"\W+", "-", f"{options.device}{gpu}".lower()).strip("-")
    stem = options.out / f"{told.when[:19].replace(':', '')}-{slug}"
    stem.with_suffix(".json").write_text(told.as_json())
    try:
        report.plot(told, stem.with_suffix(".png"))
        print(f"\nwritten: {stem}.json and .png")
    except ModuleNotFoundError:
        print(f"\nwritten: {stem}.json; for a plot, install matplotlib")
    if options.readme:
        report.write_readme(told)
    return int(any("gradcore" in result.absent for result in told.results))


if __name__ == "__main__":
    sys.exit(main())
