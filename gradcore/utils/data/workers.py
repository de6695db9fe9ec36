"""Who loads: the calling thread, or threads of a loader, each of which knows its number. It must not know what is loaded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from gradcore.dtypes import int64
from gradcore.generator import Generator
from gradcore.ops.filling import empty

__all__ = ["WorkerInfo", "Workers", "drawn_seed", "get_worker_info"]


class WorkerInfo(NamedTuple):
    """A worker's number, how many there are, its seed and its dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_local = threading.local()


def get_worker_info() -> WorkerInfo | None:
    """Return what is known of the worker that calls: its `id`, `num_workers`, `seed`, `dataset`; None outside of one."""
    return getattr(_local, "info", None)


def drawn_seed(generator: Generator | None = None) -> int:
    """A random seed, drawn as torch draws it."""
    return int(empty((), dtype=int64).random_(generator=generator).item())


class Workers:
    """`n` threads, each with an object of its own that loads; they are asked in turn."""

    def __init__(self, n: int, seed: int, dataset: Any, start: Callable[[], Any], init: Callable[[int], Any] | None) -> None:
        def begin(i: int) -> None:
            _local.info = WorkerInfo(i, n, seed + i, dataset)
            if init is not None:
                init(i)
            _local.loads = start()

        self._pools = [ThreadPoolExecutor(1, f"DataLoader worker {i}") for i in range(n)]
        self._begun = [pool.submit(begin, i) for i, pool in enumerate(self._pools)]

    def submit(self, i: int, *args: Any) -> Future[Any]:
        """Have worker `i` load what `args` name."""

        def load() -> Any:
            self._begun[i].result()  # what failed when it began
            return _local.loads(*args)

        return self._pools[i].submit(load)

    def stop(self) -> None:
        """Let the threads end when they have done what they are at."""
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)
