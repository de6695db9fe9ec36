"""Run the oracle from the command line: `python -m tests.oracle --op add --dtype float64`. Exit status 1 on failure."""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from contextlib import nullcontext
from itertools import groupby
from pathlib import Path
from typing import Any

from tests import double


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m tests.oracle",
        description="Compare gradcore with torch on torch's own samples (OpInfo): values, variants, derivatives.",
        epilog="examples: --op add mul | --op max.binary --check grad -v | --tier 1 --dtype float64 | "
        "--op sort --sample 7 | --tier 1 --list",
    )
    p.add_argument("--op", nargs="+", default=[], metavar="NAME", help="ops, or variants such as max.binary")
    p.add_argument("--tier", nargs="+", default=[], metavar="N", help="1, 2, 3 or companion (non-differentiable)")
    p.add_argument("--dtype", nargs="+", default=["float64", "float32"], help="default: float64 float32")
    p.add_argument("--check", nargs="+", default=[], help="only these (see --list); or edges: NaN, infinities and zeros "
                   "put into the samples, of which GRADCORE_SEED and EDGE_DRAWS choose others and more")
    p.add_argument("--sample", type=int, help="only this sample number")
    p.add_argument("--library", default="gradcore", help="what to test; `torch` tests the oracle itself")
    p.add_argument("--device", default="cpu", choices=("cpu", "cuda", "double"), help="double: the stand-in for a GPU")
    p.add_argument("--json", type=Path, metavar="PATH", help="write every outcome there")
    p.add_argument("--list", action="store_true", help="print the ops with their checks, run nothing")
    p.add_argument("-v", "--verbose", action="store_true", help="print every failing sample, not the first alone")
    p.add_argument("-q", "--quiet", action="store_true", help="one line per failing op and the summary only")
    return p


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    warnings.simplefilter("ignore")
    from tests.oracle import catalogue, plan, trial  # torch comes with them: --help should not wait for it

    tiers = [t if t == catalogue.COMPANION else f"tier{t.removeprefix('tier')}" for t in options.tier]
    try:
        entries = list(catalogue.entries(tiers or catalogue.TIERS[:1], options.op))
    except KeyError as unknown:
        print(f"op_db has no op {unknown}", file=sys.stderr)
        return 2
    known = {**plan.CHECKS, **plan.ASKED_FOR}
    unknown_checks = set(options.check) - set(known)
    if unknown_checks:
        print(f"no check {sorted(unknown_checks)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    work = plan.planned(entries, options.dtype, options.check)
    grouped = groupby(work, key=lambda item: (item[0].label, trial.REFERENCE.dtype_name(item[1])))
    if options.list:
        for (label, dtype), items in grouped:
            print(f"{label:45} {dtype:10} {' '.join(check.name for _, _, check in items)}")
        return 0
    stand_in = double.installed() if options.device == "double" else nullcontext()
    with stand_in:
        return run(grouped, plan.library_named(options.library, options.device.replace("double", "cuda")), options)


def run(grouped: Any, library: Any, options: argparse.Namespace) -> int:
    from tests.oracle import report, trial

    outcomes: list[trial.Outcome] = []
    started = time.perf_counter()
    for (label, dtype), items in grouped:
        of_op = [trial.run(check, entry, kind, library, options.sample) for entry, kind, check in items]
        outcomes += of_op
        show(label, dtype, of_op, options)
    print()
    print(f"{library.name} against torch, {time.perf_counter() - started:.1f} s")
    print("\n".join(report.summary(outcomes)))
    if options.json:
        options.json.write_text(json.dumps(report.as_json(outcomes, library.name, options.device), indent=1))
    if not any(o.total for o in outcomes):
        print("nothing was compared", file=sys.stderr)
        return 2
    return 0 if all(o.passed for o in outcomes) else 1


def show(label, dtype, outcomes, options) -> None:  # type: ignore[no-untyped-def]
    good = all(o.passed for o in outcomes)
    if good and options.quiet:
        return
    counts = "  ".join(f"{o.check} {o.total - len(o.failures)}/{o.total}" for o in outcomes)
    print(f"{'pass' if good else 'FAIL'}  {label:32} {dtype:10} {counts}", flush=True)
    if options.quiet:
        return
    for outcome in outcomes:
        if options.verbose:
            for index, message in sorted(outcome.failures.items()):
                print(f"      {outcome.check}, sample {index}: {message}\n{outcome.described[index]}")
        elif not outcome.passed:
            print("      " + outcome.story().replace("\n", "\n      "))


if __name__ == "__main__":
    sys.exit(main())
