"""gradcore.func and autograd.forward_ad beside torch's: nesting in any order, trees, modules, refusals."""

from __future__ import annotations

import functools
import itertools
from collections import namedtuple
from typing import Any

import numpy as np
import pytest

import gradcore
import gradcore.autograd.forward_ad
import gradcore.func

torch = pytest.importorskip("torch")

from tests.transforms_beside import beside, numbers  # noqa: E402
from tests.twin import same  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit")

Point = namedtuple("Point", "x y")


def smooth(T: Any, x: Any) -> Any:
    return (x.sin() * x.exp()).sum() / (1 + (x * x).sum()) + x.prod()


@pytest.mark.parametrize("name", ["sgn", "abs", "angle"])
def test_at_complex_zeros_forward_mode_has_no_quotients_of_zeros(name: str) -> None:
    def program(T: Any, F: Any, x: Any, t: Any) -> Any:
        f = getattr(T, name)
        return F.jvp(f, (x,), (t,)), F.vjp(f, x)[1](f(x) * 0 + 1)

    z = numbers(4) + 1j * numbers(4)
    beside(program, np.where([True, False, True, False], z, 0), z + 1)


@pytest.mark.parametrize("first", [True, False])
def test_tangents_of_several_levels_meet_in_one_operation(first: bool) -> None:
    def program(T: Any, F: Any, x: Any, y: Any) -> Any:
        def slope(x: Any) -> Any:
            return F.jvp(lambda a, b: a * b + T.atan2(a, b) + a @ b, (y, y + 1), (x, y) if first else (y, x))[1]

        return F.jvp(slope, (x,), (y,)), F.vmap(slope)(T.stack([x, y])), F.jacrev(slope)(x)

    beside(program, numbers(3), numbers(3))


# -- nesting -------------------------------------------------------------------------------------------------

DERIVATIVES = ["grad", "jacrev", "jacfwd", "hessian"]


ORDERS = [*itertools.product(DERIVATIVES, repeat=2), ("jacfwd", "jacrev", "jacfwd"), ("jacrev", "jacfwd", "grad")]


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_derivatives_nest_in_any_order(order: tuple[str, ...]) -> None:
    def program(T: Any, F: Any, x: Any) -> Any:
        def derived(f: Any, name: str) -> Any:
            return getattr(F, name)((lambda x: (f(x) ** 2).sum()) if name in ("grad", "hessian") else f)

        return functools.reduce(derived, reversed(order), lambda x: smooth(T, x))(x)

    beside(program, numbers(3), tolerance=1e-7)


@pytest.mark.parametrize("name", ["grad", "jacrev", "jacfwd", "hessian"])
@pytest.mark.parametrize("outside", ["vmap of it", "of vmap"])
def test_batches_nest_with_derivatives(name: str, outside: str) -> None:
    def program(T: Any, F: Any, x: Any) -> Any:
        if outside == "vmap of it":
            return F.vmap(getattr(F, name)(lambda x: smooth(T, x)))(x)
        every = F.vmap(lambda x: smooth(T, x))
        return getattr(F, name)(lambda x: (every(x) ** 2).sum())(x)

    beside(program, numbers(4, 3))


def test_perturbations_are_not_confused() -> None:
    def by_reverse(T: Any, F: Any, x: Any) -> Any:
        return F.grad(lambda x: x * F.grad(lambda y: x + y)(x))(x)

    def by_forward(T: Any, F: Any, x: Any) -> Any:
        one = T.ones_like(x)
        return F.jvp(lambda x: x * F.jvp(lambda y: x + y, (x,), (one,))[1], (x,), (one,))

    def mixed(T: Any, F: Any, x: Any) -> Any:
        one = T.ones_like(x)
        return F.jvp(lambda x: x * F.grad(lambda y: x * y * y)(x), (x,), (one,)), F.grad(
            lambda x: x * F.jvp(lambda y: x * y * y, (x,), (one,))[1]
        )(x)

    x = numbers()
    assert float(beside(by_reverse, x)) == 1
    beside(by_forward, x)
    beside(mixed, x)


def test_gradients_per_sample_leave_parameters_unsummed_and_outer_ones_are_summed() -> None:
    def program(T: Any, F: Any, w: Any, x: Any) -> Any:
        per_sample = F.vmap(F.grad(lambda w, x: (w @ x).tanh().sum()), in_dims=(None, 0))
        return per_sample(w, x), F.grad(lambda w: per_sample(w, x).pow(2).sum())(w)

    beside(program, numbers(2, 3), numbers(4, 3))


def test_what_a_function_closes_over_is_differentiated_too() -> None:
    def program(T: Any, F: Any, w: Any, x: Any) -> Any:
        w = w.clone().requires_grad_()
        out = F.grad(lambda x: (w * x**3).sum())(x).sum() + F.vmap(lambda a: (a * w).sum())(T.stack([x, x])).sum()
        out = out + F.jvp(lambda x: w * x * x, (x,), (x,))[1].sum()
        out.backward()
        return w.grad

    beside(program, numbers(3), numbers(3))


# -- trees, auxiliary values, argnums ------------------------------------------------------------------------


def test_trees_go_in_and_come_out() -> None:
    def program(T: Any, F: Any, a: Any, b: Any) -> Any:
        def f(d: Any, p: Any) -> Any:
            out = (d["a"] @ d["b"][0]).tanh()
            return {"out": [out * p.x, out.sum()], "both": Point(p.y.sum(), d["a"].sum())}

        d, p = {"a": a, "b": (b, [b])}, Point(a[:, 0], b)
        value, pull = F.vjp(f, d, p)
        pushed = F.jvp(f, (d, p), (d, p))
        return value, pull(value), pushed, F.jacrev(f, (0, 1))(d, p)["out"], F.jacfwd(f, 1)(d, p)["both"]

    beside(program, numbers(2, 3), numbers(3))


def test_auxiliary_values_and_argnums() -> None:
    def program(T: Any, F: Any, x: Any, y: Any) -> Any:
        def f(x: Any, y: Any) -> Any:
            return (x * y).sin().sum(), {"n": x.sum(), "k": y * 2}

        return (
            F.grad(f, (1, 0), has_aux=True)(x, y),
            F.grad_and_value(f, -1, has_aux=True)(x, y),
            F.jacrev(f, has_aux=True)(x, y),
            F.jacfwd(f, 1, has_aux=True)(x, y),
            F.vjp(f, x, y, has_aux=True)[2],
            F.jvp(f, (x, y), (y, x), has_aux=True),
        )

    beside(program, numbers(3), numbers(3))


def test_jacfwd_by_several_arguments_calls_the_function_once() -> None:
    def program(T: Any, F: Any, x: Any, y: Any) -> Any:
        runs = []

        def f(d: Any, y: Any) -> Any:
            runs.append(1)
            return {"out": d["x"].sin() * y.sum(), "both": [d["s"] * y, y[0]]}

        d = {"x": x.reshape(2, 2), "s": x[0]}
        found = F.jacfwd(f, (0, 1))(d, y), F.jacfwd(f, (1, 0))(d, y), F.vmap(F.jacfwd(lambda a, b: a * b, (0, 1)))(y, y)
        same = F.jacfwd(lambda a, b: a * b * T.rand(3), (0, 1), randomness="same")(y, y)
        return found, len(runs), (same[0] == same[1]).all(), F.hessian(lambda a, b: (a * b).prod(), (0, 1))(y, y + 1)

    beside(program, numbers(4), numbers(3))


def test_linearize_does_not_run_the_function_again() -> None:
    runs = []

    def f(x: Any) -> Any:
        runs.append(x)
        return {"a": x.sin() * x, "b": x.sum()}

    x, v = gradcore.tensor(numbers(3)), gradcore.tensor(numbers(3))
    out, push = gradcore.func.linearize(f, x)
    first, second = push(v), push(2 * v)
    assert len(runs) == 1
    expected = gradcore.func.jvp(f, (x,), (v,))[1]
    for key in expected:
        np.testing.assert_allclose(first[key].numpy(), expected[key].numpy())
        np.testing.assert_allclose(second[key].numpy(), 2 * expected[key].numpy())
    assert not out["a"].requires_grad


# -- plain arrays --------------------------------------------------------------------------------------------


def test_functions_of_plain_arrays() -> None:
    F = gradcore.func

    def f(x: Any) -> Any:
        return np.sum(np.sin(x) * np.exp(-x)) / np.sqrt(1 + x @ x)

    for dtype, tolerance in (("float64", 1e-9), ("float32", 1e-4)):
        x = numbers(3).astype(dtype)
        t = torch.tensor(x)
        theirs = lambda x: (x.sin() * (-x).exp()).sum() / (1 + x @ x).sqrt()  # noqa: E731
        for ours, expected in (
            (F.grad(f)(x), torch.func.grad(theirs)(t)),
            (F.hessian(f)(x), torch.func.hessian(theirs)(t)),
            (F.jacfwd(f)(x), torch.func.jacfwd(theirs)(t)),
            (F.vmap(F.grad(f))(np.stack([x, x]))[1], torch.func.grad(theirs)(t)),
            (F.vjp(f, x)[1](np.asarray(2, dtype))[0], 2 * torch.func.grad(theirs)(t)),
            (F.jvp(f, (x,), (x,))[1], torch.func.jvp(theirs, (t,), (t,))[1]),
            (F.grad_and_value(f)(x)[1], theirs(t)),
        ):
            assert type(ours) is np.ndarray
            assert ours.dtype == dtype
            np.testing.assert_allclose(ours, expected.numpy(), rtol=tolerance, atol=tolerance)


# -- modules -------------------------------------------------------------------------------------------------


def test_functional_call_and_ensembles() -> None:
    def program(T: Any, F: Any, *values: Any) -> Any:
        def made(w: Any, b: Any) -> Any:
            model = T.nn.Linear(3, 2).double()
            with T.no_grad():
                model.weight.copy_(w)
                model.bias.copy_(b)
            return model

        x, w, b, v = values
        models = [made(w, b), made(v, b)]
        parameters, buffers = F.stack_module_state(models)
        each = F.vmap(lambda p, x: F.functional_call(models[0], p, (x,)), in_dims=(0, None))(parameters, x)
        own = {name: p.detach() for name, p in models[0].named_parameters()}
        gradient = F.grad(lambda p: F.functional_call(models[0], p, x).pow(2).sum())(own)
        kept = models[0](x)
        return each, buffers, gradient, kept, F.functional_call(models[0], [{"weight": v}, {"bias": b}], None, {"input": x})

    beside(program, numbers(4, 3), numbers(2, 3), numbers(2), numbers(2, 3))


def test_functional_call_puts_everything_back_and_refuses() -> None:
    module = gradcore.nn.Linear(2, 1)
    before = dict(module.named_parameters())
    call, one = gradcore.func.functional_call, gradcore.ones(2)
    for values, error, text in (
        ({"weight": 3}, TypeError, "is not an instance of torch.Tensor"),
        ([before, before], ValueError, "appeared in multiple dictionaries"),
        (3, ValueError, "to be a dict, or a list/tuple"),
        ({"a.b": one}, AttributeError, "has no attribute `a`"),
    ):
        with pytest.raises(error, match=text):
            call(module, values, one)
    with pytest.raises(RuntimeError, match=r"Missing key.*'bias'"):
        call(module, {"weight": gradcore.ones(1, 2)}, one, strict=True)
    call(module, {"unknown": one}, one)
    assert {name: id(p) for name, p in module.named_parameters()} == {name: id(p) for name, p in before.items()}


# -- forward_ad ----------------------------------------------------------------------------------------------


def duals(T: Any) -> Any:
    return T.autograd.forward_ad


def test_dual_numbers() -> None:
    def program(T: Any, F: Any, x: Any, v: Any) -> Any:
        with duals(T).dual_level():
            dual = duals(T).make_dual(x, v)
            cut = duals(T).unpack_dual(dual.detach() * dual)
            out = duals(T).unpack_dual((dual.sin() * dual).sum())
            return tuple(out), tuple(cut)

    beside(program, numbers(3), numbers(3))


@pytest.mark.parametrize("leaf", [True, False])
def test_dual_numbers_over_and_under_reverse_mode(leaf: bool) -> None:
    def forward_over_reverse(T: Any, F: Any, x: Any, v: Any) -> Any:
        x = x.clone().requires_grad_()
        y = x if leaf else (x * 2).exp()
        with duals(T).dual_level():
            dual = duals(T).make_dual(y, v)
            (g,) = T.autograd.grad((dual.sin() * dual).sum(), x)
            return tuple(part.detach() for part in duals(T).unpack_dual(g))

    def reverse_over_forward(T: Any, F: Any, x: Any, v: Any) -> Any:
        x, v = x.clone().requires_grad_(), v.clone().requires_grad_()
        y = x if leaf else (x * 2).exp()
        with duals(T).dual_level():
            out = duals(T).unpack_dual((duals(T).make_dual(y, v).sin() * x).sum())
        (out.tangent + out.primal).backward()
        return x.grad, v.grad

    x, v = numbers(3), numbers(3)
    beside(forward_over_reverse, x, v)
    beside(reverse_over_forward, x, v)


def test_dual_levels_nest_here() -> None:
    D = gradcore.autograd.forward_ad
    x, one = gradcore.tensor(1.5, dtype=gradcore.float64), gradcore.ones((), dtype=gradcore.float64)
    with D.dual_level() as outer:
        a = D.make_dual(x, one)
        with D.dual_level():
            inner = D.unpack_dual(D.make_dual(a, one) ** 3)
        found = D.unpack_dual(inner.tangent, level=outer)
    assert (found.primal.item(), found.tangent.item()) == (3 * 1.5**2, 6 * 1.5)


@pytest.mark.parametrize("chunk_size", [None, 1, 2, 3, 4, 5, 9])
def test_a_jacobian_in_chunks_is_the_jacobian(chunk_size: int | None) -> None:
    values = np.random.default_rng().normal(size=(5,)).tolist()

    def program(T: Any) -> Any:
        x = T.tensor(values, dtype=T.float64)
        return T.func.jacrev(lambda x: T.stack([x.sin(), x.prod() * x]), chunk_size=chunk_size)(x)

    same(program, torch)


# -- refusals ------------------------------------------------------------------------------------------------

REFUSED = {
    "argnum": lambda T, F, x: F.grad(T.sum, argnums=3)(x),
    "argnums twice": lambda T, F, x: F.grad(T.sum, argnums=(0, 0))(x),
    "no argnums": lambda T, F, x: F.grad(T.sum, argnums=())(x),
    "number": lambda T, F, x: F.grad(lambda x: x)(2.0),
    "no scalar": lambda T, F, x: F.grad(lambda x: x)(x),
    "no tensor": lambda T, F, x: F.grad(lambda x: 1.0)(x),
    "no aux": lambda T, F, x: F.grad(T.sum, has_aux=True)(x),
    "vjp aux": lambda T, F, x: F.vjp(T.sum, x, has_aux=True),
    "vjp of integers": lambda T, F, x: F.vjp(lambda x: x.argmax(), x),
    "vjp of numbers": lambda T, F, x: F.vjp(lambda x: 2.0, x),
    "cotangent": lambda T, F, x: F.vjp(T.sum, x)[1](T.ones(2)),
    "jvp without tuples": lambda T, F, x: F.jvp(T.sum, x, x),
    "jvp of integers": lambda T, F, x: F.jvp(T.sum, (T.arange(3),), (x,)),
    "tangent": lambda T, F, x: F.jvp(T.sum, (x,), (T.ones(2),)),
    "strict": lambda T, F, x: F.jvp(lambda x: T.ones(2), (x,), (x,), strict=True),
    "complex": lambda T, F, x: F.jacrev(T.sum)(x.to(T.complex64)),
    "complex forward": lambda T, F, x: F.jacfwd(T.sum)(x.to(T.complex64)),
    "chunk": lambda T, F, x: F.jacrev(T.sum, chunk_size=0)(x),
    "in_dims": lambda T, F, x: F.vmap(T.sum, in_dims=2)(x),
    "in_dims None": lambda T, F, x: F.vmap(T.sum, in_dims=None)(x),
    "in_dims list": lambda T, F, x: F.vmap(T.sum, in_dims=[0])(x),
    "no inputs": lambda T, F, x: F.vmap(T.sum)(),
    "number mapped": lambda T, F, x: F.vmap(T.sum)(2.0),
    "number returned": lambda T, F, x: F.vmap(lambda x: 2)(x),
    "out_dims None": lambda T, F, x: F.vmap(T.sum, out_dims=None)(x),
    "out_dims a word": lambda T, F, x: F.vmap(T.sum, out_dims="a")(x),
    "out_dims far": lambda T, F, x: F.vmap(lambda x: x, out_dims=3)(x),
    "sizes": lambda T, F, x: F.vmap(lambda x, y: x + y)(x, T.ones(2)),
    "randomness": lambda T, F, x: F.vmap(T.sum, randomness="x"),
    "chunk of vmap": lambda T, F, x: F.vmap(T.sum, chunk_size=0),
    "linearize": lambda T, F, x: F.linearize(T.sum, x)[1](x, x),
    "no level": lambda T, F, x: duals(T).make_dual(x, x),
    "no level to leave": lambda T, F, x: duals(T).exit_dual_level(),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_torchs(name: str) -> None:
    raised = []
    for T in (gradcore, torch):
        with pytest.raises(Exception) as caught:  # noqa: PT011  (compared with torch's)
            REFUSED[name](T, T.func, T.ones(3))
        raised.append(caught.value)
    ours, theirs = raised
    assert type(ours) is type(theirs)
    assert str(theirs).split(" with structure")[0].split("TreeSpec")[0][:60] in str(ours)


def test_duals_of_another_size_and_dtype_are_refused() -> None:
    D, x = gradcore.autograd.forward_ad, gradcore.ones(3)
    with D.dual_level():
        for args, error, text in (
            ((x, gradcore.ones(2)), RuntimeError, r"Tensor is of size \[3\] while .* \[2\]"),
            ((gradcore.arange(3), x), ValueError, "Expected primal to be floating point"),
            ((x, gradcore.arange(3)), ValueError, "Expected tangent to be floating point"),
            ((D.make_dual(x, x), x), RuntimeError, "already has a forward gradient at the same level 0"),
            ((1.0, x), TypeError, "must be a Tensor"),
        ):
            with pytest.raises(error, match=text):
                D.make_dual(*args)
    assert not gradcore.graph.modes.unusual
