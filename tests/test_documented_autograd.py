"""What torch's documentation says of torch.autograd, statement by statement, as programs that torch runs too."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from tests.twin import Programs, attempt, same

torch = pytest.importorskip("torch")

program = PROGRAMS = Programs()


def part(lib: Any, name: str) -> Any:
    return import_module(f"{lib.__name__}.{name}")


def numbers(lib: Any, *shape: int, seed: int = 0, grad: bool = False) -> Any:
    values = np.random.default_rng(seed).normal(size=shape)
    return lib.tensor(values.tolist(), dtype=lib.float64, requires_grad=grad)


# -- backward, grad ---------------------------------------------------------------------------------------------------


@program
def backward_adds_to_leaves_and_wants_a_seed_for_what_is_no_scalar(lib: Any) -> Any:
    x, y = numbers(lib, 3, grad=True), numbers(lib, 3, seed=1, grad=True)
    lib.autograd.backward([(x * y).sum(), (x * 2)], [None, lib.ones(3, dtype=lib.float64)])
    first = x.grad.clone(), y.grad.clone()
    (x * y).sum().backward(inputs=[x])
    lib.autograd.backward((x * y).sum(), inputs=y)
    return [
        first, x.grad, y.grad,
        attempt(lambda: lib.autograd.backward(x * 2)),
        attempt(lambda: lib.autograd.backward(x * 2, lib.ones(2))),
        attempt(lambda: lib.autograd.backward((x * 2).sum(), inputs=[])),
        attempt(lambda: lib.autograd.backward(x.detach().sum())),
    ]  # fmt: skip


@program
def a_graph_is_freed_unless_retained_or_made_anew(lib: Any) -> Any:
    x = numbers(lib, 3, grad=True)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    z = (x**3).sum()
    (g,) = lib.autograd.grad(z, x, create_graph=True)
    return x.grad, attempt(y.backward), g, lib.autograd.grad(g.sum(), x)


@program
def grad_returns_and_does_not_accumulate(lib: Any) -> Any:
    x, y, z = (numbers(lib, 2, seed=i, grad=True) for i in range(3))
    out = x * y
    grad = lib.autograd.grad
    seed = lib.eye(2, dtype=lib.float64)
    return [
        grad(out.sum(), (x, y), retain_graph=True), x.grad,
        grad([out, out * x], (x,), [seed[0], seed[1]], retain_graph=True),
        grad(out, (x, y), (seed,), is_grads_batched=True, retain_graph=True),
        attempt(lambda: grad(out.sum(), (x, z), retain_graph=True)),
        grad(out.sum(), (x, z), allow_unused=True, retain_graph=True),
        grad(out.sum(), (x, z), materialize_grads=True, retain_graph=True),
        attempt(lambda: grad(out.sum(), (x, z), materialize_grads=True, allow_unused=False)),
        grad(out.sum(), {"a": x, "b": y}, retain_graph=True),
        attempt(lambda: grad(out.sum(), (), retain_graph=True)),
    ]  # fmt: skip


# -- Function ---------------------------------------------------------------------------------------------------------


@program
def the_exponential_of_ones_own(lib: Any) -> Any:
    class Exp(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, i: Any) -> Any:
            result = i.exp()
            ctx.save_for_backward(result)
            return result

        @staticmethod
        def backward(ctx: Any, grad_output: Any) -> Any:
            (result,) = ctx.saved_tensors
            return grad_output * result

    x = numbers(lib, 3, grad=True)
    out = Exp.apply(x)
    return out, lib.autograd.grad(out.sum(), x), lib.autograd.functional.hessian(lambda x: Exp.apply(x).sum(), x)


@program
def non_tensor_arguments_have_no_gradient(lib: Any) -> Any:
    class MulConstant(lib.autograd.Function):
        @staticmethod
        def forward(tensor: Any, constant: Any) -> Any:
            return tensor * constant

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            _, constant = inputs
            ctx.constant = constant
            ctx.set_materialize_grads(False)

        @staticmethod
        def backward(ctx: Any, grad_output: Any) -> Any:
            if grad_output is None:
                return None, None
            return grad_output * ctx.constant, None

    x = numbers(lib, 3, grad=True)
    out = MulConstant.apply(x, 5)
    out.sum().backward()
    return out, x.grad


@program
def a_polynomial_and_a_linear_layer(lib: Any) -> Any:
    class Linear(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, weight: Any, bias: Any = None) -> Any:
            ctx.save_for_backward(x, weight, bias)
            out = x.mm(weight.t())
            return out if bias is None else out + bias.unsqueeze(0).expand_as(out)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, weight, bias = ctx.saved_tensors
            of_x = of_weight = of_bias = None
            if ctx.needs_input_grad[0]:
                of_x = g.mm(weight)
            if ctx.needs_input_grad[1]:
                of_weight = g.t().mm(x)
            if bias is not None and ctx.needs_input_grad[2]:
                of_bias = g.sum(0)
            return of_x, of_weight, of_bias

    x, w, b = numbers(lib, 4, 3, grad=True), numbers(lib, 2, 3, seed=1, grad=True), numbers(lib, 2, seed=2)
    checked = lib.autograd.gradcheck(Linear.apply, (x, w)), lib.autograd.gradgradcheck(Linear.apply, (x, w, b))
    return checked, lib.autograd.grad(Linear.apply(x, w, b).sum(), (x, w))


@program
def forward_mode_of_ones_own(lib: Any) -> Any:
    fw = part(lib, "autograd.forward_ad")

    class Fn(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, foo: Any) -> Any:
            result = lib.exp(foo)
            ctx.result = result
            return result

        @staticmethod
        def jvp(ctx: Any, gI: Any) -> Any:
            out = gI * ctx.result
            del ctx.result
            return out

    x, t = numbers(lib, 3), numbers(lib, 3, seed=1)
    with fw.dual_level():
        dual = fw.make_dual(x, t)
        return list(fw.unpack_dual(Fn.apply(dual)))


@program
def intermediates_are_returned_to_be_differentiated(lib: Any) -> Any:
    class Sinh(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            up, down = lib.exp(x), lib.exp(-x)
            ctx.save_for_backward(up, down)
            return (up - down) / 2, up, down

        @staticmethod
        def backward(ctx: Any, g: Any, g_up: Any, g_down: Any) -> Any:
            up, down = ctx.saved_tensors
            return g * (up + down) / 2 + g_up * up - g_down * down

    x = numbers(lib, 3, grad=True)
    (g,) = lib.autograd.grad(Sinh.apply(x)[0].sum(), x, create_graph=True)
    return g, lib.autograd.grad(g.sum(), x)


# -- functional -------------------------------------------------------------------------------------------------------


@program
def functional_products(lib: Any) -> Any:
    F = lib.autograd.functional
    x, v = numbers(lib, 4, 4), numbers(lib, 4, seed=1)
    two, ones = (numbers(lib, 2, seed=2), numbers(lib, 2, seed=3)), (lib.ones(2), lib.zeros(2))
    ones = tuple(t.double() for t in ones)
    reducer, adder = (lambda x: x.exp().sum(dim=1)), (lambda x, y: 2 * x + 3 * y)
    return [
        F.vjp(reducer, x, v), F.vjp(reducer, x, v, create_graph=True)[1].requires_grad,
        F.vjp(adder, two, two[0]), F.vjp(lambda x: x.sum(), two[0]), attempt(lambda: F.vjp(adder, two)),
        F.jvp(reducer, x, x), F.jvp(adder, two, ones), attempt(lambda: F.jvp(adder, two)),
        F.jvp(reducer, x.clone().requires_grad_(), x, create_graph=True)[1].requires_grad,
        attempt(lambda: F.vjp(lambda x: lib.ones(2).double(), two[0], two[1], strict=True)),
        F.vjp(lambda x: lib.ones(2).double(), two[0], two[1]),
    ]  # fmt: skip


@program
def functional_jacobians(lib: Any) -> Any:
    F = lib.autograd.functional
    x, two = numbers(lib, 2, 2), (numbers(lib, 2), numbers(lib, 2, seed=1))
    reducer, adder = (lambda x: x.exp().sum(dim=1)), (lambda x, y: 2 * x.exp() + 3 * y)
    whole = [F.jacobian(reducer, x), F.jacobian(reducer, x, create_graph=True), F.jacobian(adder, two)]
    ways = [F.jacobian(adder, two, vectorize=True, strategy=s) for s in ("reverse-mode", "forward-mode")]
    return [
        *whole, *ways,
        F.jacobian(lambda x: (x * 2, x.sum()), two[0]),
        attempt(lambda: F.jacobian(adder, two, strategy="forward-mode")),
        attempt(lambda: F.jacobian(adder, two, strategy="sideways")),
        attempt(lambda: F.jacobian(adder, two, strict=True, vectorize=True)),
    ]  # fmt: skip


@program
def functional_hessians(lib: Any) -> Any:
    F = lib.autograd.functional
    x, two = numbers(lib, 2, 2), (numbers(lib, 2), numbers(lib, 2, seed=1))
    v, vs = numbers(lib, 2, 2, seed=2), (lib.ones(2).double(), lib.zeros(2).double())
    reducer, adder = (lambda x: x.pow(3).sum()), (lambda x, y: (2 * x.pow(2) + 3 * y.pow(2) * x).sum())
    return [
        F.hessian(reducer, x), F.hessian(reducer, x, create_graph=True), F.hessian(adder, two),
        F.hessian(adder, two, vectorize=True),
        [[h.detach() for h in row] for row in F.hessian(adder, two, vectorize=True, outer_jacobian_strategy="forward-mode")],
        F.hvp(reducer, x, v), F.hvp(adder, two, vs), F.vhp(reducer, x, v), F.vhp(adder, two, vs),
        [t.requires_grad for f in (F.hvp, F.vhp) for t in f(reducer, x, v, create_graph=True)],
        [t.detach() for f in (F.hvp, F.vhp) for t in f(reducer, x, v, create_graph=True)],
        F.hvp(lambda x: x.exp(), numbers(lib, 1), numbers(lib, 1)), F.vhp(lambda x: x.sum(), x, v),
        attempt(lambda: F.hvp(lambda x: x * 2, x, v)), attempt(lambda: F.vhp(lambda x: x * 2, x, v)),
        attempt(lambda: F.hvp(reducer, x, v[0])), attempt(lambda: F.vhp(reducer, x)),
        attempt(lambda: F.hvp(lambda x: x.sum(), x, v, strict=True)),
        attempt(lambda: F.hessian(lambda x: (x.sum(), x.sum()), x)),
    ]  # fmt: skip


# -- forward mode -----------------------------------------------------------------------------------------------------


@program
def dual_numbers(lib: Any) -> Any:
    fw = part(lib, "autograd.forward_ad")
    x, t = numbers(lib, 3), numbers(lib, 3, seed=1)
    level = fw.enter_dual_level()
    inp = fw.make_dual(x, t)
    y, jvp = fw.unpack_dual(inp.exp())
    plain = fw.unpack_dual(x)
    shared = fw.make_dual(x, t, level=level)
    fw.exit_dual_level(level=level)
    return [
        level, y, jvp, plain.primal, plain.tangent, type(plain).__name__, fw.unpack_dual(inp).tangent,
        attempt(lambda: fw.make_dual(x, t)), attempt(fw.exit_dual_level),
        attempt(lambda: fw.exit_dual_level(level=3)), fw.unpack_dual(shared)[0] is None,
    ]  # fmt: skip


@program
def dual_numbers_meet_modules_and_backward(lib: Any) -> Any:
    fw = part(lib, "autograd.forward_ad")
    model = lib.nn.Linear(3, 2).double()
    with lib.no_grad():
        for i, p in enumerate(model.parameters()):
            p.copy_(numbers(lib, *p.shape, seed=i))
    params = dict(model.named_parameters())
    tangents = {name: numbers(lib, *p.shape, seed=5 + i) for i, (name, p) in enumerate(params.items())}
    x = numbers(lib, 4, 3, seed=9)
    with fw.dual_level():
        duals = {name: fw.make_dual(p, tangents[name]) for name, p in params.items()}
        jvp = fw.unpack_dual(lib.func.functional_call(model, duals, x)).tangent
        for name, p in params.items():
            delattr(model, name)
            setattr(model, name, fw.make_dual(p, tangents[name]))
        same_jvp = fw.unpack_dual(model(x)).tangent
    return jvp.detach(), same_jvp.detach()


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_does_as_torch(f: Callable[[Any], Any]) -> None:
    same(f, torch)
