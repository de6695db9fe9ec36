"""What other profilers have recorded, read beside torch: nvprof's databases, steps, records by time, unique keys."""

from __future__ import annotations

import random
import sqlite3
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import gradcore.autograd.profiler
from tests.twin import attempt

torch = pytest.importorskip("torch")

LIBRARIES = [torch.autograd.profiler, gradcore.autograd.profiler]


# -- nvprof -----------------------------------------------------------------------------------------------------------

TABLES = """
    CREATE TABLE StringTable (_id_ INTEGER PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE CUPTI_ACTIVITY_KIND_MARKER (_id_ INTEGER PRIMARY KEY, timestamp INT, id INT, name INT);
    CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (_id_ INTEGER PRIMARY KEY, cbid INT, start INT, end INT, correlationId INT);
    CREATE TABLE CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL
        (_id_ INTEGER PRIMARY KEY, start INT, end INT, name INT, correlationId INT);
"""


def database(path: Path, ranges: list[Any], launches: list[Any], kernels: list[Any]) -> str:
    """A file of ranges (id, name, start, end), launches (kind, start, end, correlation), kernels (name, .. alike)."""
    with closing(sqlite3.connect(path)) as made:
        made.executescript(TABLES)
        names = sorted({name for _, name, _, _ in ranges} | {name for name, _, _, _ in kernels})
        made.executemany("INSERT INTO StringTable VALUES (?, ?)", [(i + 1, name) for i, name in enumerate(names)])
        insert = "INSERT INTO CUPTI_ACTIVITY_KIND_"
        for id, name, start, end in ranges:
            marks = [(start, id, names.index(name) + 1), (end, id, 0)]
            made.executemany(f"{insert}MARKER (timestamp, id, name) VALUES (?, ?, ?)", marks)
        made.executemany(f"{insert}RUNTIME (cbid, start, end, correlationId) VALUES (?, ?, ?, ?)", launches)
        told = [(names.index(name) + 1, *rest) for name, *rest in kernels]
        made.executemany(f"{insert}CONCURRENT_KERNEL (name, start, end, correlationId) VALUES (?, ?, ?, ?)", told)
        made.commit()
    return str(path)


def shown(event: Any) -> Any:
    kernels = sorted((each.name, each.device, each.duration) for each in event.kernels)
    return (
        event.id, event.name, event.key, event.thread, event.node_id, event.time_range.start, event.time_range.end,
        event.cpu_time_total, event.count, kernels,
    )  # fmt: skip


def test_a_database_of_nvprof(tmp_path: Path) -> None:
    generator = random.Random(5)
    starts = generator.sample(range(10_000), 12)
    ranges = [(100 + i, f"op {i % 5}, seq = {i}", start, start + 1 + 500 * (i % 4)) for i, start in enumerate(starts)]
    ranges.append((7, "all", 0, 20_000))
    times = generator.sample(range(1, 10_000), 30)
    launches = [(211, start, start + generator.randrange(1, 100), i) for i, start in enumerate(times)]
    later = [start + 1000 for start in times]
    kernels = [(f"kernel {i % 3}", start, start + generator.randrange(1, 900), i) for i, start in enumerate(later)]
    path = database(tmp_path / "trace", ranges, launches, kernels)
    theirs, ours = ([shown(event) for event in lib.load_nvprof(path)] for lib in LIBRARIES)
    assert ours == theirs
    assert len(ours) == 13
    assert len(ours[0][-1]) == 30  # all of them, inside the range of all
    assert 0 < sum(len(event[-1]) for event in ours[1:]) < 30 * 12
    events = gradcore.autograd.profiler.load_nvprof(path)
    assert isinstance(events, gradcore.autograd.profiler.EventList)
    in_time = sorted((start, end) for _, start, end, _ in kernels)
    assert [each.duration for each in events[0].kernels] == [end - start for start, end in in_time]
    assert [shown(event) for event in gradcore.autograd.profiler.parse_nvprof_trace(Path(path))] == ours
    sums = {each.key: each.count for each in events.key_averages()}
    assert sums["all"] == 1


TWICE = [(1, "mul", 0, 100), (1, "mul", 200, 300)]
RANGE = [(1, "mul", 0, 100)]
KERNEL = [("k", 60, 80, 9)]


@pytest.mark.parametrize(
    ("ranges", "launches", "kernels"),
    [
        ([], [], []),
        (RANGE, [(211, 10, 20, 9)], []),
        (RANGE, [(211, 0, 20, 9)], KERNEL),  # begins with the range, not inside it
        (RANGE, [(13, 10, 20, 9)], KERNEL),
        (RANGE, [(211, 10, 20, 9)], KERNEL * 2),
        (TWICE, [], []),
    ],
)
def test_what_a_database_may_hold(tmp_path: Path, ranges: list[Any], launches: list[Any], kernels: list[Any]) -> None:
    path = database(tmp_path / "trace", ranges, launches, kernels)
    theirs, ours = (attempt(lambda lib=lib: [shown(event) for event in lib.load_nvprof(path)]) for lib in LIBRARIES)
    assert ours == theirs


def test_another_file(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database")
    for name in ("text", "nowhere"):
        with pytest.raises(sqlite3.DatabaseError):
            gradcore.autograd.profiler.load_nvprof(tmp_path / name)
    assert not (tmp_path / "nowhere").exists()


def test_kernels_of_events() -> None:
    event = gradcore.autograd.profiler.FunctionEvent(1, "a", 0, 0, 10)
    event.append_kernel("k", 0, 3)
    assert event.kernels == [("k", 0, 3)]
    event.device_type = type(event.device_type).CUDA
    with pytest.raises(AssertionError, match="device_type to be CPU"):
        event.append_kernel("k", 0, 3)


# -- the small classes ------------------------------------------------------------------------------------------------


def test_unique_keys() -> None:
    def program(lib: Any) -> Any:
        unique = lib.EnforceUnique()
        keys = ((1,), (1, 2), (2,), (1,), ("a", None), ("a", None), ())
        return [attempt(lambda key=key: unique.see(*key)) for key in keys], unique.seen

    theirs, ours = map(program, LIBRARIES)
    assert ours == theirs
    assert "duplicate key: ('a', None)" in str(ours)


def test_records_by_time() -> None:
    class Record:
        def __init__(self, start: int) -> None:
            self.start = start

        def start_ns(self) -> int:
            return self.start

    generator = random.Random(3)
    records = [(Record(generator.randrange(40)), i) for i in range(60)]
    theirs, ours = (lib.MemRecordsAcc(records) for lib in LIBRARIES)
    for start in range(-2, 43):
        for end in (start - 1, start, start + 1, start + 9):
            assert list(ours.in_interval(start, end)) == list(theirs.in_interval(start, end))
    assert list(gradcore.autograd.profiler.MemRecordsAcc([]).in_interval(0, 9)) == []


def test_steps() -> None:
    def program(lib: Any) -> Any:
        steps, told = lib.KinetoStepTracker, []
        start = steps.current_step()
        for do, who in ["+a", "+a", "+b", "ib", "+b", "+b", "ea", "ea", "+a", "eb", "+a", "+c", "ec", "ea", "ex"]:
            what = {"+": steps.increment_step, "i": steps.init_step_count, "e": steps.erase_step_count}[do]
            result = what(f"{who} of this test")
            told.append(result if result is None or isinstance(result, bool) else result - start)
            told.append(steps.current_step() - start)
        steps._step_dict["far of this test"] = steps.current_step() + 4
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            told.append(steps.increment_step("far of this test") - start)
        steps.erase_step_count("far of this test")
        return told, [(each.category, str(each.message).split(" - ")[0], each.filename) for each in caught]

    before = [dict(lib.KinetoStepTracker._step_dict) for lib in LIBRARIES]
    theirs, ours = map(program, LIBRARIES)
    assert ours == theirs
    assert len(ours[1]) == 1
    assert [dict(lib.KinetoStepTracker._step_dict) for lib in LIBRARIES] == before
