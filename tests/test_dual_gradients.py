"""Reverse mode over forward mode: gradients of dual numbers through graphs older than they, beside torch's `autograd.grad`.

torch drops the tangent of a gradient when it becomes the `.grad` of a tensor; gradcore keeps it, as `autograd.grad` does.
"""

from __future__ import annotations

from typing import Any

import pytest

import gradcore
import gradcore.autograd.forward_ad
from tests.twin import compare, plain, same

torch = pytest.importorskip("torch")
from torch.autograd import forward_ad  # noqa: E402, F401  (by name it is an attribute of torch)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, from forward_ad


def leaf(T: Any, *shape: int) -> Any:
    n = 1
    for m in shape:
        n *= m
    return T.tensor([0.3 + 0.1 * i - 0.02 * i * i for i in range(n)], dtype=T.float64).reshape(shape).requires_grad_()


def square(T: Any) -> Any:
    class Square(T.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            ctx.save_for_backward(a)
            return a * a

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 2 * ctx.saved_tensors[0] * g

    return Square.apply


# What is recorded on plain numbers, before one of its results becomes dual.
OLDER = {
    "leaf": lambda T, x: x,
    "pointwise": lambda T, x: (x * 2).exp() * x,
    "convolution": lambda T, x: T.nn.functional.conv2d(x.reshape(1, 1, 3, 3), x[:2, :2].reshape(1, 1, 2, 2)).flatten(),
    "softmax and joins": lambda T, x: T.cat([T.softmax(x, 0), x[:1]]),
    "several outputs": lambda T, x: x.sort(0)[0].unbind()[1],
    "reductions": lambda T, x: x.var(0) + x.prod(0) + T.logsumexp(x, 0),
    "linear algebra": lambda T, x: T.linalg.inv(x + 2 * T.eye(3, dtype=T.float64)),
    "normalization": lambda T, x: T.nn.functional.layer_norm(x, (3,)),
    "indices": lambda T, x: x[T.tensor([0, 2, 0])],
    "a Function": lambda T, x: square(T)(x),
    "written in place": lambda T, x: (x * 1).mul_(x).sin_(),
}


@pytest.mark.parametrize("name", OLDER)
def test_backward_goes_from_dual_numbers_through_older_nodes(name: str) -> None:
    def program(T: Any, by_grad: bool) -> Any:
        D = T.autograd.forward_ad
        x = leaf(T, 3, 3)
        y = OLDER[name](T, x)
        with D.dual_level():
            z = D.make_dual(y, (y * y + 1).detach())
            loss = (z * z).sum() + y.sum()
            if by_grad:
                (found,) = T.autograd.grad(loss, x)
            else:
                loss.backward()
                found = x.grad
            primal, tangent = D.unpack_dual(found)
            return plain([primal, tangent])

    theirs = program(torch, True)
    compare(program(gradcore, False), theirs, rtol=1e-9)
    compare(program(gradcore, True), theirs, rtol=1e-9)


def test_a_dual_gradient_of_plain_numbers() -> None:
    def program(T: Any) -> Any:
        D = T.autograd.forward_ad
        x = leaf(T, 1, 1, 3, 3)
        with D.dual_level():
            y = T.nn.functional.conv2d(x, x[:, :, :2, :2])
            (found,) = T.autograd.grad(y, x, D.make_dual(y.detach(), y.detach() ** 2))
            return list(D.unpack_dual(found))

    same(program, torch, rtol=1e-9)


def test_dual_numbers_are_plain_when_their_level_has_ended() -> None:
    def program(T: Any) -> Any:
        D, x = T.autograd.forward_ad, leaf(T, 3)
        with D.dual_level():
            y = D.make_dual(x, T.ones(3, dtype=T.float64)) ** 3
        (found,) = T.autograd.grad(y, x, x.detach(), create_graph=True)
        return found.detach().numpy(), T.autograd.grad(found.sum(), x)[0].numpy(), T.autograd.grad(y.sum(), x)[0].numpy()

    same(program, torch, rtol=1e-9, may_raise=True)


class Kept(gradcore.autograd.Function):
    """The numbers themselves, as constants: the gradient is made of what was saved."""

    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        ctx.save_for_backward(a)
        return a * 1

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return ctx.saved_tensors[0] * 0


@pytest.mark.parametrize("f", [Kept.apply, lambda x: gradcore.linalg.vector_norm(x, 0)], ids=["a Function", "a norm"])
def test_gradients_of_zero_leave_the_transform_they_were_made_in(f: Any) -> None:
    def pulled(out: Any) -> Any:
        return gradcore.autograd.grad(out, x, out, retain_graph=True)[0]

    D, x = gradcore.autograd.forward_ad, leaf(gradcore, 3)
    moved = gradcore.func.jvp(f, (x,), (x.detach(),))
    mapped = gradcore.func.vmap(lambda x: gradcore.func.jvp(f, (x,), (x.detach(),)))(x.reshape(1, 3))
    found = [pulled(out) for out in (*moved, *mapped)]
    with D.dual_level():
        found.append(D.unpack_dual(pulled(D.unpack_dual(f(D.make_dual(x, x.detach()))).primal)).primal)
    assert [x.numpy().tolist() for x in found] == [[0.0, 0.0, 0.0]] * len(found)


def test_gradients_add_up_with_and_without_tangents() -> None:
    D = gradcore.autograd.forward_ad
    x = leaf(gradcore, 3)
    y = x * x
    y.sum().backward(retain_graph=True)
    plainly, kept = x.grad.clone(), x.grad
    view = kept[:2]
    with D.dual_level():
        for times in (1, 2):
            D.make_dual(y, gradcore.ones(3, dtype=gradcore.float64)).square().sum().backward(retain_graph=True)
            primal, tangent = D.unpack_dual(x.grad)
            compare(primal.tolist(), (plainly + times * 4 * x.detach() ** 3).tolist())
            compare(tangent.tolist(), (times * 4 * x.detach()).tolist())
        y.sum().backward(retain_graph=True)
        assert x.grad is kept
        compare(D.unpack_dual(view).tangent.tolist(), (8 * x.detach()[:2]).tolist())
    y.sum().backward()
    compare(x.grad.tolist(), (3 * plainly + 8 * x.detach() ** 3).tolist())
    compare(view.tolist(), x.grad[:2].tolist())


def test_hooks_and_retained_gradients_see_tangents() -> None:
    def program(T: Any) -> Any:
        D, seen = T.autograd.forward_ad, []
        x = leaf(T, 3)
        y = (x * 2).exp()
        y.register_hook(lambda g: seen.append(list(D.unpack_dual(g))))
        y.grad_fn.register_hook(lambda grads, outs: seen.append([list(D.unpack_dual(g)) for g in (*grads, *outs)]))
        y.grad_fn.register_prehook(lambda outs: seen.append([list(D.unpack_dual(g)) for g in outs]))
        y.retain_grad()
        with D.dual_level():
            z = D.make_dual(y, T.ones(3, dtype=T.float64))
            (z * z).sum().backward(inputs=[y, x])
            seen.append(list(D.unpack_dual(y.grad)))
        return seen

    same(program, torch)


@pytest.mark.parametrize("rule", ["SGD", "Adam"])
def test_training_with_gradients_that_were_dual(rule: str) -> None:
    def program(T: Any) -> Any:
        D, x = T.autograd.forward_ad, leaf(T, 3)
        optimizer = getattr(T.optim, rule)([x], lr=0.1)
        for i in range(4):
            optimizer.zero_grad(set_to_none=i % 2 == 0)
            with D.dual_level():
                z = D.make_dual((x * 2).exp(), T.ones(3, dtype=T.float64))
                (z * z).sum().backward()
                (x * x).sum().backward()
            optimizer.step()
        return x.detach(), x.grad.tolist(), repr(x)

    same(program, torch)
