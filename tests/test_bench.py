"""bench/: that every case runs, that times are taken as told, that the report says what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import __main__ as command
from bench import device_cases, measure, memory, report
from bench.cases import Case, normal
from bench.libraries import load
from bench.measure import Plan, Result, Spread
from bench.operations import CASES

ROOT = Path(__file__).resolve().parents[1]
SMALL = [case for case in CASES if (case.size or 0) <= 1e6]
LIB = load("gradcore")


def numbers(result: object) -> np.ndarray:
    if isinstance(result, list | tuple):
        return np.concatenate([numbers(each) for each in result])
    return LIB.numpy(result).flatten()


def test_names_are_unique_and_the_goals_of_the_project_are_there() -> None:
    assert len({case.name for case in CASES}) == len(CASES) > 40
    goals = {case.name: case.goal for case in CASES if case.goal is not None}
    assert goals == {
        "notebook": 5,
        "hundred sums tensor step": 4,
        "hundred sums number step": 4,
        "hundred ops tensor step": 4,
        "hundred ops number step": 4,
        "record": 1.6,
        "digits step": 2,
        "per sample gradients": 5,
        "jacobian": 5,
        "chain 1e6 step": 0.5,
    }


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_a_case_runs_twice(case: Case) -> None:
    run = case.build(LIB)
    LIB.manual_seed(0)
    first = numbers(run())
    assert first.size
    assert np.isfinite(first).all()
    LIB.manual_seed(0)
    # A training step moves on; all else is the same work every time.
    assert np.allclose(first, numbers(run())) == (case.family != "digits step")


@pytest.mark.parametrize("kind", ["sums tensor", "sums number", "ops tensor", "ops number"])
def test_the_hundred_operations_are_a_hundred(kind: str) -> None:
    case = next(case for case in CASES if case.name == f"hundred {kind} forward")
    nodes, seen = [case.build(LIB)().grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen and node.name() != "torch::autograd::AccumulateGrad":
            seen.add(node)
            nodes += [target for target, _ in node.next_functions]
    assert len(seen) == 101  # and the sum


def test_libraries_take_turns() -> None:
    order: list[str] = []
    one, two = (type(LIB)(name, "math") for name in ("one", "two"))
    samples = measure.times(
        {one: lambda: order.append("one"), two: lambda: order.append("two")},
        Plan(rounds=4, sample=0, limit=60),
        iter(range(1000)).__next__,
    )
    assert order[-8:] == ["one", "two", "two", "one", "one", "two", "two", "one"]
    assert samples == {"one": [1] * 4, "two": [1] * 4}  # this clock ticks once a look


def test_a_sample_lasts_long_enough() -> None:
    now = 0.0

    def work() -> None:
        nonlocal now
        now += 3e-6

    calls = measure.calls_for(LIB, work, Plan(sample=0.01), lambda: now)
    assert 0.01 <= calls * 3e-6 < 0.02


def test_rounds_end_when_time_is_up() -> None:
    assert len(list(Plan(rounds=9, limit=60).turns())) == 9
    assert len(list(Plan(rounds=9, limit=0, least=4).turns())) == 4


def test_ratios_are_of_neighbours() -> None:
    result = Result("x", "", {"gradcore": [1, 2, 4], "torch": [3, 6, 12]}, goal=3)
    assert result.ratio("torch") == Spread(3, 3, 3)
    assert result.reached is True
    assert Result("x", "", {"gradcore": [2.0], "torch": [3.0]}, goal=1.6).reached is False
    alone = Result("x", "", {"gradcore": [1.0]}, goal=1)
    assert (alone.ratio("torch"), alone.reached) == (None, None)


def test_spread_is_median_and_quartiles() -> None:
    assert Spread.of([5, 1, 3, 2, 4]) == Spread(2, 3, 4)


def test_a_case_that_fails_is_told_and_not_hidden() -> None:
    def build(library: object) -> object:
        raise ValueError("no such luck")

    clock = iter(range(99)).__next__
    result = measure.timed(Case("x", "", build, None, "x", None), [LIB], measure.QUICK, clock)
    assert result.samples == {}
    assert result.absent == {"gradcore": "ValueError: no such luck"}
    told = report.Report({"threads": 1, "device": "cpu"}, {"gradcore": "1"}, [result])
    assert "x: gradcore: ValueError: no such luck" in report.table(told)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3.0, "s", "3 s"),
        (0.0123, "s", "12.3 ms"),
        (2.5e-6, "s", "2.5 µs"),
        (7e-9, "s", "7 ns"),
        (1234.4, "bytes", "1234 bytes"),
        (2.345, "arrays", "2.35 arrays"),
    ],
)
def test_figures(value: float, unit: str, text: str) -> None:
    assert report.figure(value, unit) == text


def test_only_the_part_between_the_marks_is_written(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- measured: begin. By bench. -->\nold\n<!-- measured: end -->\nafter\n")
    samples = {"gradcore": [1e-6, 1e-6], "torch": [3e-6, 5e-6]}
    results = [Result("fast", "About it.", samples, goal=2), Result("unnamed", "", samples)]
    report.write_readme(report.Report({"threads": 1, "device": "cpu"}, {"gradcore": "1"}, results), readme)
    text = readme.read_text()
    assert text.startswith("before\n<!-- measured: begin. By bench. -->\n")
    assert text.endswith("\n<!-- measured: end -->\nafter\n")
    assert "| fast | 1 µs | 4 µs | 4.00 [3.50, 4.50] | ≥ 2 yes |" in text
    assert "old" not in text
    assert "unnamed" not in text


@pytest.mark.slow
def test_memory_is_measured() -> None:
    # In an interpreter of its own: here, memory freed by other tests would be used again and not counted.
    figures = {what: measure.fresh("-m", "bench.memory", "gradcore", what) for what in memory.ABOUT}
    assert 2 < figures.pop(memory.PEAK) < 30
    # An array of 16 bytes, its result's header and a node.
    assert all(100 < figure < 1000 for figure in figures.values())
    assert figures["y * x"] >= figures["y + x"]  # which saves nothing


@pytest.mark.slow
def test_the_command_measures_prints_and_writes(tmp_path: Path) -> None:
    words = ["--quick", "--filter", "record", "--libraries", "gradcore", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "record" in done.stdout
    assert "µs" in done.stdout
    (written,) = tmp_path.glob("*.json")
    told = json.loads(written.read_text())
    (result,) = told["results"]
    assert len(result["samples"]["gradcore"]) >= 3
    assert told["machine"]["processor"]
    assert set(told["versions"]) == {"gradcore", "numpy"}


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra `bench`")
    samples = {"gradcore": [1e-6, 1e-6], "torch": [3e-6, 5e-6]}
    results = [Result(f"chain {n} step", "", samples, goal=2, family="chain", size=n) for n in (1, 1000)]
    told = report.Report({"threads": 1, "device": "cpu"}, {"gradcore": "1", "torch": "2"}, results)
    report.plot(told, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_cases_run_on_a_device(strict_cuda) -> None:
    library = load("gradcore", "cuda")
    assert library is not None
    for name in ("notebook", "digits step"):
        case = next(case for case in CASES if case.name == name)
        there, here = case.build(library)(), case.build(LIB)()
        assert all(each.is_cuda for each in there)
        arrived = np.concatenate([library.numpy(t).flatten() for t in there])
        np.testing.assert_allclose(arrived, numbers(here), rtol=1e-5, atol=1e-7)
    library.synchronize()


def test_a_device_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    import gradcore

    monkeypatch.setattr(gradcore.cuda, "is_available", lambda: False)
    monkeypatch.setattr(command, "set_threads", lambda count, device: None)
    assert command.main(["--device", "cuda", "--libraries", "gradcore"]) == 1
    assert capsys.readouterr().out == "python -m bench: none of gradcore is here for device cuda\n"


def test_unknown_libraries_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.parsed(["--libraries", "tensorflow"])
    assert "invalid choice" in capsys.readouterr().err


def test_device_cases_run_and_a_captured_step_is_the_same_step(strict_cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_cases, "normal", lambda *shape, seed=0: normal(*(min(n, 8192) for n in shape), seed=seed))
    plain, graphs = load("gradcore", "cuda"), load("gradcore-graphs", "cuda")
    assert load("gradcore-graphs", "cpu") is None
    for case in device_cases.CASES:
        if case.name in ("matmul 4096", "transformer training 512", "mlp training 1024"):
            continue
        run = case.build(plain)
        assert np.isfinite(numbers_on_device(run())).all()
        if case.family.endswith("training"):
            plain.module.manual_seed(1)
            step = case.build(plain)
            plain.module.manual_seed(1)
            captured = case.build(graphs)
            for _ in range(5):
                np.testing.assert_allclose(numbers_on_device(step()), numbers_on_device(captured()), rtol=1e-3)


def numbers_on_device(result: object) -> np.ndarray:
    return result.detach()._array._host.astype("f8")


def test_a_device_is_timed_by_its_events_and_rates_are_told(strict_cuda) -> None:
    library = load("gradcore", "cuda")
    x = library.constant(np.ones(8))
    result = measure.timed(
        device_cases.DeviceCase("copy", "", lambda lib: lambda: x * 2, None, "copy", 8, moved=64e6),
        [library],
        measure.QUICK,
        iter(np.arange(0, 1000, 0.5)).__next__,
    )
    (seconds,) = set(result.samples["gradcore"])
    assert seconds > 0
    other = Result("half", "", {"gradcore": [2 * seconds]}, moved=64e6)
    told = report.rates(report.Report({"threads": 1, "device": "cuda"}, {}, [result, other]))
    assert f"copy: gradcore {64e6 / seconds / 1e9:.4g} GB/s (100 %)" in told
    assert "(50 %)" in told
    goal = Result("gelu", "", {"gradcore": [2 * seconds], "torch": [seconds]}, goal=0.9, moved=64e6)
    told = report.rates(report.Report({"threads": 1, "device": "cuda"}, {}, [result, goal]))
    assert "(50 %) (goal 0.8, missed)" in told
    assert told.endswith("(100 %)")
    samples = {"gradcore": [2.0], "gradcore-graphs": [1.0], "torch": [3.0], "torch-graphs": [0.9]}
    for name in ("step", "step 64"):
        told = report.rates(report.Report({"threads": 1, "device": "cuda"}, {}, [Result(name, "", samples)]))
        assert f"{name}, times of others to that of gradcore-graphs: gradcore 2.00 [2.00, 2.00], torch 3.00" in told
        assert ("torch 3.00 [3.00, 3.00] (goal 3)" in told) == (name == "step 64")
        assert ("(goal 1, missed)" in told) == (name == "step 64")
