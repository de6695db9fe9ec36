"""`.data` assigned: versions, saved values, views and gradients of other shapes, beside torch. It must not know arrays."""

from __future__ import annotations

from typing import Any

import pytest

import gradcore
from gradcore import autograd
from tests.twin import Programs, attempt, same

torch = pytest.importorskip("torch")
programs = Programs()


@programs
def versions_stay_with_the_tensor(lib: Any) -> Any:
    x, y = lib.ones(3), lib.zeros(3)
    y.add_(1), y.add_(1), x.add_(1)
    y.data = x
    told = [y._version, x._version]
    x.add_(1)
    told += [y._version, x._version]
    y.mul_(2)
    y[0] = 1
    y.detach().add_(1)
    y.view(3)[:2].add_(1)
    told += [y._version, x._version, x]
    y.data.add_(1)
    y.data = y.data
    lib.add(y, 1, out=y)
    return [*told, y._version, y, x._version]


@programs
def versions_of_parameters(lib: Any) -> Any:
    layer = lib.nn.Linear(2, 1)
    lib.nn.init.ones_(layer.weight), lib.nn.init.zeros_(layer.bias)
    told = [layer.weight._version]
    steps = lib.optim.SGD(layer.parameters(), lr=0.5)
    for change in (layer.double, layer.float, lambda: setattr(layer.weight, "data", lib.ones(1, 2))):
        layer(lib.ones(1, 2, dtype=layer.weight.dtype)).sum().backward()
        steps.step()
        change()
        told += [layer.weight._version, layer.weight]
    return told


@programs
def what_is_saved_afterwards_is_checked(lib: Any) -> Any:
    x, c = lib.ones(3, requires_grad=True), lib.ones(3)
    c.add_(1)
    c.data = lib.full((3,), 5.0)
    y = x * c
    c.add_(1)
    refused = attempt(y.sum().backward)
    (x * c).sum().backward()
    return refused[1], x.grad


@programs
def views_follow(lib: Any) -> Any:
    x = lib.ones(4, requires_grad=True)
    c = x * 1
    c.add_(1)
    c.data = lib.full((4,), 2.0)
    v = c[:2]
    v.mul_(3)
    (c * c + c).sum().backward()
    c.detach().add_(1)
    return x.grad, c, v.detach(), c._version, v._version


@programs
def another_shape(lib: Any) -> Any:
    x, w = lib.ones(3, requires_grad=True), lib.ones(1, requires_grad=True)
    (x * 2).sum().backward()
    x.data = lib.ones(4)
    refused = attempt((x * 2 + w).sum().backward)
    kept = x.grad
    x.grad = None
    (x * 2).sum().backward()
    return refused[1], kept, x.grad


@programs
def what_data_may_be(lib: Any) -> Any:
    x, y = lib.ones(3, requires_grad=True), lib.ones(3)
    x.data = lib.ones(2, dtype=lib.float64)
    y.data = lib.ones(2, dtype=lib.int64)
    no = [attempt(lambda d=d: setattr(x, "data", d))[1] for d in (lib.ones(3, dtype=lib.int64), 3, None, [1.0])]
    return x, y, no, x._version, y._version


@pytest.mark.parametrize("program", programs, ids=lambda p: p.__name__)
def test_as_torch(program: Any) -> None:
    same(program, torch)


def test_a_gradient_of_another_shape_changes_nothing() -> None:
    x, w = gradcore.ones(3, requires_grad=True), gradcore.ones(1, requires_grad=True)
    loss = (x * 2 + w).sum()
    x.data = gradcore.ones(4)
    with pytest.raises(RuntimeError, match=r"shape \[3\] arrived at a tensor of shape \[4\].*\.data"):
        loss.backward(retain_graph=True)
    assert (x.grad, w.grad) == (None, None)
    x.data = gradcore.ones(3)
    loss.backward()
    x.data = gradcore.ones(4)
    kept = w.grad
    with pytest.raises(RuntimeError, match=r"shape \[4\] arrived at a \.grad of shape \[3\].*set its \.grad to None"):
        (x * 2 + w).sum().backward()
    assert w.grad is kept
    assert (x.grad.tolist(), kept.tolist()) == ([2.0, 2.0, 2.0], [3.0])


def test_saved_values_are_those_that_were_used() -> None:
    # torch saves the tensor, and would see the new ones.
    x, c = gradcore.ones(3, requires_grad=True), gradcore.full((3,), 2.0)
    y = (x * c).sum()
    c.data = gradcore.full((3,), 9.0)
    (got,) = autograd.grad(y, x)
    assert got.tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("write", ["add", "sin", "sum", "cat", "zeros", "arange", "matmul", "randn", "linspace", "max"])
def test_inference_tensors_are_no_out_outside(write: str) -> None:
    def program(lib: Any) -> Any:
        with lib.inference_mode():
            i = lib.ones(3)
        x = lib.full((3,), 2.0)
        given = {
            "sum": (lib.ones(2, 3), 0),
            "cat": ([x],),
            "zeros": (3,),
            "arange": (3.0,),
            "add": (x, 1),
            "sin": (x,),
            "matmul": (lib.eye(3), x),
            "randn": (3,),
            "linspace": (0, 1, 3),
            "max": (lib.ones(2, 3), 0),
        }[write]
        out = (i, lib.zeros(3, dtype=lib.int64)) if write == "max" else i
        refused = attempt(lambda: getattr(lib, write)(*given, out=out))
        assert lib is torch or i.tolist() == [1.0, 1.0, 1.0]  # torch writes first, and then refuses
        with lib.inference_mode():
            getattr(lib, write)(*given, out=out)
        return refused, write == "randn" or i.tolist()

    same(program, torch)
