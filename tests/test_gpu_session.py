"""`python -m tests.gpu`: that it runs what is due, keeps to its time, and says what failed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests import gpu


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_all_that_needs_a_gpu_is_in_a_stage() -> None:
    text = " ".join(" ".join(stage.command) for stage in gpu.stages(4, gpu.ROOT / "gpu-report"))
    for path in (gpu.ROOT / "tests").rglob("test_*.py"):
        if "mark.cuda" in path.read_text() and path.name != Path(__file__).name:
            name = str(path.relative_to(gpu.ROOT))
            assert name in text or name.startswith("tests/oracle/"), name
    assert "bench --device cuda" in text


def test_failures_are_told_and_time_is_kept(tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    made = [
        gpu.Stage("machine", 1, python("print('a device')")),
        gpu.Stage("good", 1, python("print('3 passed in 0.1s')")),
        gpu.Stage("wrong", 1, python("print('FAILED tests/x.py::test_y - AssertionError: 1 != 2'); raise SystemExit(1)")),
        gpu.Stage("slow", 0.02, python("import time; print('begun'); time.sleep(60)")),
    ]
    monkeypatch.setattr(gpu, "stages", lambda workers, out: made)
    assert gpu.main(["--out", str(tmp_path), "--minutes", "1"]) == 1
    said = capsys.readouterr().out
    assert "=== good: passed: 3 passed in 0.1s" in said
    assert "a device" in said
    tail = said.partition("What failed:")[2]
    assert "wrong: FAILED\n    FAILED tests/x.py::test_y - AssertionError: 1 != 2" in tail
    assert "slow: ended by the clock after 1s" in tail
    assert "good" not in tail
    assert (tmp_path / "slow.txt").read_text() == "begun\n"
    assert gpu.main(["--out", str(tmp_path), "--only", "good"]) == 0
    assert "Nothing failed." in capsys.readouterr().out


def test_a_stopped_bench_tells_what_it_has(tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from bench import __main__ as bench
    from bench import measure

    def stopped() -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    def jobs(*given: Any) -> Any:
        yield "one", True, lambda: measure.Result("one", "", {"gradcore": [1e-6]})
        yield "two", True, stopped

    monkeypatch.setattr(measure, "jobs", jobs)
    before = signal.getsignal(signal.SIGTERM)
    assert bench.main(["--quick", "--out", str(tmp_path), "--libraries", "gradcore"]) == 0
    said = capsys.readouterr()
    assert "stopped before the end" in said.err
    assert "one" in said.out
    assert [path.suffix for path in sorted(tmp_path.iterdir())][:1] == [".json"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_without_a_gpu_it_stops_and_says_why(tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    made = [gpu.Stage(name, 1, python("raise SystemExit('no GPU here')")) for name in ("machine", "programs")]
    monkeypatch.setattr(gpu, "stages", lambda workers, out: made)
    assert gpu.main(["--out", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "no GPU here" in said
    assert "=== programs" not in said


def test_all_of_it_runs_on_the_stand_in(tmp_path: Path) -> None:
    """The programs that are no tests: what the machine is, and a case of the bench."""
    environment = {**os.environ, "GPU_STAND_IN": "1"}
    command = [sys.executable, "-m", "tests.gpu", "--only", "machine", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=gpu.ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "name='pretended'" in done.stdout
    command = [sys.executable, "-m", "tests.double.program", "bench", "--device", "cuda", "--quick", "--out", str(tmp_path)]
    command += ["--filter", "mlp training 64", "--libraries", "gradcore", "gradcore-graphs"]
    done = subprocess.run(command, cwd=gpu.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mlp training 64" in done.stdout
