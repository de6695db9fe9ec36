"""Writes in place of what is of another level of transforms: values of outside into those inside, and into fresh memory.

A program of torch's runs beside, on torch and on gradcore; what torch's transforms refuse is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore
import gradcore.autograd.forward_ad
import gradcore.func

torch = pytest.importorskip("torch")

from tests.transforms_beside import LOADED, leaves, numbers  # noqa: E402

assert LOADED
pytestmark = pytest.mark.filterwarnings("ignore")

Write = Callable[[Any, Any, Any], Any]


def places(T: Any) -> Any:
    return T.tensor([0, 2])


def chosen(T: Any) -> Any:
    return T.tensor([True, False, True])


# What is done to `a` with `x`, both of three numbers.
WRITES: dict[str, Write] = {
    "an element": lambda T, a, x: a.__setitem__(2, x[0]),
    "a slice": lambda T, a, x: a.__setitem__(slice(1, None), x[:2] ** 2),
    "at an index": lambda T, a, x: a.__setitem__(places(T), x[1:]),
    "at a mask": lambda T, a, x: a.__setitem__(chosen(T), x[1:]),
    "copy_": lambda T, a, x: a.copy_(x),
    "copy_ of a product": lambda T, a, x: a[1:].copy_(x[1:] * x[:2]),
    "copy_ of a diagonal": lambda T, a, x: a.view(3, 1).diagonal().copy_(x[:1]),
    "fill_": lambda T, a, x: a.fill_(x[1]),
    "mul_": lambda T, a, x: a.mul_(x),
    "mul_ of a view": lambda T, a, x: a[:2].mul_(x[1:]),
    "addcmul_": lambda T, a, x: a.addcmul_(x, x),
    "index_put_": lambda T, a, x: a.index_put_((places(T),), x[1:], accumulate=True),
    "index_add_": lambda T, a, x: a.index_add_(0, places(T), x[1:]),
    "index_copy_": lambda T, a, x: a.index_copy_(0, places(T), x[1:]),
    "index_fill_": lambda T, a, x: a.index_fill_(0, places(T), x[1]),
    "scatter_": lambda T, a, x: a.scatter_(0, places(T), x[1:]),
    "scatter_add_": lambda T, a, x: a.scatter_add_(0, places(T), x[1:]),
    "masked_fill_": lambda T, a, x: a.masked_fill_(chosen(T), x[1]),
    "masked_scatter_": lambda T, a, x: a.masked_scatter_(chosen(T), x),
    "zero_ and add_": lambda T, a, x: a.zero_().add_(x),
}


def over(T: Any, write: Write, x: Any) -> Callable[[Any], Any]:
    """A function in which `x`, of outside, is written over its argument."""

    def function(z: Any) -> Any:
        a = z * 1
        write(T, a, x)
        return (a**3 * z).sum()

    return function


def fresh(T: Any, write: Write) -> Callable[[Any], Any]:
    """A function in which its argument is written into zeros, of which views were taken before."""

    def function(x: Any) -> Any:
        whole = x.new_zeros(4) + T.zeros(4, dtype=x.dtype)
        a, later = whole[:3], whole[1:3]
        write(T, a, x)
        return (whole**3).sum() + (later * later * x[:2]).sum() + (a * later.sum()).sum()

    return function


def pulled(T: Any, out: Any, x: Any) -> Any:
    return T.autograd.grad(out, x, create_graph=True, allow_unused=True, materialize_grads=True)[0]


def outside_of_jvp(T: Any, F: Any, write: Write, x: Any, y: Any) -> Any:
    value, tangent = F.jvp(over(T, write, x), (y,), (y,))
    found = pulled(T, value + 2 * tangent, x)
    return value, tangent, found, pulled(T, found.sum(), x) if found.requires_grad else None


def outside_of_vmap(T: Any, F: Any, write: Write, x: Any, y: Any) -> Any:
    return pulled(T, F.vmap(over(T, write, x))(T.stack([y, y * 2])).sum(), x)


def outside_of_grad(T: Any, F: Any, write: Write, x: Any, y: Any) -> Any:
    return pulled(T, F.grad(over(T, write, x))(y).sum(), x)


def outside_of_vmap_of_jvp(T: Any, F: Any, write: Write, x: Any, y: Any) -> Any:
    ends = F.vmap(lambda y: F.jvp(over(T, write, x), (y,), (y,)))(T.stack([y, y * 2]))
    return pulled(T, (ends[0] + 2 * ends[1]).sum(), x)


def outside_of_jvp_of_vmap(T: Any, F: Any, write: Write, x: Any, y: Any) -> Any:
    ends = F.jvp(F.vmap(over(T, write, x)), (T.stack([y, y * 2]),), (T.stack([y, y]),))
    return pulled(T, (ends[0] + 2 * ends[1]).sum(), x)


def closed_over(T: Any, F: Any, write: Write, x: Any, y: Any) -> Any:
    def batch(x: Any) -> Any:
        return F.vmap(over(T, write, x))(T.stack([y, y * 2])).sum()

    def slope(x: Any) -> Any:
        return F.jvp(over(T, write, x), (y,), (y,))[1]

    return [
        (F.grad(f)(x), F.jvp(f, (x,), (y,)), F.jvp(F.grad(f), (x,), (y,))[1]) for f in (batch, slope)
    ]


def dual_gradients(T: Any, F: Any, write: Write, x: Any, y: Any) -> Any:
    D = T.autograd.forward_ad
    found = []
    with D.dual_level():
        for a, b in ((D.make_dual(x, y) * 1, x), (x * 2, D.make_dual(x * 1, y))):
            view = a[1:]
            write(T, a, b)
            made = D.unpack_dual(pulled(T, (a**3).sum() + (view * view).sum(), x))
            found += [made.primal, made.tangent, pulled(T, made.tangent.sum(), x) if made.tangent.requires_grad else None]
    return found


def into_zeros(T: Any, F: Any, write: Write, x: Any, y: Any) -> Any:
    f, many = fresh(T, write), T.stack([x, y])
    return [
        (F.grad(f)(x), F.jvp(f, (x,), (y,)), F.jvp(F.grad(f), (x,), (y,))[1], F.vmap(F.grad(f))(many)),
        (F.vmap(lambda x: F.jvp(f, (x,), (y,))[1])(many), F.vmap(F.hessian(f))(many)),
    ]


PROGRAMS = [outside_of_jvp, outside_of_vmap, outside_of_grad, outside_of_vmap_of_jvp, outside_of_jvp_of_vmap,
            closed_over, dual_gradients, into_zeros]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_derivatives_of_what_was_written(program: Callable[..., Any]) -> None:
    values, compared = [numbers(3) for _ in range(2)], 0
    for name, write in WRITES.items():
        try:
            x, y = (torch.tensor(each, requires_grad=i == 0 and program.__name__ not in ("closed_over", "into_zeros"))
                    for i, each in enumerate(values))  # fmt: skip
            expected = leaves(program(torch, torch.func, write, x, y))
        except RuntimeError:
            continue
        compared += 1
        mine = [gradcore.tensor(each, requires_grad=t.requires_grad) for each, t in zip(values, (x, y), strict=True)]
        actual = leaves(program(gradcore, gradcore.func, write, *mine))
        for a, e in zip(actual, expected, strict=True):
            if e is not None or (a is not None and np.any(a)):
                np.testing.assert_allclose(a, e, rtol=1e-8, atol=1e-8, err_msg=name)
    assert compared > len(WRITES) // 3
