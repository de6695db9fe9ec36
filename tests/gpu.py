"""What a GPU that is lent for ten minutes can show: `python -m tests.gpu`. It must not know what is tested.

Says what the machine is, runs the tests marked `cuda` and the bench, most telling first, each in a process of its own with
a share of the time; ends with what failed and what there was no time for. The whole output goes to files in `--out`.
With GPU_STAND_IN=1 all of it runs on the stand-in, to see that it would.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
STAND_IN = os.environ.get("GPU_STAND_IN", "0") not in ("", "0")


def machine() -> int:
    """Print what the machine is; return 1 where it has no GPU that serves."""
    import numpy

    import gradcore as gc
    from gradcore import backends

    if reason := backends.why_not("cuda"):
        print(reason)
        return 1
    import cupy

    print(gc.cuda.get_device_properties(0))
    print("CuPy", getattr(cupy, "__version__", "-"), "NumPy", numpy.__version__)
    print("CUDA", cupy.cuda.runtime.runtimeGetVersion(), "driver", cupy.cuda.runtime.driverGetVersion())
    print("cuDNN", backends.cudnn.why_not() or backends.cudnn.version())
    print("free, total bytes:", *gc.cuda.mem_get_info())
    return 0


def program(module: str, *arguments: str) -> list[str]:
    """The command that runs a module, on the stand-in if that is asked for."""
    return [sys.executable, "-m", *(["tests.double.program"] if STAND_IN else []), module, *arguments]


CASES = ("test_cases", "test_transforms_of_cases")  # of the table


class Stage(NamedTuple):
    """A command and the share of the whole time that it may take."""

    name: str
    share: float
    command: list[str]


def pytest(*arguments: str, workers: int = 0) -> list[str]:
    """The tests of these files that need a GPU."""
    many = ["-n", str(workers), "--dist", "worksteal"] if workers else []
    return [sys.executable, "-m", "pytest", "-m", "cuda", "-q", "--tb=short", "-rfE", *many, *arguments]


def stages(workers: int, out: Path) -> list[Stage]:
    """All there is to do, in order."""
    rest = sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").glob("test_*.py")
        if "mark.cuda" in path.read_text() and path.stem not in ("test_gpu_programs", "test_kernels_on_device", *CASES)
    )
    bench = program("bench", "--device", "cuda", "--quick", "--goals", *(["--out", str(out)] if STAND_IN else []))
    bench += ["--libraries", "gradcore", "torch", "gradcore-graphs", "torch-graphs"]  # torch.compile takes minutes
    return [
        Stage("machine", 0.1, program("tests.gpu", "--machine")),
        Stage("kernels", 0.15, pytest("tests/test_kernels_on_device.py")),
        Stage("programs", 0.25, pytest("tests/test_gpu_programs.py", workers=min(workers, 4))),
        Stage("bench", 0.25, bench),
        Stage("cases", 0.3, pytest(*(f"tests/{name}.py" for name in CASES), workers=workers)),
        Stage("rest", 0.15, pytest(*rest, workers=min(workers, 2))),
        Stage("oracle", 0.5, pytest("tests/oracle", workers=workers)),
    ]


FAILED = re.compile(r"^(?:FAILED|ERROR) .*|^.*(?:Error|FAILED|did not reach).*$", re.MULTILINE)
COUNTS = re.compile(r"^(?:=+ )?((?:\d+ \w+, )*\d+ \w+ in [\d.]+s.*?)(?: =+)?$", re.MULTILINE)


def run(stage: Stage, seconds: float, out: Path) -> tuple[str, list[str]]:
    """Run a stage for so long at most; return how it ended, and lines that tell what failed."""
    log = out / f"{stage.name}.txt"
    with log.open("w") as file:
        process = subprocess.Popen(
            stage.command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            status = None
    text = log.read_text(errors="replace")
    faults = [] if status == 0 else [line for line in FAILED.findall(text) if line.strip()]
    ended = "passed" if status == 0 else f"ended by the clock after {seconds:.0f}s" if status is None else "FAILED"
    counts = COUNTS.findall(text)
    return ended + (f": {counts[-1]}" if counts else ""), list(dict.fromkeys(faults))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything; return 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("--minutes", type=float, default=9.5, help="for all of it (default: 9.5)")
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1), help="test processes at a time")
    parser.add_argument("--out", type=Path, default=ROOT / "gpu-report", help="folder for the whole output")
    parser.add_argument("--only", nargs="+", metavar="STAGE", help="machine kernels programs bench cases rest oracle")
    parser.add_argument("--machine", action="store_true", help="only say what the machine is")
    options = parser.parse_args(arguments)
    if options.machine:
        return machine()
    options.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * options.minutes
    told: list[str] = []
    bad = False
    for stage in stages(options.workers, options.out):
        if options.only and stage.name not in options.only and stage.name != "machine":
            continue
        left = end - time.monotonic()
        if left < 5:
            told.append(f"{stage.name}: no time was left")
            continue
        ended, faults = run(stage, min(left, 60 * options.minutes * stage.share), options.out)
        print(f"=== {stage.name}: {ended}", flush=True)
        if stage.name in ("machine", "bench"):
            print((options.out / f"{stage.name}.txt").read_text(errors="replace")[-6000:], flush=True)
        if not ended.startswith("passed"):
            bad = True
            told += [f"{stage.name}: {ended}", *(f"    {line[:300]}" for line in faults[:40])]
        if stage.name == "machine" and bad:
            break
    print("\n".join(["", "What failed:", *told] if told else ["", "Nothing failed."]))
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
