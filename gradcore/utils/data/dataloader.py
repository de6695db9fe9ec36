"""torch.utils.data.DataLoader: batches of a dataset. It must not know what a sample is.

Workers are threads, not processes: they share the dataset, and while one reads a file or is inside NumPy others go on.
"""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, Generic, TypeVar, cast

from gradcore.generator import Generator
from gradcore.utils.data.collate import default_collate, default_convert
from gradcore.utils.data.dataset import Dataset, IterableDataset, samples
from gradcore.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from gradcore.utils.data.workers import Workers, drawn_seed

T = TypeVar("T", covariant=True)
_FIXED = {"batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"}


class DataLoader(Generic[T]):
    """Iterate over a dataset in batches: `collate_fn` of the samples that a sampler names, in the sampler's order.

    With `num_workers`, that many threads load, `prefetch_factor` batches each ahead; one of an IterableDataset iterates over
    it for itself, so that it should ask `get_worker_info()` for its part. `pin_memory` and `multiprocessing_context` change
    nothing. Raises ValueError for options that exclude each other.
    """

    def __init__(
        self,
        dataset: Dataset[T],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[T]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers, multiprocessing_context)
        self.dataset = cast("Any", dataset)
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order
        self._iterates = isinstance(dataset, IterableDataset)
        if self._iterates:
            _check_unordered(shuffle, sampler, batch_sampler)
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
                )
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None:
            shuffled = RandomSampler(self.dataset, generator=generator) if shuffle else None
            sampler = _Endless() if self._iterates else shuffled or SequentialSampler(self.dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler: Any = batch_sampler
        self.generator = generator
        self.collate_fn: Any = collate_fn or (default_convert if batch_sampler is None else default_collate)
        self.persistent_workers = persistent_workers
        self._length_said: int | None = None
        self._workers: Workers | None = None
        self._whole = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and getattr(self, "_whole", False):
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(name, value)

    def __len__(self) -> int:
        """How many batches an epoch has."""
        if not self._iterates:
            return len(self._indices)
        n = self._length_said = len(self.dataset)
        if self.batch_size is None:
            return n
        return n // self.batch_size if self.drop_last else math.ceil(n / self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        """The batches of an epoch."""
        indices, seed = iter(self._indices), drawn_seed(self.generator)
        batches = self._by_threads(indices, seed) if self.num_workers else self._by_oneself(indices)
        return self._counted(batches) if self._iterates else batches

    @property
    def _indices(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def _fetcher(self) -> Callable[[Any], Any]:
        """A function from what the sampler says to a batch, which is None when an IterableDataset has no more."""
        batched = self.batch_sampler is not None
        if not self._iterates:
            get = (lambda at: samples(self.dataset, at)) if batched else self.dataset.__getitem__
            return lambda at: (self.collate_fn(get(at)),)
        rest = iter(self.dataset)

        def following(at: Any) -> Any:
            taken = [each for _, each in zip(at if batched else (at,), rest, strict=False)]
            if not taken or (self.drop_last and len(taken) < len(at)):
                return None
            return (self.collate_fn(taken if batched else taken[0]),)

        return following

    def _by_oneself(self, indices: Iterator[Any]) -> Iterator[Any]:
        fetch = self._fetcher()
        for at in indices:
            found = fetch(at)
            if found is None:
                return
            yield found[0]

    def _by_threads(self, indices: Iterator[Any], seed: int) -> Iterator[Any]:
        n = self.num_workers
        kept = self._workers if not self._iterates else None
        workers = kept or Workers(n, seed, self.dataset, self._fetcher, self.worker_init_fn)
        if self.persistent_workers:
            self._workers = workers
        asked: deque[tuple[int, Future[Any]]] = deque()
        active = deque(range(n))

        def ask() -> None:
            if active:
                for at in indices:
                    asked.append((active[0], workers.submit(active[0], at)))
                    active.rotate(-1)
                    return

        try:
            for _ in range(n * (self.prefetch_factor or 1)):
                ask()
            while asked:
                i, future = asked.popleft()
                found = self._waited(future)
                if found is None and i in active:
                    active.remove(i)
                ask()
                if found is not None:
                    yield found[0]
        finally:
            for _, future in asked:
                future.cancel()
            if workers is not self._workers or self._iterates:
                workers.stop()

    def _waited(self, future: Future[Any]) -> Any:
        try:
            return future.result(self.timeout or None)
        except TimeoutError:
            if future.done():
                raise
            raise RuntimeError(f"DataLoader timed out after {self.timeout} seconds") from None

    def _counted(self, batches: Iterator[Any]) -> Iterator[Any]:
        for i, batch in enumerate(batches, 1):
            if self._length_said is not None and i > self._length_said:
                warnings.warn(
                    f"Length of IterableDataset {self.dataset} was reported to be {self._length_said} (when accessing "
                    f"len(dataloader)), but {i} samples have been fetched.",
                    stacklevel=2,
                )
            yield batch


class _Endless:
    """Stands for the sampler of an IterableDataset, which has no indices."""

    def __iter__(self) -> Iterator[None]:
        while True:
            yield None


def _check_workers(n: int, timeout: float, prefetch: int | None, persistent: bool, context: Any) -> None:
    if n < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if n == 0 and prefetch is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing.let num_workers > 0 to enable "
            "multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch is not None and prefetch < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if n == 0 and persistent:
        raise ValueError("persistent_workers option needs num_workers > 0")
    if n == 0 and context is not None:
        raise ValueError(
            "multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got num_workers=0"
        )


def _check_unordered(shuffle: bool | None, sampler: Any, batch_sampler: Any) -> None:
    if shuffle not in (False, None):
        raise ValueError(f"DataLoader with IterableDataset: expected unspecified shuffle option, but got shuffle={shuffle}")
    for name, given in (("sampler", sampler), ("batch_sampler", batch_sampler)):
        if given is not None:
            raise ValueError(
                f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={given}"
            )
