"""The dtype of gradients where a user chose another than their tensor's, as programs that torch runs too."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import gradcore
from tests.twin import Programs, attempt, outcome, same

torch = pytest.importorskip("torch")

program = PROGRAMS = Programs()


def leaf(lib: Any, grad_dtype: str | None = "", dtype: str = "float32") -> Any:
    x = lib.tensor([1.0, 2.0], dtype=getattr(lib, dtype), requires_grad=True)
    if grad_dtype != "":
        x.grad_dtype = None if grad_dtype is None else getattr(lib, grad_dtype)
    return x


def told(t: Any) -> Any:
    """The name of a tensor's grad_dtype."""
    return attempt(lambda: str(t.grad_dtype).rpartition(".")[2])


def change(t: Any, dtype: Any) -> Any:
    return attempt(lambda: setattr(t, "grad_dtype", dtype)), told(t)


@program
def what_it_is(lib: Any) -> Any:
    x, c, i = leaf(lib), lib.ones(2), lib.ones(2, dtype=lib.int64)
    y = x * 2
    with lib.no_grad():
        view = leaf(lib)[0]
    out = [told(t) for t in (x, y, c, i, leaf(lib, dtype="complex128"), view)]
    out += [change(t, lib.float64) for t in (x, y, c, i, view)] + [change(t, None) for t in (x, y, c, i)]
    out += [change(x, wrong) for wrong in (3, "float64", float, lib.tensor(1.0))]
    out += [change(y, 3), change(x, lib.int64), change(x, lib.complex64)]
    return out


@program
def what_becomes_of_it(lib: Any) -> Any:
    x = leaf(lib, "float64")
    out = [told(t) for t in (x.detach(), x.clone(), x.data, copy.copy(x), copy.deepcopy(x), x.requires_grad_(False))]
    out.append(told(x.requires_grad_()))
    (x * 3).sum().backward()
    out += [x.grad, told(x)]
    other, chosen = leaf(lib), leaf(lib, "float32")
    for each in (other, chosen):
        each.data = lib.ones(2, dtype=lib.float64)
        out.append(told(each))
    c = lib.ones(2)
    c.grad_dtype = lib.float64
    c.requires_grad_()
    (c * 5).sum().backward()
    return out, c.grad


@program
def gradients_of_it(lib: Any) -> Any:
    out = []
    for dtype in ("float16", "float32", "float64", "complex64", None):
        x = leaf(lib, dtype)
        for _ in range(3):
            (x * x * 0.1).sum().backward()
        (x * 2).backward(lib.ones(2), inputs=[x])
        out.append([x.grad, lib.autograd.grad((x * 3).sum(), x), told(x)])
    z = leaf(lib, "float32", "complex64")
    (z * 2).sum().abs().backward()
    half = leaf(lib, "float32", "float16")
    for _ in range(3):
        (half * 0.001).sum().backward()
    return out, z.grad, half.grad


@program
def sums_are_kept_in_it(lib: Any) -> Any:
    """What it is for: small gradients are not lost in the sum."""
    x = leaf(lib, "float64")
    (x * 1).sum().backward()
    for _ in range(10):
        (x * 1e-9).sum().backward()
    return [round((g - 1) * 1e9, 3) for g in x.grad.tolist()]


@program
def hooks_see_it(lib: Any) -> Any:
    x, seen = leaf(lib), []
    x.register_hook(lambda g: seen.append(("early", str(g.dtype))))
    x.grad_dtype = lib.float64
    end = x.clone().grad_fn.next_functions[0][0]
    x.register_hook(lambda g: seen.append(("late", str(g.dtype))) or g * 2)
    end.register_prehook(lambda gs: seen.append(("before", str(gs[0].dtype))))
    end.register_hook(lambda gi, gs: seen.append(("after", str(gs[0].dtype))))
    x.register_post_accumulate_grad_hook(lambda p: seen.append(("accumulated", str(p.grad.dtype))))
    (x * 3).sum().backward()
    handle = x.register_hook(lambda g: g.float())
    wrong = attempt(lambda: (x * 3).sum().backward())
    handle.remove()
    (x * 3).sum().backward()
    y = leaf(lib, None)
    y.register_hook(lambda g: g.double())
    return seen, x.grad, wrong, attempt(lambda: (y * 3).sum().backward()), y.grad


@program
def gradients_that_are_assigned(lib: Any) -> Any:
    x, ones = leaf(lib, "float64"), lib.ones(2)

    def assign(g: Any) -> Any:
        return attempt(lambda: setattr(x, "grad", g)), x.grad

    out = [assign(g) for g in (ones, ones.double(), ones.to(lib.complex64), None, lib.ones(3).double())]
    out += [change(x, lib.float32), assign(ones), change(x, lib.float64), change(x, lib.float32), change(x, None)]
    x.grad = ones
    out += [change(x, lib.float64), x.grad]
    x.grad_dtype = None
    for g in (ones.double(), ones.to(lib.complex64)):
        out.append(assign(g))
        (x * 2).sum().backward()
        out.append(x.grad)
    out.append(assign(ones.int()))
    out += [attempt(lambda: (x * 1.5).sum().backward())[1], x.grad]
    other = leaf(lib)
    out.append(attempt(lambda: setattr(other, "grad", ones.double())))
    return out


@program
def a_dtype_that_no_gradient_has(lib: Any) -> Any:
    x, y = leaf(lib, "int64"), leaf(lib)
    out = attempt(lambda: (x * y).sum().backward())[1]
    return out, x.grad, y.grad


@program
def gradients_of_gradients(lib: Any) -> Any:
    x = leaf(lib, "float64")
    (x**3).sum().backward(create_graph=True)
    first = x.grad.detach().clone()
    g = x.grad
    x.grad = None
    g.sum().backward()
    (h,) = lib.autograd.grad((x**3).sum(), x, create_graph=True)
    (k,) = lib.autograd.grad(h.sum(), x)
    return first, x.grad, h.detach(), k


@program
def functions_with_gradients_of_their_own(lib: Any) -> Any:
    class Finer(lib.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g.double() * (2 + 1e-12)

    out = []
    for dtype in ("", "float64", None, "float16"):
        x = leaf(lib, dtype)
        Finer.apply(x).sum().backward()
        out.append([x.grad, (x.grad.double() - 2).mul(1e12).round().tolist() if dtype != "float16" else 0])
        out.append(lib.autograd.grad(Finer.apply(x).sum(), x))
    return out


@program
def several_gradients_at_once(lib: Any) -> Any:
    x = leaf(lib, "float64")
    return lib.autograd.grad(x * 3, x, lib.eye(2), is_grads_batched=True)


@program
def parameters_of_a_model(lib: Any) -> Any:
    lib.manual_seed(0)
    layer = lib.nn.Linear(2, 2)
    layer.weight.grad_dtype = lib.float64
    layer(lib.ones(1, 2)).sum().backward()
    before = layer.weight.detach().clone()
    lib.optim.SGD(layer.parameters(), 0.5).step()
    out = [layer.weight.grad, (before - layer.weight).detach()]
    layer.zero_grad(set_to_none=False)
    return out, layer.weight.grad


@pytest.mark.parametrize("each", PROGRAMS, ids=lambda p: p.__name__)
def test_as_torch(each: Any) -> None:
    assert outcome(each, torch)[0] != "raised"  # as a whole
    same(each, torch)


def test_leaves_that_chose_none_have_no_hook() -> None:
    x = leaf(gradcore)
    assert x.grad_dtype is gradcore.float32
    end = x.clone().grad_fn.next_functions[0][0]
    assert end.hooks is None
    assert "_leaf" not in vars(x)
    with pytest.raises(AttributeError):
        del x.grad_dtype
