"""functional_call and stack_module_state beside torch: names, ties, buffers, ensembles, transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.twin import attempt, same

torch = pytest.importorskip("torch")


def numbers(lib: Any, *shape: int, seed: int = 0) -> Any:
    return lib.tensor(np.random.default_rng(seed).normal(size=shape).tolist(), dtype=lib.float64)


def filled(lib: Any, module: Any, seed: int = 0) -> Any:
    module = module.double()
    with lib.no_grad():
        for i, (_, p) in enumerate(sorted(module.named_parameters())):
            p.copy_(numbers(lib, *p.shape, seed=seed + 10 * i))
    return module


def mlp(lib: Any, seed: int = 0) -> Any:
    return filled(lib, lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.Tanh(), lib.nn.Linear(4, 2)), seed)


def module(lib: Any, forward: Callable[..., Any], **made: Any) -> Any:
    """A module with these parameters, buffers (tensors that need no gradient) and modules."""

    class Made(lib.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            for name, value in made.items():
                if isinstance(value, lib.Tensor) and not isinstance(value, lib.nn.Parameter):
                    self.register_buffer(name, value)
                else:
                    setattr(self, name, value)

    Made.forward = forward
    return Made()


def tied(lib: Any) -> Any:
    first, second = filled(lib, lib.nn.Linear(3, 3)), filled(lib, lib.nn.Linear(3, 3), 1)
    second.weight = first.weight
    return module(lib, lambda self, x: self.l(x) + self.m(x) @ self.a, l=first, m=second, a=first.weight)


def constants(module: Any) -> Any:
    return {name: p.detach() for name, p in module.named_parameters()}


def ways_to_call(lib: Any) -> Any:
    call, m, x = lib.func.functional_call, mlp(lib), numbers(lib, 5, 3)
    twice = {name: p * 2 for name, p in constants(m).items()}
    outs = [call(m, twice, x), call(m, twice, (x,)), call(m, (twice,), (x,)), call(m, {"0.weight": x[:4]}, x)]
    return outs, m(x), call(m, dict(m.named_parameters()), x, strict=True)


def names_that_are_not_there(lib: Any) -> Any:
    call, m, x = lib.func.functional_call, mlp(lib), numbers(lib, 5, 3)
    own = dict(m.named_parameters())
    return [
        call(m, {"nope": x}, x),
        call(m, {"0.nope": x}, x),
        hasattr(m, "nope") or hasattr(m[0], "nope"),
        attempt(lambda: call(m, {"7.weight": x}, x)),
        attempt(lambda: call(m, {"0": x}, x)),
        attempt(lambda: call(m, {"0.weight": own["0.weight"]}, x, strict=True)),
        attempt(lambda: call(m, {**own, "nope": x}, x, strict=True)),
        attempt(lambda: call(m, (own, own), x)),
        attempt(lambda: call(m, 3, x)),
        attempt(lambda: call(m, [3], x)),
        attempt(lambda: call(m, {"0.weight": 3.0}, x)),
        m(x),
    ]


def keywords(lib: Any) -> Any:
    call, x = lib.func.functional_call, numbers(lib, 3)
    m = module(lib, lambda self, x, *, scale=1.0: self.w * x * scale, w=lib.nn.Parameter(lib.ones(3)))
    return [
        call(m, {"w": x}, x, {"scale": 3.0}),
        call(m, {"w": x}, kwargs={"x": x, "scale": 2}),
        call(m, {"w": x}, (), {"x": x}),
        attempt(lambda: call(m, {"w": x})),
    ]


def tied_names(lib: Any) -> Any:
    call, m, x, w = lib.func.functional_call, tied(lib), numbers(lib, 2, 3), numbers(lib, 3, 3, seed=4)
    outs = [call(m, {n: w}, x, tie_weights=tie) for n in ("l.weight", "m.weight", "a") for tie in (True, False)]
    given = [dict(m.named_parameters(remove_duplicate=once)) for once in (True, False)]
    strictly = [
        attempt(lambda tie=tie, values=values: call(m, values, x, tie_weights=tie, strict=True))
        for tie in (True, False)
        for values in given
    ]
    return [
        outs,
        call(m, {"l.weight": w, "a": w * 2}, x, tie_weights=False),
        strictly[0],
        [isinstance(each, tuple) for each in strictly],
        m.l.weight is m.m.weight is m.a,
        [name for name, _ in m.named_parameters()],
        lib.func.grad(lambda p: (call(m, p, x) ** 2).sum())(constants(m)),
    ]


def what_the_module_assigns(lib: Any) -> Any:
    def forward(self: Any, x: Any) -> Any:
        self.n = self.n + 1
        return self.n * self.w * x

    call, one = lib.func.functional_call, lib.ones(1)
    m = module(lib, forward, n=lib.zeros(1), w=lib.nn.Parameter(lib.ones(1)))
    given = {"n": one * 5}
    first = call(m, given, one), given["n"], m.n
    return first, call(m, {"w": one * 3}, one), m.n


def attributes_and_what_is_missing(lib: Any) -> Any:
    call, one = lib.func.functional_call, lib.ones(3)
    m = module(lib, lambda self, x: self.c * self.w * x, w=lib.nn.Parameter(lib.ones(3)))
    m.c = lib.ones(3)
    linear = filled(lib, lib.nn.Linear(3, 2, bias=False))
    x, bias = numbers(lib, 2, 3), numbers(lib, 2)
    return [
        call(m, {"c": one * 2}, one),
        m.c,
        sorted(m._parameters),
        sorted(m._buffers),
        call(linear, {"bias": bias}, x),
        attempt(lambda: call(linear, {"weight": linear.weight, "bias": bias}, x, strict=True)),
        linear.bias,
    ]


def everything_is_put_back(lib: Any) -> Any:
    def forward(self: Any, x: Any) -> Any:
        raise ValueError("inside")

    m = module(lib, forward, w=lib.nn.Parameter(lib.ones(1)))
    w = m.w
    return attempt(lambda: lib.func.functional_call(m, {"w": lib.zeros(1)}, w)), m.w is w


def buffers_of_batch_norm(lib: Any) -> Any:
    m, x = lib.nn.BatchNorm1d(3).double(), numbers(lib, 5, 3)
    buffers = {name: b.clone() for name, b in m.named_buffers()}
    y = lib.func.functional_call(m, (dict(m.named_parameters()), buffers), x)
    after = (buffers, dict(m.named_buffers()))
    m.eval()
    return y.detach(), after, lib.func.functional_call(m, {"running_mean": numbers(lib, 3)}, x).detach()


def nested_calls(lib: Any) -> Any:
    call, m, x = lib.func.functional_call, mlp(lib), numbers(lib, 2, 3)
    other = {"0.weight": lib.ones(4, 3, dtype=lib.float64)}
    outer = module(lib, lambda self, x: call(self.m, other, x) + self.m(x), m=m)
    return call(outer, {"m.0.weight": lib.zeros(4, 3, dtype=lib.float64)}, x)


def parametrized(lib: Any) -> Any:
    class Symmetric(lib.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return x.triu() + x.triu(1).T

    call, x, w = lib.func.functional_call, numbers(lib, 2, 3), numbers(lib, 3, 3, seed=8)
    linear = filled(lib, lib.nn.Linear(3, 3))
    lib.nn.utils.parametrize.register_parametrization(linear, "weight", Symmetric())
    normed = lib.nn.utils.parametrizations.weight_norm(filled(lib, lib.nn.Linear(3, 2)))
    return [
        sorted(dict(linear.named_parameters())),
        call(linear, {"parametrizations.weight.original": w}, x),
        attempt(lambda: call(linear, {"weight": w}, x)),
        linear(x),
        call(normed, {name: p * 2 for name, p in constants(normed).items()}, x),
    ]


def ensembles(lib: Any) -> Any:
    models, x = [mlp(lib, seed) for seed in range(3)], numbers(lib, 5, 3)
    parameters, buffers = lib.func.stack_module_state(models)
    one = lambda p, b, x: lib.func.functional_call(models[0], (p, b), (x,))  # noqa: E731
    out = lib.func.vmap(one, in_dims=(0, 0, None))(parameters, buffers, x)
    (out**2).sum().backward()
    alone = lib.stack([each(x) for each in models])
    return out.detach(), alone.detach(), {n: (p.requires_grad, p.is_leaf, p.grad) for n, p in parameters.items()}, buffers


def ensembles_with_buffers(lib: Any) -> Any:
    models = [lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.BatchNorm1d(4)) for _ in range(3)]
    models = [filled(lib, each, seed).eval() for seed, each in enumerate(models)]
    parameters, buffers = lib.func.stack_module_state(models)
    one = lambda p, b: lib.func.functional_call(models[0], (p, b), (numbers(lib, 5, 3),))  # noqa: E731
    return lib.func.vmap(one)(parameters, buffers).detach(), buffers


def models_that_do_not_stack(lib: Any) -> Any:
    stack, model, frozen = lib.func.stack_module_state, mlp(lib), mlp(lib)
    frozen[0].weight.requires_grad_(False)
    linear = [lib.nn.Linear(n, 2) for n in (2, 3)]
    refused = ([], [model, mlp(lib).eval()], [model, linear[0]], [model, frozen], linear)
    alike = stack([mlp(lib).requires_grad_(False) for _ in range(2)])[0]
    return [attempt(lambda models=models: stack(models)) for models in refused], [p.requires_grad for p in alike.values()]


def gradients_for_each_sample(lib: Any) -> Any:
    m, x, y = mlp(lib), numbers(lib, 5, 3), numbers(lib, 5, 2, seed=3)

    def loss(p: Any, x: Any, y: Any) -> Any:
        return lib.nn.functional.mse_loss(lib.func.functional_call(m, p, (x[None],)), y[None])

    each = lib.func.vmap(lib.func.grad(loss), in_dims=(None, 0, 0))(constants(m), x, y)
    lib.nn.functional.mse_loss(m(x), y).backward()
    return each, {name: p.grad for name, p in m.named_parameters()}


def derivatives_of_all_kinds(lib: Any) -> Any:
    m, x, F = mlp(lib), numbers(lib, 2, 3), lib.func
    p = constants(m)
    out = lambda p: F.functional_call(m, p, x)  # noqa: E731
    biases = {name: p[name] for name in ("0.bias", "2.bias")}
    return [
        F.jacrev(out)(p),
        F.jacfwd(out)(p),
        F.jvp(out, (p,), ({name: 2 * each for name, each in p.items()},)),
        F.hessian(lambda p: (out(p) ** 2).sum())(biases),
    ]


def tangent_kernels_and_inner_steps(lib: Any) -> Any:
    m, F = mlp(lib), lib.func
    p, x, y = constants(m), numbers(lib, 3, 4, 3), numbers(lib, 3, 4, 2, seed=1)
    rows = F.vmap(F.jacrev(lambda p, x: F.functional_call(m, p, (x[None],))[0]), (None, 0))(p, x[0])
    rows = [each.flatten(2) for each in rows.values()]

    def adapted(p: Any, x: Any, y: Any) -> Any:
        loss = lambda p: ((F.functional_call(m, p, x) - y) ** 2).mean()  # noqa: E731
        g = F.grad(loss)(p)
        return loss({name: p[name] - 0.1 * g[name] for name in p})

    kernel = sum(lib.einsum("Naf,Maf->NM", each, each) for each in rows)
    return kernel, F.grad(lambda p: F.vmap(adapted, (None, 0, 0))(p, x, y).mean())(p)


def random_layers(lib: Any) -> Any:
    m = lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.Dropout(0.5))
    one = lambda x: lib.func.functional_call(m, constants(m), x)  # noqa: E731
    refused = attempt(lambda: lib.func.vmap(one)(lib.ones(5, 3)))
    return refused, lib.func.vmap(one, randomness="different")(lib.ones(5, 3)).shape == (5, 4)


def hooks_run(lib: Any) -> Any:
    m, seen = mlp(lib), []
    m.register_forward_pre_hook(lambda *given: seen.append("before"))
    m[0].register_forward_hook(lambda *given: seen.append("after"))
    lib.func.functional_call(m, {}, numbers(lib, 2, 3))
    return seen


PROGRAMS = [
    ways_to_call, names_that_are_not_there, keywords, tied_names, what_the_module_assigns, attributes_and_what_is_missing,
    everything_is_put_back, buffers_of_batch_norm, nested_calls, parametrized, ensembles, ensembles_with_buffers,
    models_that_do_not_stack, gradients_for_each_sample, derivatives_of_all_kinds, tangent_kernels_and_inner_steps,
    random_layers, hooks_run,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_does_as_torch(program: Callable[[Any], Any]) -> None:
    program(torch)
    same(program, torch, rtol=1e-6)
