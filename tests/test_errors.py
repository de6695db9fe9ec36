"""What bad input gets: torch's exception type, a message that names op, shapes and fix, and nothing changed."""

from __future__ import annotations

import gc
import signal
import threading
import time
import timeit
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gradcore


def leaf(*shape: int, seed: int = 0) -> Any:
    return gradcore.from_numpy(np.random.default_rng(seed).normal(size=shape)).requires_grad_()


# Each: what is done to a leaf of shape (2, 3), the exception's type, and what its message must name.
BAD: dict[str, tuple[Callable[[Any], Any], type[Exception], tuple[str, ...]]] = {
    "non-scalar backward": (lambda x: (x * 2).backward(), RuntimeError, ("scalar outputs", "[2, 3]", ".sum()")),
    "gradient of another shape": (
        lambda x: (x * 2).backward(gradcore.ones(3, dtype=gradcore.float64)),
        RuntimeError,
        ("Mismatch in shape", "grad_output[0]", "[3]", "[2, 3]"),
    ),
    "backward of a constant": (
        lambda x: gradcore.ones(()).backward(),
        RuntimeError,
        ("element 0", "does not require grad"),
    ),
    "integer leaf": (
        lambda x: gradcore.ones(3, dtype=gradcore.int32).requires_grad_(),
        RuntimeError,
        ("floating point and complex dtype", "int32"),
    ),
    "leaf in place": (lambda x: x.mul_(2), RuntimeError, ("leaf Variable", "mul_", "[2, 3]", "no_grad")),
    "view of a leaf in place": (lambda x: x[0].zero_(), RuntimeError, ("view of a leaf", "zero_", "no_grad")),
    "broadcast": (
        lambda x: x + gradcore.ones(2, 4, dtype=gradcore.float64),
        RuntimeError,
        ("size of tensor a (3)", "tensor b (4)", "dimension 1", "add", "[2, 3]", "[2, 4]"),
    ),
    "broadcast in place": (
        lambda x: gradcore.ones(3).add_(gradcore.ones(2, 3)),
        RuntimeError,
        ("output with shape [3]", "[2, 3]"),
    ),
    "dim out of range": (lambda x: x.sum(5), IndexError, ("range of [-2, 1]", "5")),
    "dim twice": (lambda x: x.sum((0, 0)), RuntimeError, ("multiple times",)),
    "index out of range": (lambda x: x[7], IndexError, ("index 7", "dimension 0", "size 2")),
    "index array out of range": (
        lambda x: x[gradcore.tensor([0, 7])],
        IndexError,
        ("index 7", "dimension 0", "size 2"),
    ),
    "too many indices": (lambda x: x[0, 0, 0], IndexError, ("too many indices", "dimension 2")),
    "reshape": (lambda x: x.reshape(4, 2), RuntimeError, ("shape '[4, 2]' is invalid", "size 6")),
    "matrix product": (lambda x: x @ x, RuntimeError, ("2x3 and 2x3",)),
    "matrix product of dtypes": (lambda x: x @ gradcore.ones(3, 2), RuntimeError, ("same dtype", "double", "float")),
    "integer division in place": (
        lambda x: gradcore.ones(3, dtype=gradcore.int64).div_(2),
        RuntimeError,
        ("Float", "Long", "div_"),
    ),
    "a string": (lambda x: x + "a", TypeError, ("str",)),
    "unknown device": (lambda x: x.to("tpu"), RuntimeError, ("tpu",)),
    "item of many": (lambda x: x.item(), RuntimeError, ("6 elements",)),
    "truth of many": (lambda x: bool(x), RuntimeError, ("ambiguous", "[2, 3]")),
    "numpy with history": (lambda x: (x * 2).numpy(), RuntimeError, ("requires grad", "detach()")),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_and_changes_nothing(case: str) -> None:
    f, kind, words = BAD[case]
    x = leaf(2, 3)
    before = x.detach().clone()
    with pytest.raises(kind) as caught:
        f(x)
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in {str(caught.value)!r}"
    assert x.grad is None
    assert x._version == 0
    assert bool((x.detach() == before).all())
    assert x.is_leaf
    (x * 2).sum().backward()
    assert bool((x.grad == 2).all())


def test_mixed_devices_name_both(strict_cuda: Any) -> None:
    x, y = leaf(2, 3), gradcore.ones(2, 3, device="cuda")
    for f in (lambda: x * y, lambda: y * x, lambda: gradcore.cat([x, y]), lambda: x.float() @ y.T, lambda: y.add_(x)):
        with pytest.raises(RuntimeError, match=r"same device.*(cpu.*cuda:0|cuda:0.*cpu)"):
            f()
    assert y._version == 0
    assert (y == 1).all().item()
    assert (x * gradcore.tensor(2.0)).sum().item() == pytest.approx(2 * x.sum().item())


def test_zero_d_host_tensors_mix_with_the_device_as_in_torch(strict_cuda: Any) -> None:
    y = gradcore.ones(2, 3, device="cuda", requires_grad=True)
    z = y * gradcore.tensor(3.0)
    assert z.device.type == "cuda"
    z.sum().backward()
    assert (y.grad == 3).all().item()


def test_an_overwritten_value_names_both_operations() -> None:
    x = leaf(2, 3)
    y = x * 2
    z = y.exp()
    z.add_(1)
    with pytest.raises(RuntimeError) as caught:
        z.sum().backward()
    for word in ("modified by an inplace operation", "ExpBackward0", "add_", "[2, 3]", "clone()"):
        assert word in str(caught.value)
    assert x.grad is None


def test_an_overwritten_value_names_the_last_writer() -> None:
    x = leaf(2, 3)
    y = x * 2
    z = y * y
    y.add_(1)
    y.zero_()
    with pytest.raises(RuntimeError, match=r"overwritten by zero_ \(its storage is now at version 2\)"):
        z.sum().backward()


def test_an_exception_in_backward_leaves_gradients_and_says_the_graph_is_spent() -> None:
    x, w = leaf(3), leaf(3, seed=1)
    (x * w).sum().backward()
    before = x.grad.clone(), w.grad.clone()
    y = x.exp()
    y.register_hook(lambda g: 1 / 0)
    out = (y * w + w).sum()
    with pytest.raises(ZeroDivisionError):
        out.backward()
    assert bool((x.grad == before[0]).all())
    assert bool((w.grad == before[1]).all())
    with pytest.raises(RuntimeError, match="second time"):
        out.backward()


def test_an_exception_in_backward_leaves_a_retained_graph_reusable() -> None:
    x, w = leaf(3), leaf(3, seed=1)
    y = x.exp()
    handle = y.register_hook(lambda g: 1 / 0)
    out = (y * w + w).sum()
    with pytest.raises(ZeroDivisionError):
        out.backward(retain_graph=True)
    assert x.grad is None
    assert w.grad is None
    handle.remove()
    out.backward()
    np.testing.assert_allclose(x.grad.numpy(), (x.exp() * w).detach().numpy())
    np.testing.assert_allclose(w.grad.numpy(), (x.exp() + 1).detach().numpy())


@pytest.fixture
def alarm() -> Iterator[None]:
    """A timer that does what Ctrl-C does. There are no collections: what strikes in a callback of theirs is lost."""
    old = signal.signal(signal.SIGALRM, signal.default_int_handler)
    gc.disable()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        gc.enable()


def test_ctrl_c_in_backward_leaves_gradients_consistent(alarm: None) -> None:
    # A real signal, at many moments: after it, every gradient is the old one or the new one.
    noise, interrupted = np.geterr(), 0
    for delay in np.random.default_rng(0).uniform(1e-5, 4e-3, size=40):
        x = leaf(50)
        y = x
        for _ in range(2000):
            y = y * 1.00001 + 0.0
        out = y.sum()
        try:
            signal.setitimer(signal.ITIMER_REAL, delay)
            out.backward(retain_graph=True)
            time.sleep(0.01)
        except KeyboardInterrupt:
            interrupted += x.grad is None
        assert np.geterr() == noise
        expected = np.full(50, 1.00001**2000)
        if x.grad is not None:
            np.testing.assert_allclose(x.grad.numpy(), expected)
        x.grad = None
        out.backward()
        np.testing.assert_allclose(x.grad.numpy(), expected)
    assert interrupted > 0


@pytest.mark.parametrize("have", [False, True])
def test_ctrl_c_changes_the_gradients_of_all_leaves_or_of_none(have: bool, alarm: None) -> None:
    leaves = [leaf(3) for _ in range(1000)]
    out = sum((gradcore.stack(leaves) * 2.0).sum(1)).sum()  # type: ignore[call-overload]
    seen = set()
    out.backward(retain_graph=True)
    whole = min(timeit.repeat(lambda: out.backward(retain_graph=True), number=1, repeat=5))
    for i, moment in enumerate(np.random.default_rng().uniform(0.3, 3.0, size=1000)):
        if i >= 150 and len(seen) > 1:
            break
        for x in leaves:
            x.grad = gradcore.ones(3, dtype=x.dtype) if have else None
        try:
            signal.setitimer(signal.ITIMER_REAL, max(moment * whole, 1e-5))
            out.backward(retain_graph=True)
            time.sleep(3 * moment * whole)
        except KeyboardInterrupt:
            found = {None if x.grad is None else x.grad[0].item() for x in leaves}
            assert len(found) == 1
            seen |= found
    assert seen == ({1.0, 3.0} if have else {None, 2.0})


def test_ctrl_c_around_a_mode_switches_it_off(alarm: None) -> None:
    # Python itself runs handlers before the first instruction of `__exit__`: what strikes there, nobody can help.
    armed, struck = False, 0

    def raise_in_time(*_: Any) -> None:
        if armed:
            raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, raise_in_time)
    for delay in np.random.default_rng(0).uniform(1e-5, 2e-4, size=1500):
        try:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, delay)
            while True:
                with gradcore.no_grad():
                    gradcore.is_grad_enabled()
        except KeyboardInterrupt as error:
            armed = False
            frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
            inside = frames[-2].f_code
            struck += inside.co_name in ("__enter__", "__exit__", "_set")
            if not gradcore.is_grad_enabled():
                assert inside.co_name == "__exit__"
                gradcore.set_grad_enabled(True)
    assert struck > 50


def test_threads_have_their_own_modes_and_share_leaves() -> None:
    x = leaf(8)
    rounds, workers = 200, 4
    failures: list[BaseException] = []
    barrier = threading.Barrier(workers)

    def work(i: int) -> None:
        try:
            barrier.wait()
            for k in range(rounds):
                if (i + k) % 3 == 0:
                    with gradcore.no_grad():
                        assert not (x * 2).requires_grad
                (x * 2).sum().backward()
                assert gradcore.is_grad_enabled()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(workers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert failures == []
    np.testing.assert_array_equal(x.grad.numpy(), np.full(8, 2.0 * rounds * workers))


def test_no_grad_of_one_thread_is_not_another_s() -> None:
    seen: list[bool] = []
    with gradcore.no_grad():
        thread = threading.Thread(target=lambda: seen.append(gradcore.is_grad_enabled()))
        thread.start()
        thread.join()
        assert not gradcore.is_grad_enabled()
    assert seen == [True]


def test_concurrent_operations_warn_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    # Quiet contexts are entered by one thread at a time; the others must be as quiet.
    a, b = gradcore.full((200_000,), 1e30), gradcore.zeros(200_000)

    def work() -> None:
        for _ in range(10):
            assert bool((a * a).isinf().all())
            assert bool((b / b).isnan().all())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(recwarn) == 0
    with np.errstate(all="raise"):
        assert bool((a * a).isinf().all())
        with pytest.raises(FloatingPointError):
            a.numpy() * a.numpy()
