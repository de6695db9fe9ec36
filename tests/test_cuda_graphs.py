"""CUDA graphs on the strict double, which does again what it captured. Not how the backend does it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcore as gc
from gradcore import cuda, nn
from gradcore.nn import functional as F
from tests.double import graphs as pretended
from tests.double import kernels, queues

rng = np.random.default_rng()
needs_a_compiler = pytest.mark.skipif(kernels.COMPILER is None, reason="needs g++")


def host(x: Any) -> Any:
    return x.detach()._array._host.copy() if x.is_cuda else x.detach().numpy()


def on_device(*shape: int) -> Any:
    return gc.tensor(rng.normal(size=shape), device="cuda")


# -- a graph ------------------------------------------------------------------------------------------------------------


def test_a_replay_reads_its_inputs_and_writes_its_results(strict_cuda: Any) -> None:
    x, made = on_device(3, 4), cuda.CUDAGraph()
    with cuda.graph(made):
        assert cuda.is_current_stream_capturing()
        y = (x.exp() @ x.t()).sum(0)
        assert made.pool()[0] == 0
    assert not cuda.is_current_stream_capturing()
    for _ in range(3):
        values = rng.normal(size=(3, 4))
        x.copy_(gc.tensor(values, device="cuda"))
        with strict_cuda.never_waits():
            made.replay()
        np.testing.assert_allclose(host(y), (np.exp(values) @ values.T).sum(0))


def test_a_graph_of_a_backward_and_writes_in_place(strict_cuda: Any) -> None:
    w, x, made = on_device(4).requires_grad_(), on_device(4), cuda.CUDAGraph()
    total = gc.zeros(4, device="cuda", dtype=gc.float64)
    with cuda.graph(made):
        loss = (w * x).sin().sum()
        loss.backward()
        total += w.grad
    expected = np.zeros(4)
    for _ in range(3):
        x.mul_(1.5)
        made.replay()
        expected += np.cos(host(w) * host(x)) * host(x)
        np.testing.assert_allclose(host(total), expected)
        np.testing.assert_allclose(host(w.grad), np.cos(host(w) * host(x)) * host(x))


def test_streams_that_fork_and_join_take_part(strict_cuda: Any) -> None:
    x, side, made = on_device(4).requires_grad_(), cuda.Stream(), cuda.CUDAGraph()
    with cuda.graph(made):
        main = cuda.current_stream()
        side.wait_stream(main)
        a = x.exp()
        with cuda.stream(side):
            b = x.sin()
        main.wait_stream(side)
        (a * b).sum().backward()
    with gc.no_grad():
        x.mul_(0.5)
    made.replay()
    v = host(x)
    np.testing.assert_allclose(host(x.grad), np.exp(v) * (np.sin(v) + np.cos(v)))


def test_joining_needs_nothing_of_the_host(strict_cuda: Any) -> None:
    x, made = on_device(2, 3).requires_grad_(), cuda.CUDAGraph()
    with cuda.graph(made):
        parts = x.split(1, 0)
        y = gc.cat([gc.cat(parts[::-1], -1), gc.stack(parts, -1).reshape(1, 6)], 1)
        (y * y).sum().backward()
    for _ in range(2):
        with gc.no_grad():
            x.mul_(1.5)
        made.replay()
        v = host(x)
        np.testing.assert_allclose(host(y), np.concatenate([v[1], v[0], v.T.reshape(-1)])[None])
        np.testing.assert_allclose(host(x.grad), 4 * v)


def test_new_random_numbers_every_time(strict_cuda: Any) -> None:
    made, seen = cuda.CUDAGraph(), []
    with cuda.graph(made):
        y = gc.rand(5, device="cuda")
    for _ in range(3):
        made.replay()
        seen.append(tuple(host(y)))
    assert len(set(seen)) == 3


# -- what cannot be ------------------------------------------------------------------------------------------------------

REFUSED = {
    "item": lambda x: x.sum().item(),
    "if": lambda x: 1 if x.sum() > 0 else 2,
    "numpy": lambda x: x.cpu(),
    "nonzero": lambda x: x.nonzero(),
    "from the host": lambda x: gc.ones(3).to("cuda"),
    "synchronize": lambda x: cuda.synchronize(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_host_takes_part_in_is_refused(name: str, strict_cuda: Any) -> None:
    before = queues.get_allocator()
    x, made = on_device(4), cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match=r"captur"), cuda.graph(made):
        REFUSED[name](x)
    assert not cuda.is_current_stream_capturing()
    assert cuda.current_stream().cuda_stream == 0
    assert queues.get_allocator() == before
    assert x.sum().item() == pytest.approx(host(x).sum())
    with pytest.raises(RuntimeError, match="without a preceding successful capture"):
        made.replay()
    with cuda.graph(made):  # another try
        y = x * 2
    made.replay()
    np.testing.assert_allclose(host(y), host(x) * 2)


def test_page_locked_memory_is_read_by_the_replay(strict_cuda: Any) -> None:
    pinned, made = gc.ones(3).pin_memory(), cuda.CUDAGraph()
    with cuda.graph(made):
        y = pinned.to("cuda", non_blocking=True) * 2
    pinned.fill_(5)
    made.replay()
    assert host(y).tolist() == [10, 10, 10]


def test_orders_that_make_no_sense(strict_cuda: Any) -> None:
    made = cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match=r"Called CUDAGraph::replay without"):
        made.replay()
    with pytest.raises(RuntimeError, match=r"Called CUDAGraph::pool\(\) without"):
        made.pool()
    with pytest.raises(RuntimeError, match="must be captured on a non-default stream"):
        made.capture_begin()
    with pytest.raises(RuntimeError, match="nothing is being captured"):
        made.capture_end()
    with pytest.raises(RuntimeError, match=r"Expected `global`, `thread_local`, or `relaxed`, got quick"):
        cuda.graph(made, capture_error_mode="quick").__enter__()
    with cuda.graph(made):
        with pytest.raises(RuntimeError, match="do not nest"), cuda.stream(cuda.Stream()):
            cuda.CUDAGraph().capture_begin()
        gc.ones(3, device="cuda")
    with pytest.raises(RuntimeError, match="has captured already"), cuda.graph(made):
        pass
    made.reset()
    with pytest.raises(ZeroDivisionError), cuda.graph(made):
        raise ZeroDivisionError
    assert cuda.current_stream().cuda_stream == 0


def test_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradcore import backends

    monkeypatch.setattr(backends, "by_device", {"cpu": backends.numpy})
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    monkeypatch.delitem(__import__("sys").modules, "gradcore.backends.cupy", raising=False)
    assert cuda.is_current_stream_capturing() is False
    with pytest.raises(RuntimeError, match="CuPy is not installed"):
        cuda.graph(cuda.CUDAGraph()).__enter__()
    calls: list[int] = []
    step = cuda.graphed_step(lambda x: calls.append(1) or x * 2)
    assert [step(gc.ones(2)).tolist() for _ in range(5)] == [[2, 2]] * 5
    assert len(calls) == 5


# -- whole steps ---------------------------------------------------------------------------------------------------------


def network(device: str) -> Any:
    gc.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 3)).to(device)


OPTIMIZERS: dict[str, Any] = {
    "SGD": lambda p: gc.optim.SGD(p, lr=0.1, momentum=0.9),
    "AdamW": lambda p: gc.optim.AdamW(p, lr=0.05, capturable=True),
    "RMSprop": lambda p: gc.optim.RMSprop(p, lr=0.01, capturable=True),
    "NAdam": lambda p: gc.optim.NAdam(p, lr=0.05, capturable=True),
    "RAdam": lambda p: gc.optim.RAdam(p, lr=0.05, betas=(0.9, 0.99), capturable=True),
    "ASGD": lambda p: gc.optim.ASGD(p, lr=0.1, lambd=0.1, t0=2, capturable=True),
    "Adagrad": lambda p: gc.optim.Adagrad(p, lr=0.1, lr_decay=0.3, fused=True),
    "Adadelta": lambda p: gc.optim.Adadelta(p, capturable=True),
    "Adamax": lambda p: gc.optim.Adamax(p, lr=0.05, capturable=True),
    "Rprop": lambda p: gc.optim.Rprop(p, lr=0.01, capturable=True),
}


@needs_a_compiler
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_captured_training_step_goes_where_the_plain_one_goes(optimizer: str, strict_cuda: Any) -> None:
    batches = [(rng.normal(size=(6, 5)).astype("f4"), rng.integers(0, 3, 6)) for _ in range(8)]

    def trained(device: str, wrap: Any) -> list[Any]:
        model = network(device)
        opt = OPTIMIZERS[optimizer](model.parameters())
        calls = []

        def step(x: Any, y: Any) -> Any:
            calls.append(1)
            opt.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
            return loss

        step = wrap(step)
        losses = [step(*(gc.tensor(each, device=device) for each in batch)) for batch in batches]
        return [len(calls), *map(host, losses), *map(host, model.parameters())]

    launched = pretended.Graph.launched
    calls, *found = trained("cuda", cuda.graphed_step(warmup=2))
    assert calls == 3  # two as they are, one to capture
    assert pretended.Graph.launched == launched + 6
    plain, *expected = trained("cpu", lambda step: step)
    assert plain == 8
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-3, atol=2e-5)


def test_a_step_that_would_count_on_the_host_is_refused(strict_cuda: Any) -> None:
    for make, why in (
        (lambda p: gc.optim.Adam(p), r"Attempting CUDA graph capture of step\(\) for an instance of Adam but this"),
        (lambda p: gc.optim.NAdam(p), r"of NAdam but this instance was constructed with capturable=False\."),
        (lambda p: gc.optim.Adagrad(p), r"of Adagrad but this instance was constructed with fused=None\."),
    ):
        w = on_device(3).requires_grad_()
        opt = make([w])

        def step(w: Any = w, opt: Any = opt) -> None:
            opt.zero_grad()
            (w * w).sum().backward()
            opt.step()

        graphed = cuda.graphed_step(step, warmup=1)
        graphed()
        with pytest.raises(RuntimeError, match=why):
            graphed()
    with pytest.raises(ValueError, match="a first call must run as it is"):
        cuda.graphed_step(step, warmup=0)


def test_work_of_the_host_is_not_lost(strict_cuda: Any) -> None:
    w = gc.zeros(3)
    step = cuda.graphed_step(lambda x: w.add_(x * 2).sum(), warmup=2)
    for _ in range(2):
        step(gc.ones(3))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="multiply, which got tensors of the host, cannot be captured"):
            step(gc.ones(3))
    assert w.tolist() == [4, 4, 4]
    assert (w * 2).tolist() == [8, 8, 8]
    assert cuda.current_stream().cuda_stream == 0


def test_inputs_of_other_kinds_get_graphs_of_their_own(strict_cuda: Any) -> None:
    calls: list[Any] = []

    @cuda.graphed_step(warmup=1, limit=3)
    def double(x: Any, *, scale: Any = 2, more: Any = None) -> Any:
        calls.append(1)
        return {"out": x * scale, "same": (scale, [x + 1])}

    assert double.__name__ == "double"
    for shape, scale in (((3,), 2), ((4,), 2), ((3,), 5)):
        for n in range(4):
            calls.clear()
            x = on_device(*shape)
            out = double(x, scale=scale)
            np.testing.assert_allclose(host(out["out"]), host(x) * scale)
            np.testing.assert_allclose(host(out["same"][1][0]), host(x) + 1)
            assert out["same"][0] == scale
            assert len(calls) == (1 if n < 2 else 0)
    kept = double(on_device(3), scale=2)["out"]
    before = host(kept)
    double(on_device(3), scale=2)
    np.testing.assert_array_equal(host(kept), before)  # a copy
    with pytest.warns(RuntimeWarning, match="double runs without a graph: it was called with inputs of more than 3 kinds"):
        double(on_device(7))
    with pytest.warns(RuntimeWarning, match="double runs without a graph: .*unhashable"):
        double(on_device(3), more={1, 2})


def test_gradients_of_inputs_and_other_streams(strict_cuda: Any) -> None:
    @cuda.graphed_step(warmup=1)
    def gradient(x: Any) -> Any:
        return gc.autograd.grad((x**3).sum(), x)[0]

    for stream in (None, cuda.Stream(), cuda.Stream(), None):
        with cuda.stream(stream):
            x = on_device(3).requires_grad_()
            np.testing.assert_allclose(host(gradient(x)), 3 * host(x) ** 2)


# -- parts ---------------------------------------------------------------------------------------------------------------


def test_callables_with_graphs_have_gradients(strict_cuda: Any) -> None:
    model, plain = network("cuda"), network("cuda")
    plain.load_state_dict(model.state_dict())
    graphed = cuda.make_graphed_callables(model, (gc.zeros(6, 5, device="cuda", requires_grad=True),))
    assert graphed is model
    for _ in range(3):
        x = gc.tensor(rng.normal(size=(6, 5)).astype("f4"), device="cuda", requires_grad=True)
        z = x.detach().clone().requires_grad_()
        launched = pretended.Graph.launched
        (graphed(x) ** 2).sum().backward()
        assert pretended.Graph.launched == launched + 2
        (plain(z) ** 2).sum().backward()
        np.testing.assert_allclose(host(x.grad), host(z.grad), rtol=1e-4, atol=1e-5)
    for p, q in zip(model.parameters(), plain.parameters(), strict=True):
        np.testing.assert_allclose(host(p.grad), host(q.grad), rtol=1e-4, atol=1e-5)
    launched = pretended.Graph.launched
    model.eval()(x)
    assert pretended.Graph.launched == launched


def test_several_callables_in_their_order(strict_cuda: Any) -> None:
    def first(x: Any, y: Any) -> Any:
        return x * y, x.exp()

    def second(x: Any) -> Any:
        return x.sin().sum()

    sample = gc.zeros(4, device="cuda", dtype=gc.float64, requires_grad=True)
    f, g = cuda.make_graphed_callables(
        (first, second), ((sample, sample.detach()), (sample.detach().clone().requires_grad_(),))
    )
    for _ in range(2):
        x, y = on_device(4).requires_grad_(), on_device(4)
        a, b = f(x, y)
        (g(a) * 2 + b.sum()).backward()
        v, w = host(x), host(y)
        np.testing.assert_allclose(host(x.grad), 2 * np.cos(v * w) * w + np.exp(v))
        assert y.grad is None
    x = on_device(4).requires_grad_()
    (found,) = gc.autograd.grad((f(x, y)[0] ** 2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="trying to differentiate twice a function that was marked with @once_diff"):
        gc.autograd.grad(found.sum(), x)


def test_callables_that_no_graph_can_stand_for(strict_cuda: Any) -> None:
    sample = gc.zeros(6, 5, device="cuda")
    with pytest.raises(AssertionError, match="must contain only Tensors"):
        cuda.make_graphed_callables(lambda x: x, (3.0,))
    for register in ("register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"):
        hooked = network("cuda")
        handle = getattr(hooked, register)(lambda *given: None)
        with pytest.raises(AssertionError, match="Modules must not have hooks registered at the time they are passed"):
            cuda.make_graphed_callables(hooked, (sample,))
        handle.remove()
        cuda.make_graphed_callables(hooked, (sample,))
    trained = network("cuda")
    trained.register_buffer("scale", gc.ones(2, device="cuda", requires_grad=True))
    with pytest.raises(AssertionError, match="only parameters may be trainable"):
        cuda.make_graphed_callables(trained, (sample,))
