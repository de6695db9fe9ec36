"""What torch's documentation says of torch.func and autograd.graph, statement by statement, as programs torch runs too."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from tests.twin import Programs, attempt, same

torch = pytest.importorskip("torch")

program = PROGRAMS = Programs()


def numbers(lib: Any, *shape: int, seed: int = 0, grad: bool = False) -> Any:
    values = np.random.default_rng(seed).normal(size=shape)
    return lib.tensor(values.tolist(), dtype=lib.float64, requires_grad=grad)


def detached(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: detached(value) for key, value in tree.items()}
    return [detached(each) for each in tree] if isinstance(tree, (list, tuple)) else tree.detach()


# -- grad, grad_and_value ---------------------------------------------------------------------------------------------


@program
def gradients_nest(lib: Any) -> Any:
    grad, x = lib.func.grad, numbers(lib)
    cos_x, neg_sin_x = grad(lambda x: lib.sin(x))(x), grad(grad(lambda x: lib.sin(x)))(x)
    return lib.allclose(cos_x, x.cos()), lib.allclose(neg_sin_x, -x.sin()), cos_x, neg_sin_x


@program
def gradients_per_sample(lib: Any) -> Any:
    F, grad, vmap = lib.nn.functional, lib.func.grad, lib.func.vmap
    weights, examples, targets = numbers(lib, 5), numbers(lib, 3, 5, seed=1), numbers(lib, 3, seed=2)

    def compute_loss(weights: Any, example: Any, target: Any) -> Any:
        return F.mse_loss(example.dot(weights).relu(), target)

    return vmap(grad(compute_loss), in_dims=(None, 0, 0))(weights, examples, targets)


@program
def gradients_with_auxiliary_values_and_of_several_arguments(lib: Any) -> Any:
    grad, both = lib.func.grad, lib.func.grad_and_value
    y_true, y = numbers(lib, 4), numbers(lib, 4, seed=1)

    def my_loss(y: Any, y_true: Any) -> Any:
        loss = (y_true - y) ** 2
        return loss.mean(), loss

    loss = lambda y, t: my_loss(y, t)[0]  # noqa: E731
    return [
        grad(my_loss, argnums=(0, 1), has_aux=True)(y_true, y), grad(loss, argnums=1)(y_true, y),
        grad(loss, argnums=-1)(y_true, y), both(loss)(y, y_true), both(my_loss, has_aux=True)(y, y_true),
        attempt(lambda: grad(my_loss)(y, y_true)), attempt(lambda: grad(lambda x: x * 2)(y)),
        attempt(lambda: grad(loss, argnums=2)(y, y_true)), attempt(lambda: grad(lambda x: 3.0)(y)),
        attempt(lambda: grad(loss, argnums=(0, 0))(y, y_true)),
    ]  # fmt: skip


@program
def no_grad_inside_and_outside(lib: Any) -> Any:
    grad, x = lib.func.grad, numbers(lib)

    def f(x: Any) -> Any:
        with lib.no_grad():
            c = x**2
        return x - c

    inside = grad(f)(x)
    with lib.no_grad():
        outside = grad(f)(x)
    return inside, outside, grad(lambda x: x - x.detach() ** 2)(x)


@program
def trees_of_every_kind(lib: Any) -> Any:
    grad, x, y = lib.func.grad, numbers(lib, 2), numbers(lib, 2, seed=1)
    pair = namedtuple("pair", "a b")
    product = lambda p: (p[0] * p[1]).sum()  # noqa: E731
    of_names = lambda p: (p["a"] * p["b"]).sum()  # noqa: E731
    trees = [(x, y), [x, y], pair(x, y), deque([x, y], 5)]
    names = [{"a": x, "b": y}, OrderedDict(b=x, a=y), defaultdict(list, a=x, b=y)]
    found = [*(grad(product)(t) for t in trees), *(grad(of_names)(t) for t in names)]
    mapped = [lib.func.vmap(lambda t: t)(t) for t in (*trees, *names)]
    return [
        [list(t.values()) if isinstance(t, dict) else list(t) for t in found], [type(t).__name__ for t in (*found, *mapped)],
        found[3].maxlen, found[6].default_factory is list, list(found[5]), lib.func.jvp(product, (trees[3],), (trees[3],)),
        attempt(lambda: grad(product)({0: x, 1: 3})), attempt(lambda: grad(product)((x, None))),
        attempt(lambda: lib.func.jvp(product, ([x, y],), ((x, y),))), attempt(lambda: grad(product)({x, y})),
    ]  # fmt: skip


# -- vjp, jvp, linearize ----------------------------------------------------------------------------------------------


@program
def vector_jacobian_products(lib: Any) -> Any:
    vjp = lib.func.vjp
    x, y = numbers(lib, 5), numbers(lib, 5, seed=1)
    output, of = vjp(lambda x: x.sin().sum(), x)
    several, of_several = vjp(lambda x: (x.sin(), x.cos()), x)
    tree, of_tree = vjp(lambda t: {"a": t["x"] * t["y"][0], "b": t["x"]}, {"x": x, "y": [y]})
    value, of_aux, aux = vjp(lambda x: (x.exp(), x.sum()), x, has_aux=True)
    return [
        output, of(lib.ones((), dtype=lib.float64)), several, of_several((x, y)), tree, of_tree({"a": x, "b": y}),
        value, of_aux(y), aux, vjp(lambda x, y: x * y, x, y)[1](y), vjp(lambda x: x * 2, x)[1](y),
        attempt(lambda: of_several(x)), attempt(lambda: of(lib.ones(2, dtype=lib.float64))), attempt(lambda: vjp(3, x)),
    ]  # fmt: skip


@program
def jacobian_vector_products(lib: Any) -> Any:
    jvp = lib.func.jvp
    x, y = numbers(lib, 5), numbers(lib, 5, seed=1)
    one = lib.ones(5, dtype=lib.float64)
    return [
        jvp(lambda x: x * lib.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=lib.float64), (x,), (one,)),
        jvp(lambda x, y: x * y, (x, y), (one, one)), jvp(lambda x: (x.exp(), x.sum()), (x,), (y,), has_aux=True),
        jvp(lambda x: y, (x,), (one,)), attempt(lambda: jvp(lambda x: y, (x,), (one,), strict=True)),
        attempt(lambda: jvp(lambda x: x, x, one)), attempt(lambda: jvp(lambda x: x, (x,), (one[:2],))),
        attempt(lambda: jvp(lambda x: x, (x,), (one, one))),
    ]  # fmt: skip


@program
def linearized_functions(lib: Any) -> Any:
    x, t, runs = numbers(lib, 3), numbers(lib, 3, seed=1), []

    def fn(x: Any) -> Any:
        runs.append(1)
        return x.sin()

    output, jvp_fn = lib.func.linearize(fn, x)
    after = len(runs)
    pushed = jvp_fn(t), jvp_fn(t * 2)
    return output, pushed, len(runs) == after, lib.func.jvp(fn, (x,), (t,))[1]


# -- Jacobians, Hessians ----------------------------------------------------------------------------------------------


@program
def jacobians(lib: Any) -> Any:
    F, x, y = lib.func, numbers(lib, 3), numbers(lib, 3, seed=1)
    both = lambda x, y: (x**2 * y).sum()  # noqa: E731
    found = []
    for jac in (F.jacrev, F.jacfwd):
        found += [
            jac(lib.sin)(x), jac(lambda x, y: x + y**2, argnums=(0, 1))(x, y), jac(lambda x, y: x + y**2, argnums=1)(x, y),
            jac(lambda x: (x.sin(), x), has_aux=True)(x), jac(jac(lib.sin))(x), F.vmap(jac(lib.sin))(numbers(lib, 4, 3)),
            jac(lambda x: {"a": x, "b": [x.sum()]})(x), jac(lambda p: p["w"] * x)({"w": y}), jac(both)(x, y),
            attempt(lambda jac=jac: jac(both, argnums=4)(x, y)), attempt(lambda jac=jac: jac(lambda x: 3)(x)),
        ]  # fmt: skip
    chunks = [F.jacrev(lib.sin, chunk_size=n)(x) for n in (1, 2, 5)]
    return detached(found[:9]), found[9:11], detached(found[11:20]), found[20:], detached(chunks)


@program
def hessians(lib: Any) -> Any:
    F, x = lib.func, numbers(lib, 5)
    f = lambda x: x.sin().sum()  # noqa: E731
    whole = [F.hessian(f)(x), F.jacfwd(F.jacrev(f))(x), F.jacrev(F.jacfwd(f))(x), F.jacrev(F.jacrev(f))(x)]
    several = F.hessian(lambda x, y: (x * y).sum() ** 2, argnums=(0, 1))(x, x * 2)
    return detached(whole), lib.allclose(whole[0], lib.diag(-x.sin())), detached(several)


# -- vmap -------------------------------------------------------------------------------------------------------------


@program
def batched_dot_products(lib: Any) -> Any:
    vmap, dot = lib.func.vmap, lib.dot
    x, y = numbers(lib, 2, 5), numbers(lib, 2, 5, seed=1)
    weights = numbers(lib, 5, seed=2, grad=True)
    feature = lambda v: v.dot(weights).relu()  # noqa: E731
    out = vmap(feature)(x)
    return [
        vmap(dot)(x, y), out.detach(), lib.autograd.grad(out.sum(), weights), vmap(dot, in_dims=1)(x, y).shape[0],
        vmap(vmap(dot))(numbers(lib, 3, 2, 5), numbers(lib, 3, 2, 5, seed=4)), vmap(dot, in_dims=(0, None))(x, y[0]),
        vmap(lambda d: dot(d["x"], d["y"]), in_dims=({"x": 0, "y": None},))({"x": x, "y": y[1]}),
        vmap(lambda x: x**2, out_dims=1)(x), vmap(lambda x: (x, x * 2), out_dims=(0, 1))(x),
        vmap(lambda x, *, y: x * y)(x, y=y), vmap(lambda x: x * 2, in_dims=-1, out_dims=-1)(x),
        vmap(lambda x: x.sum(), chunk_size=1)(x), vmap(lambda x: numbers(lib, 3))(x),
    ]  # fmt: skip


@program
def batches_that_are_refused(lib: Any) -> Any:
    vmap, x, y = lib.func.vmap, numbers(lib, 2, 5), numbers(lib, 3, 5)
    return [
        attempt(f)
        for f in (
            lambda: vmap(lib.add)(x, y), lambda: vmap(lib.add, in_dims=(0,))(x, x), lambda: vmap(lib.sin)(),
            lambda: vmap(lib.sin, in_dims=2)(x), lambda: vmap(lib.sin, in_dims=None)(x), lambda: vmap(lib.sin)(3.0),
            lambda: vmap(lambda x: 3)(x), lambda: vmap(lib.sin, out_dims=(0, 0))(x),
            lambda: vmap(lambda x: x + lib.rand(5))(x), lambda: vmap(lib.sin, randomness="sometimes")(x),
            lambda: vmap(lib.sin, chunk_size=0)(x),
        )
    ]  # fmt: skip


@program
def random_numbers_in_batches(lib: Any) -> Any:
    vmap, x = lib.func.vmap, numbers(lib, 3, 5)
    rows = vmap(lambda x: lib.rand(5), randomness="different")(x)
    one = vmap(lambda x: x * 0 + lib.rand(5), randomness="same")(x)
    return list(rows.shape), (rows[0] != rows[1]).any(), (one[0] == one[1]).all()


# -- functional_call, ensembles ---------------------------------------------------------------------------------------


@program
def modules_as_functions(lib: Any) -> Any:
    nn, call = lib.nn, lib.func.functional_call

    class Foo(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.foo = nn.Parameter(numbers(lib, 3, seed=1))
            self.foo_tied = self.foo
            self.register_buffer("scale", lib.ones(1, dtype=lib.float64))

        def forward(self, x: Any, *, shift: float = 0.0) -> Any:
            return x + self.foo + self.foo_tied * self.scale + shift

    mod, x = Foo(), numbers(lib, 3)
    before = mod.foo.detach().clone()
    a, b = {"foo": lib.zeros(3).double()}, {"scale": lib.full((1,), 3.0).double()}

    def loss(params: Any) -> Any:
        return call(mod, params, x).pow(2).sum()

    return [
        call(mod, a, x), call(mod, a, x, tie_weights=False).detach(), call(mod, (a, b), (x,), {"shift": 1.0}),
        lib.func.grad(loss)({"foo": x}), lib.equal(mod.foo, before),
        call(mod, {"foo": x, "foo_tied": x}, x),
        attempt(lambda: call(mod, {"foo": x, "foo_tied": x * 2}, x)), attempt(lambda: call(mod, {"bar": x}, x)),
        attempt(lambda: call(mod, a, x, strict=True)), attempt(lambda: call(mod, (a, a), x)),
        attempt(lambda: call(mod, 3, x)),
    ]  # fmt: skip


@program
def ensembles(lib: Any) -> Any:
    F, models = lib.func, [lib.nn.Linear(3, 2).double() for _ in range(4)]
    with lib.no_grad():
        for i, model in enumerate(models):
            for j, p in enumerate(model.parameters()):
                p.copy_(numbers(lib, *p.shape, seed=10 * i + j))
    params, buffers = F.stack_module_state(models)
    x = numbers(lib, 5, 3)

    def wrapper(params: Any, buffers: Any, data: Any) -> Any:
        return F.functional_call(models[0], (params, buffers), data)

    out = F.vmap(wrapper, in_dims=(0, 0, None))(params, buffers, x)
    return [
        out.detach(), lib.allclose(out, lib.stack([model(x) for model in models])), sorted(params), buffers,
        [p.requires_grad for p in params.values()], attempt(lambda: F.stack_module_state([])),
        attempt(lambda: F.stack_module_state([models[0], lib.nn.Tanh()])),
        attempt(lambda: F.stack_module_state([models[0], models[1].eval()])),
    ]  # fmt: skip


# -- autograd.graph, hooks of tensors ---------------------------------------------------------------------------------


@program
def nodes(lib: Any) -> Any:
    G = import_module(f"{lib.__name__}.autograd.graph")
    a, b = lib.tensor([0.0, 0.0, 0.0], requires_grad=True), lib.rand(3, requires_grad=True)
    c, d = a.clone(), (a * b).sum(dim=0)
    seen: list[Any] = []
    pre = b.exp()
    handle = pre.grad_fn.register_prehook(lambda grad_outputs: (grad_outputs[0] * 2,))
    post = c.grad_fn.register_hook(lambda grad_inputs, grad_outputs: (grad_outputs[0] * 3,))
    (c + pre * 0 + pre.detach() * 0).sum().backward(retain_graph=True)
    first = a.grad.clone()
    handle.remove()
    post.remove()
    c.sum().backward()
    return [
        isinstance(d.grad_fn, G.Node), c.grad_fn.name(), [fn[0].name() for fn in d.grad_fn.next_functions],
        [fn[1] for fn in d.grad_fn.next_functions], c.grad_fn.metadata, first, a.grad, seen,
        d.grad_fn.next_functions[0][0].next_functions[0][0].variable is a,
        G.Node.name.__name__, hasattr(c.grad_fn, "register_hook"),
    ]  # fmt: skip


@program
def gradient_edges(lib: Any) -> Any:
    G = import_module(f"{lib.__name__}.autograd.graph")
    x = numbers(lib, 3, grad=True)
    y = x.exp()
    edge, of_leaf = G.get_gradient_edge(y), G.get_gradient_edge(x)
    z = (y * y).sum()
    at = lib.autograd.grad(z, edge, retain_graph=True)
    by_hand = lib.autograd.grad(z, G.GradientEdge(y.grad_fn, 0), retain_graph=True)
    ends = lib.autograd.grad([edge], [x], lib.ones(3, dtype=lib.float64), retain_graph=True)
    parts = x.unbind()
    return [
        at, by_hand, ends, edge.node.name(), edge.output_nr, edge.node is y.grad_fn, of_leaf.node.name(), len(edge),
        [G.get_gradient_edge(t).output_nr for t in parts], edge._fields, edge.ownership_token is None,
        attempt(lambda: G.get_gradient_edge(x.detach())),
        [lib.autograd.backward([edge], [lib.ones(3, dtype=lib.float64)], inputs=[x]), x.grad],
    ]  # fmt: skip


@program
def hooks_of_tensors(lib: Any) -> Any:
    v = lib.tensor([0.0, 0.0, 0.0], requires_grad=True)
    h = v.register_hook(lambda grad: grad * 2)
    v.backward(lib.tensor([1.0, 2.0, 3.0]))
    doubled = v.grad.clone()
    h.remove()
    v.backward(lib.tensor([1.0, 2.0, 3.0]))
    w = lib.tensor([0.0, 0.0, 0.0], requires_grad=True)
    h = w.register_post_accumulate_grad_hook(lambda p: p.add_(p.grad, alpha=-0.5) if False else setattr(p, "seen", p.grad))
    w.backward(lib.tensor([1.0, 2.0, 3.0]))
    h.remove()
    return [
        doubled, v.grad, w.seen, attempt(lambda: v.detach().register_hook(print)),
        attempt(lambda: (v * 2).register_post_accumulate_grad_hook(print)),
        attempt(lambda: v.detach().register_post_accumulate_grad_hook(print)),
    ]  # fmt: skip


@program
def hooks_of_several_tensors(lib: Any) -> Any:
    G = import_module(f"{lib.__name__}.autograd.graph")
    a, b = lib.rand(2, 3, requires_grad=True), lib.rand(2, 3, requires_grad=True)
    c, d = a * b, a * b
    seen: list[Any] = []
    handle = G.register_multi_grad_hook((a, b, c, d), lambda grads: seen.append([g is not None for g in grads]))
    c.sum().backward(retain_graph=True)
    c.sum().backward(inputs=(a, b), retain_graph=True)
    handle.remove()
    some: list[Any] = []
    other = G.register_multi_grad_hook((c, d), lambda g: some.append(list(g.shape)), mode="any")
    (c.sum() + d.sum()).backward()
    other.remove()
    return seen, some, attempt(lambda: G.register_multi_grad_hook((a,), print, mode="most"))


@program
def what_is_saved(lib: Any) -> Any:
    G = import_module(f"{lib.__name__}.autograd.graph")
    a, b = lib.ones(5, requires_grad=True), lib.ones(5, requires_grad=True) * 2
    log: list[Any] = []
    with G.saved_tensors_hooks(lambda x: log.append("Packing") or x, lambda x: log.append("Unpacking") or x):
        y = a * b
    y.sum().backward()
    found = [list(log)]
    with G.save_on_cpu():
        prod = a * b.detach()
    prod.sum().backward()
    with G.disable_saved_tensors_hooks("saved tensors hooks are not allowed here"):
        found.append(attempt(lambda: G.saved_tensors_hooks(lambda x: x, lambda x: x).__enter__()))
    with G.allow_mutation_on_saved_tensors():
        c = lib.ones(2, 3, requires_grad=True)
        out = c.clone()
        squared = (out**2).sum()
        out.sin_()
        squared.sum().backward()
    z = lib.ones(2)
    before = z._version
    G.increment_version(z)
    G.increment_version([z, z])
    return [*found, a.grad, c.grad, z._version - before, attempt(lambda: G.increment_version(3))]


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_does_as_torch(f: Callable[[Any], Any]) -> None:
    same(f, torch)
