"""What other profilers have recorded: nvprof's databases, and torch's small classes for such records.
It must not know what gradcore records.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

from gradcore.autograd.profiler_events import EventList, FunctionEvent

LAUNCH = 211  # what CUPTI calls the launch of a kernel by the runtime, since CUDA 9.2

# A range is two markers of one id; that which ends it has no name.
_RANGES = """
    FROM CUPTI_ACTIVITY_KIND_MARKER AS begins JOIN CUPTI_ACTIVITY_KIND_MARKER AS ends USING (id)
"""
_NAMED = f"""
    SELECT id, begins.name, begins.timestamp, ends.timestamp {_RANGES}
    WHERE begins.name <> 0 AND ends.name = 0
    ORDER BY begins.timestamp
"""
_KERNELS = f"""
    SELECT id, call._id_, call.cbid, kernel.name, kernel.end - kernel.start {_RANGES}
    JOIN CUPTI_ACTIVITY_KIND_RUNTIME AS call ON call.start > begins.timestamp AND call.end < ends.timestamp
    JOIN CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL AS kernel USING (correlationId)
    ORDER BY kernel.start
"""


def load_nvprof(path: Any) -> EventList:
    """Read the ranges of `emit_nvtx` from the database that nvprof has written.

    Each has the kernels that were launched inside it, as `kernels`. Times are nvprof's nanoseconds, as in torch.
    Raises sqlite3.Error for another file, RuntimeError for a range told twice, AssertionError for a kernel that something
    else launched.
    """
    return EventList(parse_nvprof_trace(path))


def parse_nvprof_trace(path: Any) -> list[FunctionEvent]:
    """Read what `load_nvprof` reads, into a list. C++ names stay as the compiler has made them."""
    import sqlite3  # few have a use for it

    with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)) as database:
        strings = dict(database.execute("SELECT _id_, value FROM StringTable"))
        events: dict[int, FunctionEvent] = {}
        once = EnforceUnique()
        for marker, name, start, end in database.execute(_NAMED):
            once.see(marker)
            events[marker] = FunctionEvent(marker, strings[name], 0, start, end, node_id=0)
        once = EnforceUnique()
        for marker, call, kind, name, duration in database.execute(_KERNELS):
            once.see(marker, call)
            if kind != LAUNCH:
                raise AssertionError(f"Expected cbid to be {LAUNCH}, but got {kind}")
            events[marker].append_kernel(name, 0, duration)
    return list(events.values())


class EnforceUnique:
    """What complains about a key that it has seen."""

    def __init__(self) -> None:
        self.seen: set[tuple[Any, ...]] = set()

    def see(self, *key: Any) -> None:
        """Note a key. Raises RuntimeError if it was noted before."""
        if key in self.seen:
            raise RuntimeError(f"duplicate key: {key}")
        self.seen.add(key)


class MemRecordsAcc:
    """Records by time: pairs whose first has a `start_ns()`."""

    def __init__(self, mem_records: Sequence[Any]) -> None:
        self._records = sorted(mem_records, key=lambda record: record[0].start_ns())
        self._starts = [record[0].start_ns() for record in self._records]

    def in_interval(self, start_ns: int, end_ns: int) -> Iterator[Any]:
        """Yield the records from `start_ns` to `end_ns`, both included, in the order of time."""
        yield from self._records[bisect_left(self._starts, start_ns) : bisect_right(self._starts, end_ns)]


class KinetoStepTracker:
    """One count of training steps for all who count them: the largest of their counts.

    torch tells its library Kineto of each step; here there is only the count.
    """

    _current_step = 0
    _step_dict: ClassVar[dict[str, int]] = defaultdict(int)

    @classmethod
    def init_step_count(cls, requester: str) -> None:
        """Let somebody count, from where the others are."""
        cls._step_dict[requester] = cls._current_step

    @classmethod
    def erase_step_count(cls, requester: str) -> bool:
        """Forget somebody's count; say whether there was one."""
        return cls._step_dict.pop(requester, None) is not None

    @classmethod
    def increment_step(cls, requester: str) -> int:
        """Count a step of somebody's, and return the largest count. Warns if it has grown by more than one."""
        if requester not in cls._step_dict:
            cls.init_step_count(requester)
        cls._step_dict[requester] += 1
        newest = max(cls._step_dict.values())
        if newest > cls._current_step + 1:
            warnings.warn(
                f"Profiler step count has increased more than 1 - current_step = {cls._current_step} "
                f"step dict =  {cls._step_dict}",
                stacklevel=2,
            )
        cls._current_step = max(newest, cls._current_step)
        return cls._current_step

    @classmethod
    def current_step(cls) -> int:
        """Return the largest count that there was."""
        return cls._current_step
