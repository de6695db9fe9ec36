"""Views and writes through them under transforms, where layouts in memory and levels meet: each was wrong once.

A program is lines of code over T (either library) and `x`, of shape (2, 2); the last is the result. Torch runs it in plain
reverse mode, one by one.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import gradcore
import gradcore.func

torch = pytest.importorskip("torch")

# fmt: off
PROGRAMS = {
    # views of what does not lie as its tangent does
    "a flat view of a transposed": "y = x.t() * 1; y.t().view(-1).mul_(x.sum()); y",
    "a part of a flat view": "y = x.t() * 1; y.t().view(-1)[1:].copy_(x.reshape(-1)[:3] ** 2); y",
    "reshape": "y = x.t() * 1; z = y.t().reshape(-1); z[1] = x[0, 0] ** 2; y",
    "strides over a transposed": "y = x.t() * 1; y.as_strided((3,), (1,)).mul_(x.sum()); y * y",
    "strides over every second": "y = x.new_zeros(2, 4).t()[::2]; y.copy_(x); y.as_strided((2,), (2,)).mul_(x[0]); y",
    # strides laid over the storage
    "strides": "y = x * 1; y.as_strided((2,), (1,)).mul_(x[1]); y",
    "strides of a part": "y = x * 1; v = y[1]; v.as_strided((2,), (1,)).mul_(y.sum()); y * x",
    "overlapping strides": "y = x * x; y.as_strided((2, 2), (1, 1)) ** 2",
    "fill_diagonal_": "y = x * x; y.fill_diagonal_(0.4); y * x.sum()",
    "fill_diagonal_ of a transposed": "y = x.t() * x; y.fill_diagonal_(0.4); y * x",
    # real and complex numbers in one memory, whose base turns around
    "a real part": "z = C(x, x * x) * 1; v = z.real; z.t_(); v.mul_(x); R(z * z)",
    "an imaginary part that is read": "z = C(x, x * x) * 1; v = z.imag; z.t_(); z.mul_(x); v * v",
    "imag of a transposed": "z = C(x, x * x).t() * 1; z.t().view(-1).imag.mul_(x.reshape(-1)); R(z * z)",
    "a part of imag": "z = C(x, x * x).t() * 1; v = z.t().view(-1)[1:].imag; v.mul_(x.reshape(-1)[:3]); v * z.imag.sum()",
    "pairs": ("y = x * 1; v = Z(y); y.t_(); v.mul_(x[:, 0]); y * 2",
              "y = x * 1; Z(y).mul_(x[:, 0]); y.t() * 2"),
    "strides over pairs": ("y = x * 1; v = Z(y); v.as_strided((1,), (1,), 1).mul_(x[0, 0]); y * 2",
                           "y = x * 1; y[1].mul_(x[0, 0]); y * 2"),
    "a part of a part that turns": "y = x * 1; v = y[:1]; y.t_(); v.t_(); q = v[1:]; y.t_(); y.mul_(x); y * y + v.sum() + q",
    # what NumPy does not let one write
    "expand to the same shape": "y = x * x; y.expand_as(x)[0].copy_(x[1].sin()); y",
    "sin_ of an expanded": "y = x * x; v = y.expand_as(x); v.sin_(); y * v",
    # masks that are others for each
    "a mask": "y = x * 1; y[x > 0] = 0.5; y * y",
    "a mask and a tensor": "y = x * 1; y[x > 0] = x.sum(); y * y",
    "a mask beside an index": "y = x * 1; y[x[0] < x[1].abs() + 9, T.tensor([1, 0])] = 0.5; y * y",
    "index_put_ at a mask": "y = x * x; y.index_put_((x * 0 < 1,), x.reshape(-1).sin()); y * y",
}
# fmt: on


def function(T: Any, program: str) -> Any:
    *lines, result = program.split("; ")

    def run(x: Any) -> Any:
        names = {"T": T, "x": x, "C": T.complex, "R": T.view_as_real, "Z": T.view_as_complex}
        exec("\n".join(lines), names)
        return eval(result, names)

    return run


@pytest.mark.parametrize("name", PROGRAMS)
def test_derivatives_of_views_and_writes_by_all_modes(name: str) -> None:
    draw, F = np.random.default_rng(), gradcore.func
    values, directions = draw.normal(size=(3, 2, 2)), draw.normal(size=(2, 2))
    program = PROGRAMS[name]
    ours, theirs = program if isinstance(program, tuple) else (program, program)  # of what torch itself refuses, the same
    f, reference = function(gradcore, ours), function(torch, theirs)
    xs, u = gradcore.tensor(values), gradcore.tensor(directions)
    samples = torch.tensor(values)
    outs = torch.stack([reference(x) for x in samples])
    jacobians = torch.stack([torch.autograd.functional.jacobian(reference, x) for x in samples])
    hessians = torch.stack([torch.autograd.functional.hessian(lambda x: reference(x).square().sum(), x) for x in samples])
    along = torch.einsum("n...ij,ij->n...", jacobians, torch.tensor(directions))

    def squared(x: Any) -> Any:
        return f(x).square().sum()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of loops
        leaf = gradcore.tensor(values, requires_grad=True)
        (outside,) = gradcore.autograd.grad(F.vmap(f)(leaf).square().sum(), leaf)
        found = {
            "vmap": (F.vmap(f)(xs), outs),
            "vmap with a copy behind": (F.vmap(f, in_dims=-1)(xs.movedim(0, -1)), outs),
            "jvp": (F.jvp(f, (xs[0],), (u,))[1], along[0]),
            "jvp of a transposed tangent": (F.jvp(f, (xs[0],), (u.t().clone().t(),))[1], along[0]),
            "vmap of jvp": (F.vmap(lambda x: F.jvp(f, (x,), (u,))[1])(xs), along),
            "jvp of vmap": (F.jvp(F.vmap(f), (xs,), (gradcore.stack([u] * 3),))[1], along),
            "jacfwd": (F.jacfwd(f)(xs[0]), jacobians[0]),
            "jacrev": (F.jacrev(f)(xs[0]), jacobians[0]),
            "vmap of jacrev": (F.vmap(F.jacrev(f))(xs), jacobians),
            "vmap of jacfwd": (F.vmap(F.jacfwd(f))(xs), jacobians),
            "hessian": (F.hessian(squared)(xs[0]), hessians[0]),
            "jacrev of grad": (F.jacrev(F.grad(squared))(xs[0]), hessians[0]),
            "vmap of grad": (F.vmap(F.grad(squared))(xs), 2 * torch.einsum("n...,n...ij->nij", outs, jacobians)),
            "grad of vmap": (outside, 2 * torch.einsum("n...,n...ij->nij", outs, jacobians)),
        }
    for mode, (mine, right) in found.items():
        np.testing.assert_allclose(mine.detach().numpy(), right.numpy(), rtol=1e-9, atol=1e-9, err_msg=f"{mode} of {name}")


@pytest.mark.parametrize("program", ["v = x[1]; v.as_strided((2,), (1,), 0)", "x.view(-1)[:2].as_strided((3,), (1,))"])
def test_strides_that_leave_what_is_mapped_are_refused_as_in_torch(program: str) -> None:
    for T in (torch, gradcore):
        with pytest.raises(RuntimeError, match="can access memory outside of `tensor`"):
            T.func.vmap(function(T, program))(T.zeros(3, 2, 2))


def test_strides_over_a_batch_that_lies_between_the_elements_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"elements of the others of the batch.*Map over the first axis"):
        gradcore.func.vmap(lambda x: x.as_strided((2,), (1,)), in_dims=-1)(gradcore.zeros(2, 2, 3))


def test_a_write_through_strides_that_reach_outside_of_a_view_keeps_its_gradients() -> None:
    def f(T: Any, x: Any) -> Any:
        y = x * 1
        shown = y[1].as_strided((2,), (1,), 1)
        shown.mul_(x.sum())
        return (y * 2).reshape(-1), shown * 3

    values = np.random.default_rng().normal(size=(2, 2))
    for i in range(2):
        ours = gradcore.func.jacrev(lambda x, i=i: f(gradcore, x)[i])(gradcore.tensor(values))
        forward = gradcore.func.jacfwd(lambda x, i=i: f(gradcore, x)[i])(gradcore.tensor(values))
        theirs = torch.autograd.functional.jacobian(lambda x, i=i: f(torch, x)[i], torch.tensor(values))
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)
        np.testing.assert_allclose(forward.numpy(), theirs.numpy(), rtol=1e-12)


def test_sums_of_plain_cotangents_take_up_dual_ones() -> None:
    def f(x: Any, w: Any, node: bool) -> Any:
        y = x + 0 if node else x
        return (y * w).sum() + y.sum() + (y * 3).sum() + (y * 2).sum()

    x = gradcore.arange(3.0)
    for node in (False, True):
        _, tangent = gradcore.func.jvp(
            lambda w, node=node: gradcore.func.vjp(lambda x: f(x, w, node), x)[1](gradcore.ones(()))[0], (x,), (x + 1,)
        )
        np.testing.assert_array_equal(tangent, [1, 2, 3])


@pytest.mark.parametrize("transform", ["vmap", "jacfwd", "hessian", "vmap of grad"])
@pytest.mark.parametrize("write", ["kept.mul_(z)", "kept[0] = z.sum()", "kept[:2].add_(z[1:])"])
@pytest.mark.filterwarnings("ignore:vmap", "ignore:.*torch.jit")
def test_what_is_one_for_all_is_not_written_by_each_of_a_batch_in_turn(transform: str, write: str) -> None:
    for T in (torch, gradcore):
        kept, x = T.ones(3), T.arange(3.0)

        def f(z: Any, T: Any = T, kept: Any = kept) -> Any:
            exec(write, {"kept": kept, "z": z})
            return (kept * z).sum()

        mapped = f if transform != "vmap of grad" else T.func.grad(f)
        given = x if transform in ("jacfwd", "hessian") else T.stack([x, x])
        with pytest.raises(RuntimeError):
            getattr(T.func, transform.partition(" ")[0])(mapped)(given)
