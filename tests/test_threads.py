"""Threads: separate graphs, one graph, shared leaves, modes and hooks. It must not need torch."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import autograd
from gradcore.autograd import graph
from gradcore.graph import stamps, versions
from gradcore.utils.checkpoint import checkpoint, checkpoint_loop

THREADS = 8
ROOT = Path(__file__).resolve().parents[1]


def leaf(*shape: int, seed: int = 0) -> Any:
    return gradcore.from_numpy(np.random.default_rng(seed).normal(size=shape)).requires_grad_()


@pytest.fixture(autouse=True)
def _many_switches() -> Any:
    """Threads take turns as often as Python can, so that what can go wrong does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(work: Callable[[int], Any], n: int = THREADS) -> list[Any]:
    """Run `work(i)` in `n` threads that start together; raise what one of them raised."""
    results: list[Any] = [None] * n
    errors: list[BaseException] = []
    start = threading.Barrier(n)

    def run(i: int) -> None:
        start.wait()
        try:
            results[i] = work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def test_no_accumulation_into_a_shared_leaf_is_lost() -> None:
    w = leaf(50)
    rounds = 40

    def work(i: int) -> None:
        for _ in range(rounds):
            (w * float(i + 1)).sum().backward()

    in_threads(work)
    np.testing.assert_allclose(w.grad.numpy(), rounds * sum(range(1, THREADS + 1)))


def test_retained_gradients_of_one_graph_are_all_added() -> None:
    x = leaf(20)
    y = x * 2
    y.retain_grad()
    total = (y * 3).sum()
    in_threads(lambda i: [total.backward(retain_graph=True) for _ in range(20)])
    np.testing.assert_allclose(x.grad.numpy(), 6 * 20 * THREADS)
    np.testing.assert_allclose(y.grad.numpy(), 3 * 20 * THREADS)


def network(x: Any, w: Any) -> Any:
    y = x
    for _ in range(5):
        y = (y @ w).tanh() + y[:, :1] * 0.5
    return y.softmax(1).log().sum()


def test_separate_graphs_do_not_meet() -> None:
    def work(i: int) -> Any:
        x, w = leaf(3, 4, seed=i), leaf(4, 4, seed=100 + i)
        found = []
        for _ in range(5):
            first = autograd.grad(network(x, w), [x, w], create_graph=True)
            second = autograd.grad(sum((g * g).sum() for g in first), [x, w])
            found.append([g.detach().numpy() for g in (*first, *second)])
        return found

    for found, wanted in zip(in_threads(work), map(work, range(THREADS)), strict=True):
        for ours, alone in zip(found, wanted, strict=True):
            for a, b in zip(ours, alone, strict=True):
                np.testing.assert_array_equal(a, b)


def test_one_graph_is_swept_by_many() -> None:
    x, w = leaf(3, 4), leaf(4, 4, seed=1)
    total = network(x, w)
    wanted = [g.numpy() for g in autograd.grad(total, [x, w], retain_graph=True)]
    for found in in_threads(lambda i: autograd.grad(total, [x, w], retain_graph=True)):
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a.numpy(), b)


def test_modes_and_saved_tensor_hooks_are_of_their_thread() -> None:
    logs: list[list[int]] = [[] for _ in range(THREADS)]

    def work(i: int) -> Any:
        x = leaf(4, seed=i)
        seen = []
        for _ in range(30):
            if i % 3 == 0:
                with gradcore.no_grad():
                    seen.append((x * 2).requires_grad)
            elif i % 3 == 1:
                with graph.saved_tensors_hooks(lambda t: logs[i].append(t.numel()) or t.detach(), lambda t: t):
                    y = x.exp()
                y.sum().backward()
            else:
                with gradcore.inference_mode():
                    seen.append((x * 2).requires_grad)
            seen.append((x * 2).requires_grad)
        return seen

    for i, seen in enumerate(in_threads(work)):
        assert seen == ([True] * 30 if i % 3 == 1 else [False, True] * 30)
        assert logs[i] == ([4] * 30 if i % 3 == 1 else [])


def test_hooks_of_several_gradients_know_their_sweep() -> None:
    x, w = leaf(4), leaf(4, seed=1)
    calls: list[int] = []
    handle = graph.register_multi_grad_hook((x, w), lambda gs: calls.append(sum(g is not None for g in gs)))
    total = (x * w).sum()
    in_threads(lambda i: [total.backward(retain_graph=True) for _ in range(10)])
    handle.remove()
    assert calls == [2] * (10 * THREADS)


def test_checkpoints_are_recomputed_for_each_sweep() -> None:
    x, w = leaf(6), leaf(6, seed=1)
    outside = w * 2
    total = checkpoint(lambda t: (t * outside).exp().sin(), x).sum()
    looped = checkpoint_loop(lambda t: (t * outside).sin(), x, 9, 3).sum() + outside.exp().sum()
    for scalar in (total, looped):
        wanted = [g.numpy() for g in autograd.grad(scalar, [x, w], retain_graph=True)]
        for _ in range(5):
            for found in in_threads(lambda i, scalar=scalar: autograd.grad(scalar, [x, w], retain_graph=True), 4):
                for a, b in zip(found, wanted, strict=True):
                    np.testing.assert_allclose(a.numpy(), b, rtol=1e-12)


def test_the_first_calls_of_operations_may_come_from_many_threads() -> None:
    # A primitive's code is written at its first call; a fresh process makes every call a first one.
    code = """
import sys, threading, gradcore
sys.setswitchinterval(1e-6)
start = threading.Barrier(8)
results, errors = [], []
def run():
    x = gradcore.ones(3, 3).requires_grad_()
    start.wait()
    try:
        y = (x.exp().sum(dim=0, keepdim=True) * x.softmax(1)).cumsum(0).amax(1).std()
        y = y + gradcore.nn.functional.layer_norm(x.tanh(), (3,)).flip(0).max(1)[0].logsumexp(0) + x.diagonal().prod()
        y.backward()
        results.append(x.grad.tolist())
    except BaseException as error:
        errors.append(error)
threads = [threading.Thread(target=run) for _ in range(8)]
for t in threads: t.start()
for t in threads: t.join()
if errors: raise errors[0]
assert len(results) == 8 and all(r == results[0] for r in results)
"""
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_an_operation_is_given_out_when_its_module_is_whole(tmp_path: Path) -> None:
    # Its function is known before what stands below it in the module.
    (tmp_path / "slow.py").write_text("""
import time
from gradcore.ops.registry import op
@op("slow_twin")
def slow_one(input):
    return helper(input)
time.sleep(0.3)
def helper(x):
    return x * 2
""")
    code = f"""
import threading, time, gradcore
from gradcore import ops
from gradcore.ops import later
ops.__path__.append({str(tmp_path)!r})
later.MODULES["slow"] = "slow_one slow_twin"
x, results = gradcore.ones(2), []
def work(name):
    results.append(getattr(gradcore, name)(x).tolist())
threads = [threading.Thread(target=work, args=(name,)) for name in ("slow_one", "slow_one", "slow_twin")]
for thread in threads:
    thread.start()
    time.sleep(0.1)
for thread in threads:
    thread.join()
assert results == [[2, 2]] * 3
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_primitive_runs_when_its_family_is_whole(tmp_path: Path) -> None:
    # Another thread imports the family, and has come to the primitive but not to what its forward calls.
    (tmp_path / "slow.py").write_text("""
import time
from gradcore.recorder import primitive
@primitive("linear", x=lambda F, g: F.thrice(g))
def thrice(F, x):
    return helper(F, x)
time.sleep(0.5)
def helper(F, x):
    return F.multiply(x, 3)
""")
    code = f"""
import threading, time, gradcore
from gradcore import primitives
from gradcore.recorder.steps import Raw, traced
from gradcore.backends import numpy as host
primitives.__path__.append({str(tmp_path)!r})
primitives.FAMILIES = (*primitives.FAMILIES, "slow")
results = []
first = threading.Thread(target=lambda: results.append(Raw(host).thrice(host.ones(2, "f8")).tolist()))
first.start()
deadline = time.monotonic() + 20
while "thrice" not in primitives.registry and time.monotonic() < deadline:
    time.sleep(0.001)
results.append(traced.thrice(gradcore.ones(2)).tolist())
first.join()
assert results == [[3, 3]] * 2, results
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_writes_of_one_storage_by_two_threads_are_counted_and_the_newest_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = np.zeros(3)
    drawn: dict[threading.Thread, int] = {}

    class Stamps:
        """Gives way to the other thread when this one has drawn its stamp and not yet noted it."""

        def __next__(self) -> int:
            stamp = drawn[threading.current_thread()] = next(stamps)
            if threading.current_thread() is not other:
                other.start()
                other.join(0.1)
            return stamp

    other = threading.Thread(target=versions.bump, args=(storage, "other"))
    monkeypatch.setattr(versions, "stamps", Stamps())
    versions.bump(storage, "this")
    other.join()
    assert versions.count(storage) == 2
    assert versions.newest[0] == min(drawn.values())
    assert versions.write_after(max(drawn.values()), storage).stamp == min(drawn.values())


def test_first_writes_by_many_threads_are_all_counted() -> None:
    storages = [np.zeros(1) for _ in range(3000)]

    def work(i: int) -> None:
        for storage in storages:
            versions.bump(storage, "test")

    in_threads(work)
    assert {versions.count(storage) for storage in storages} == {THREADS}
