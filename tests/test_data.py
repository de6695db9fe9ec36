"""torch.utils.data: datasets, samplers and loaders, beside torch's own with the same seeds."""

from __future__ import annotations

import threading
from collections import namedtuple
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore.utils import data as ours
from tests.twin import attempt, same

torch = pytest.importorskip("torch")
Point = namedtuple("Point", "x y")


def of(lib: Any) -> Any:
    return ours if lib is gradcore else torch.utils.data


def squares(lib: Any, n: int = 10) -> Any:
    class Squares(of(lib).Dataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return n

        def __getitem__(self, i: int) -> dict[str, Any]:
            return {"x": lib.tensor([i, i * i], dtype=lib.float32), "name": f"s{i}", "y": i % 3}

    return Squares()


def counting(lib: Any, n: int = 7) -> Any:
    class Counting(of(lib).IterableDataset):  # type: ignore[misc]
        def __iter__(self) -> Any:
            info = of(lib).get_worker_info()
            return iter(range(n) if info is None else range(info.id, n, info.num_workers))

        def __len__(self) -> int:
            return n

    return Counting()


def test_orders_batches_and_what_is_drawn_after_them() -> None:
    def program(lib: Any) -> Any:
        d, ds, told = of(lib), of(lib).TensorDataset(lib.arange(7.0), lib.arange(7)), []
        three, two = {"batch_size": 3}, {"batch_size": 2, "drop_last": True}
        for seed, how in enumerate([{}, three, {**three, "shuffle": True}, two, {"batch_size": None}]):
            lib.manual_seed(seed)
            loader = d.DataLoader(ds, **how)
            told += [len(loader), list(loader), [b for b, _ in zip(loader, range(2), strict=False)], lib.rand(1)]
        g = lib.Generator().manual_seed(4)
        told += [list(d.DataLoader(squares(lib), 4, shuffle=True, generator=g))]
        told += [list(d.DataLoader(counting(lib), 3)), list(d.DataLoader(counting(lib), 3, drop_last=True))]
        told += [list(d.DataLoader(counting(lib), None)), len(d.DataLoader(counting(lib), 3))]
        return [*told, list(d.DataLoader(ds, batch_sampler=[[0, 2], [1]], collate_fn=lambda rows: [x for x, _ in rows]))]

    same(program, torch)


def test_samplers_draw_torchs_indices() -> None:
    def program(lib: Any) -> Any:
        d = of(lib)
        lib.manual_seed(1)
        several = [
            d.RandomSampler(range(6)), d.RandomSampler(range(5), num_samples=12), d.RandomSampler(range(5), num_samples=10),
            d.RandomSampler(range(9), True, 70), d.RandomSampler(range(9), True, 64), d.SubsetRandomSampler([5, 7, 9]),
            d.WeightedRandomSampler([0.1, 0.9, 0.4], 5), d.WeightedRandomSampler([0.1, 0.9, 0.4], 2, replacement=False),
            d.BatchSampler(d.SequentialSampler(range(5)), 2, False), d.BatchSampler(range(5), 2, True),
        ]  # fmt: skip
        g = lib.Generator().manual_seed(2)
        drawn = [list(d.RandomSampler(range(5), True, 40, generator=g)), lib.rand(1, generator=g)]
        return [(list(each), len(each)) for each in several], drawn, lib.rand(1)

    same(program, torch)


def test_datasets() -> None:
    def program(lib: Any) -> Any:
        d, a = of(lib), of(lib).TensorDataset(lib.arange(6.0), lib.arange(6))
        both, chain = a + d.TensorDataset(lib.zeros(2), lib.ones(2)), counting(lib, 2) + counting(lib, 1)
        stacks = [d.StackDataset(a, range(6)), d.StackDataset(t=a, n=range(6))]
        parts = [
            [list(p.indices) for p in d.random_split(range(n), of_n, generator=lib.Generator().manual_seed(42))]
            for n, of_n in ((10, [3, 7]), (10, [0.3, 0.7]), (7, [0.5, 0.5]), (5, (0.3, 0.3, 0.4)))
        ]
        subset = d.Subset(d.Subset(both, [7, 5, 1]), [2, 0])
        return [
            a[2], a[1:3], len(a), len(both), both[6], both[-8], attempt(lambda: both[-9]), list(chain), len(chain),
            [(s[1], s.__getitems__([0, 5]), len(s)) for s in stacks], parts, [subset[0], subset.__getitems__([1, 0])],
            len(subset), list(d.DataLoader(subset, 2)),
        ]  # fmt: skip

    same(program, torch)


def test_collections_are_collated_in_their_form() -> None:
    def program(lib: Any) -> Any:
        collate, convert = of(lib).default_collate, of(lib).default_convert
        batches = [
            [(1, 2.5), (3, 4.5)], [[1, 2], [3, 4]], [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], [Point(1, 2.0), Point(3, 4.0)],
            [np.ones(2), np.zeros(2)], [np.float32(1), np.float32(2)], [np.int64(3)], [True, False], ["a", "b"], [b"a"],
            [lib.ones(2), lib.zeros(2)], [{"p": (lib.ones(1), [1.0])}] * 2,
        ]  # fmt: skip
        wrong = [[[1], [1, 2]], [object()], [np.array(["a"])], [None], [lib.ones(2), lib.ones(3)]]
        raw = [0, np.array([0, 1]), Point(np.array(0), 1), [np.ones(1), "s"], {"a": np.ones(1)}, (1, np.ones(1))]
        converted = [convert(each) for each in raw]
        return [
            [collate(each) for each in batches], [type(collate(each)).__name__ for each in batches],
            [attempt(lambda each=each: collate(each))[1] for each in wrong], convert(np.array(["s"])).tolist(),
            converted, [type(each).__name__ for each in converted],
        ]  # fmt: skip

    same(program, torch)


def test_refusals() -> None:
    def program(lib: Any) -> Any:
        d, ds = of(lib), of(lib).TensorDataset(lib.ones(2))
        it, x = counting(lib), lib.ones

        class Half(d.Subset):  # type: ignore[misc]
            def __getitem__(self, i: int) -> Any:
                return None

        def changed() -> None:
            d.DataLoader(ds).batch_size = 3

        return [
            attempt(f)
            for f in (
                lambda: d.TensorDataset(x(2), x(3)), lambda: d.StackDataset(), lambda: d.StackDataset(ds, b=ds),
                lambda: d.StackDataset(ds, range(5)), lambda: d.ConcatDataset([]), lambda: d.ConcatDataset([it]),
                lambda: list(d.ChainDataset([ds])), lambda: Half(ds, [0]), lambda: d.Dataset()[0],
                lambda: d.random_split(range(3), [1, 1]), lambda: d.random_split(range(3), [2, -1.0]),
                lambda: d.RandomSampler([]), lambda: d.RandomSampler([1], 2), lambda: d.WeightedRandomSampler([1], 0),
                lambda: d.WeightedRandomSampler([[1.0]], 1), lambda: d.WeightedRandomSampler([1], 1, 3),
                lambda: d.BatchSampler([1], 0, False), lambda: d.BatchSampler([1], True, False),
                lambda: d.BatchSampler([1], 1, 1), lambda: iter(d.Sampler()), changed,
                lambda: d.DataLoader(ds, num_workers=-1), lambda: d.DataLoader(ds, timeout=-1),
                lambda: d.DataLoader(ds, prefetch_factor=2), lambda: d.DataLoader(ds, persistent_workers=True),
                lambda: d.DataLoader(ds, num_workers=1, prefetch_factor=-1), lambda: d.DataLoader(it, shuffle=True),
                lambda: d.DataLoader(it, sampler=[0]), lambda: d.DataLoader(it, batch_sampler=[[0]]),
                lambda: d.DataLoader(ds, sampler=[0], shuffle=True), lambda: d.DataLoader(ds, 2, batch_sampler=[[0]]),
                lambda: d.DataLoader(ds, None, drop_last=True), lambda: d.DataLoader(ds, multiprocessing_context="fork"),
                lambda: len(d.DataLoader(squares(lib), sampler=iter([0]))),
            )
        ]  # fmt: skip

    same(program, torch)


@pytest.mark.parametrize("n", [1, 3])
def test_workers_keep_the_order_and_know_their_number(n: int) -> None:
    threads, started = set(), []

    def seen(rows: list[Any]) -> Any:
        threads.add(threading.current_thread().name)
        return ours.default_collate(rows), ours.get_worker_info().id  # type: ignore[union-attr]

    loader = ours.DataLoader(squares(gradcore, 11), 2, num_workers=n, collate_fn=seen, worker_init_fn=started.append)
    for _ in range(2):
        batches = list(loader)
        assert [b["x"][:, 0].tolist() for b, _ in batches] == [[i, i + 1] for i in range(0, 10, 2)] + [[10.0]]
        assert [i for _, i in batches] == [i % n for i in range(6)]
    assert len(threads) == n
    assert sorted(started) == sorted([*range(n)] * 2)
    assert ours.get_worker_info() is None


def test_workers_that_stay_that_fail_and_that_are_late() -> None:
    started: list[int] = []
    kept = ours.DataLoader(range(4), num_workers=2, worker_init_fn=started.append, persistent_workers=True)
    assert [list(kept), list(kept)] == [[gradcore.tensor([i]) for i in range(4)]] * 2
    assert sorted(started) == [0, 1]

    with pytest.raises(IndexError):
        list(ours.DataLoader([1, 2], sampler=[0, 5], num_workers=2))
    with pytest.raises(ZeroDivisionError):
        list(ours.DataLoader([1, 2], num_workers=1, worker_init_fn=lambda i: 1 // i))
    wait = threading.Event()
    with pytest.raises(RuntimeError, match=r"timed out after 0\.01 seconds"):
        list(ours.DataLoader([1], num_workers=1, timeout=0.01, collate_fn=lambda rows: wait.wait()))
    wait.set()


def test_iterable_datasets_are_shared_by_workers() -> None:
    def program(lib: Any) -> Any:
        loaders = [of(lib).DataLoader(counting(lib), size, num_workers=2) for size in (1, 2, None)]
        return [[batch if isinstance(batch, int) else batch.tolist() for batch in each] for each in loaders]

    # torch's workers are processes, which a test need not start: these are its batches, two workers in turn.
    assert program(gradcore) == [[[i] for i in range(7)], [[0, 2], [1, 3], [4, 6], [5]], list(range(7))]


def test_more_samples_than_a_dataset_said() -> None:
    class Longer(ours.IterableDataset[int]):
        def __iter__(self) -> Any:
            return iter(range(3))

        def __len__(self) -> int:
            return 2

    loader = ours.DataLoader(Longer(), None)
    assert [*iter(loader)] == [0, 1, 2]
    assert len(loader) == 2
    with pytest.warns(UserWarning, match="reported to be 2"):
        assert list(loader) == [0, 1, 2]
