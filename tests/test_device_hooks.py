"""Hooks, anomaly mode, the profiler and checkpoints on a device: the CPU's numbers. It must not test any one operation."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import autograd
from gradcore.autograd import graph, profiler
from gradcore.utils.checkpoint import checkpoint, checkpoint_loop


@pytest.fixture(params=["double", pytest.param("cuda", marks=pytest.mark.cuda)])
def _device(request: pytest.FixtureRequest) -> None:
    if request.param == "double":
        request.getfixturevalue("strict_cuda")


@pytest.mark.usefixtures("_device")
def test_what_is_around_a_sweep_works_on_a_device() -> None:
    values = np.random.default_rng(0).normal(size=(2, 3))

    def program(device: str) -> list[Any]:
        gradcore.manual_seed(0)
        x, w = (gradcore.tensor(v, device=device, requires_grad=True) for v in values)
        log: list[Any] = []
        with graph.save_on_cpu():
            y = (x * w).exp()
            z = y.max(0)[0] + y.std()
        y.grad_fn.register_hook(lambda gi, go: (gi[0] * 2,))
        y.grad_fn.register_prehook(lambda go: (go[0] * 3,))
        y.register_hook(lambda g: g + 1)
        graph.register_multi_grad_hook((x, y), lambda gs: log.extend(g.cpu().tolist() for g in gs if g is not None))
        x.register_post_accumulate_grad_hook(lambda p: log.append(p.grad.cpu().tolist()))
        with graph.allow_mutation_on_saved_tensors():
            u = x.clone()
            v = (u * u).sum()
            u.mul_(2)
        looped = checkpoint_loop(lambda t: (t * w).sin(), checkpoint(lambda t: t.tanh() * w, x), 7, 2).sum()
        total = z + v + looped
        profile = profiler.profile(profile_memory=True, use_device=device, record_shapes=True)
        with autograd.set_detect_anomaly(True), profile as prof:
            total.backward(retain_graph=True)
            (g,) = autograd.grad(looped, graph.get_gradient_edge(x), create_graph=True)
            g.sum().backward()
        assert "CheckpointLoopBackward" in str(prof)
        return [*log, x.grad.cpu().tolist(), w.grad.cpu().tolist()]

    ours, wanted = program("cuda"), program("cpu")
    for a, b in zip(ours, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)
    assert len(wanted) > 5
    x = gradcore.tensor([0.0], device="cuda", requires_grad=True)
    with autograd.set_detect_anomaly(True), pytest.raises(RuntimeError, match="Sqrt"):
        (x.sqrt() * 0).sum().backward()


@pytest.mark.usefixtures("_device")
def test_memory_and_other_names_work_on_a_device() -> None:
    values = np.random.default_rng(0).normal(size=(4, 3))

    def program(device: str) -> list[Any]:
        x, source = (gradcore.tensor(values, device=device) for _ in range(2))
        tracked = gradcore.tensor(values, device=device, requires_grad=True)
        with autograd.note_cuts():
            cut = tracked.detach() * 2
        told = io.StringIO()
        with gradcore.trace_backward(told):
            (tracked * tracked.exp()).sum().backward()
        held = gradcore.memory(tracked.sin().exp())
        grown, smaller, alias = gradcore.zeros(2, device=device).resize_(3), source[1:].resize_(2, 2), x.clone()
        alias.set_(source, 1, (2, 2))
        return [
            grown.shape, smaller, alias, x.clone().fill_diagonal_(7), gradcore.nonzero_static(x > 0, size=9),
            gradcore.t_copy(x), gradcore.unsafe_chunk(x, 2)[1], gradcore.exp_(x.clone()), (held.total, held.leaves),
            cut.why_no_grad(), told.getvalue().replace(", device='cuda:0'", ""), tracked.grad,
            gradcore.poisson(x.abs() * 3).shape, gradcore.func.laplacian(lambda t: (t**4).sum())(x),
            gradcore.func.vmap(lambda row: gradcore.histc(row, 3))(x),
        ]  # fmt: skip

    for ours, theirs in zip(program("cuda"), program("cpu"), strict=True):
        if isinstance(ours, gradcore.Tensor):
            assert ours.is_cuda
            np.testing.assert_allclose(ours.detach().cpu().numpy(), theirs.detach().numpy())
        else:
            assert ours == theirs


@pytest.mark.usefixtures("_device")
def test_nodes_are_called_on_a_device() -> None:
    values = np.random.default_rng(1).normal(size=(2, 3))

    def program(device: str) -> list[Any]:
        x, w = (gradcore.tensor(v, device=device, requires_grad=True) for v in values)
        y = (x * w).exp()
        looks = [(m.shape, m.dtype) for m in y.grad_fn.next_functions[0][0]._input_metadata]
        assert y.grad_fn._input_metadata[0].device.type == device
        first, second = x.split([1, 2])
        pulled = [*y.grad_fn.next_functions[0][0](y), first.grad_fn(first * 2, None), second.grad_fn(None, second)]
        end = y.grad_fn.next_functions[0][0].next_functions[0][0]
        end(y)
        with gradcore.no_grad():
            end(w)
        x.register_hook(lambda g: g * 2)
        x._backward_hooks[0] = lambda g: g * 3
        (x * w).sum().backward()
        assert {t.device.type for t in (*pulled, x.grad)} == {device}
        return [looks, *(t.detach().cpu().tolist() for t in (*pulled, x.grad))]

    np.testing.assert_equal(program("cuda"), program("cpu"))


@pytest.mark.usefixtures("_device")
def test_gradients_of_another_dtype_on_a_device() -> None:
    def program(device: str) -> list[Any]:
        x = gradcore.tensor([1.0, 2.0], device=device, requires_grad=True)
        x.grad_dtype = gradcore.float64
        for _ in range(2):
            (x * x * 0.1).sum().backward()
        (h,) = autograd.grad((x**3).sum(), x, create_graph=True)
        assert (x.grad.dtype, h.dtype) == (gradcore.float64, gradcore.float64)
        h.sum().backward()
        return [x.grad.tolist(), h.tolist()]

    np.testing.assert_equal(program("cuda"), program("cpu"))
