"""Operations with a derivative of the user's, as programs that torch runs too; and what their graphs keep alive."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import gradcore
from tests.twin import Programs, attempt, same

torch = pytest.importorskip("torch")

program = PROGRAMS = Programs()


def leaf(lib: Any, *shape: int, seed: int = 0, dtype: str = "float64") -> Any:
    values = np.random.default_rng(seed).normal(size=shape)
    return lib.tensor(values.tolist(), dtype=getattr(lib, dtype), requires_grad=True)


def made(lib: Any, forward: Any, backward: Any = lambda ctx, *g: g[0], **more: Any) -> Any:
    """A Function with these static methods."""
    methods = {"forward": forward, "backward": backward, **more}
    return type("MyFn", (lib.autograd.Function,), {k: staticmethod(f) for k, f in methods.items()})


def exp(lib: Any) -> Any:
    def forward(ctx: Any, x: Any) -> Any:
        out = x.exp()
        ctx.save_for_backward(out)
        return out

    return made(lib, forward, lambda ctx, g: g * ctx.saved_tensors[0])


@program
def the_documented_exponential(lib: Any) -> Any:
    x = leaf(lib, 3)
    y = exp(lib).apply(x)
    y.sum().backward()
    return y, x.grad, y.grad_fn.name(), y.output_nr


@program
def higher_orders(lib: Any) -> Any:
    x = leaf(lib, 3)
    ys = [exp(lib).apply(x * x).sum()]
    for _ in range(3):
        ys.append(lib.autograd.grad(ys[-1], x, create_graph=True)[0].sum())
    return ys


@program
def a_cube_saves_its_input(lib: Any) -> Any:
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    cube = made(lib, forward, lambda ctx, g: g * 3 * ctx.saved_tensors[0] ** 2)
    x = leaf(lib, 4)
    (g,) = lib.autograd.grad(cube.apply(x.sin()).sum(), x, create_graph=True)
    (h,) = lib.autograd.grad(g.sum(), x)
    return g, h


@program
def setup_context_and_vjp(lib: Any) -> Any:
    seen = []

    def setup(ctx: Any, inputs: Any, output: Any) -> None:
        x, y, scale = inputs
        ctx.scale = scale
        ctx.save_for_backward(x, y, output)
        seen.append((output.requires_grad, x.requires_grad, lib.is_grad_enabled(), ctx.needs_input_grad))

    def vjp(ctx: Any, g: Any) -> Any:
        x, y, out = ctx.saved_tensors
        seen.append((x, y, out))
        return g * y * ctx.scale, g * x * ctx.scale, None

    function = type(
        "Scaled",
        (lib.autograd.Function,),
        {
            "forward": staticmethod(lambda x, y, scale: x * y * scale),
            "setup_context": staticmethod(setup),
            "vjp": staticmethod(vjp),
        },
    )
    x, y = leaf(lib, 3), leaf(lib, 3, seed=1)
    out = function.apply(x, y, 2.5)
    out.sum().backward()
    return out, x.grad, y.grad, seen, out.grad_fn.scale


@program
def results_that_are_no_tensors(lib: Any) -> Any:
    seen = []

    def backward(ctx: Any, *gs: Any) -> Any:
        seen.append(gs)
        return gs[0]

    out = made(lib, lambda ctx, x: (x * 2, "a", 7, None), backward).apply(leaf(lib, 3))
    out[0].sum().backward()
    return (
        out,
        seen,
        made(lib, lambda ctx, x: None).apply(leaf(lib, 3)),
        made(lib, lambda ctx, x: [x * 2]).apply(leaf(lib, 3))[0].requires_grad,
    )


@program
def several_outputs(lib: Any) -> Any:
    seen = []

    def forward(ctx: Any, x: Any, materialize: bool) -> Any:
        ctx.set_materialize_grads(materialize)
        constant = x * 3
        ctx.mark_non_differentiable(constant)
        return x * 2, x.argmax(), constant, x.exp()

    def backward(ctx: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        seen.append((a, b, c, d))
        return (a if d is None else d), None

    results = []
    for materialize in (True, False):
        x = leaf(lib, 3)
        outs = made(lib, forward, backward).apply(x, materialize)
        (outs[0] * 5).sum().backward(retain_graph=True)
        (outs[3].sum() + outs[0].sum()).backward()
        results += [outs, x.grad, [t.output_nr for t in outs]]
    return results, seen


@program
def one_gradient_of_two(lib: Any) -> Any:
    a, b = leaf(lib, 3), leaf(lib, 3, seed=1)
    seen = []

    def backward(ctx: Any, g: Any) -> Any:
        seen.append(ctx.needs_input_grad)
        return g * 2, g * 3

    y = made(lib, lambda ctx, x, z: x * z, backward).apply(a, b)
    got = lib.autograd.grad(y.sum(), a, retain_graph=True)
    y.sum().backward(inputs=[b])
    c = made(lib, lambda ctx, x, z: x * z, backward).apply(a.detach(), b)
    return got, a.grad, b.grad, seen, len(c.grad_fn.next_functions), c.grad_fn.next_functions[0]


def doubled(ctx: Any, x: Any) -> Any:
    x.mul_(2)
    ctx.mark_dirty(x)
    return x


@program
def inputs_changed_in_place(lib: Any) -> Any:
    function = made(lib, doubled, lambda ctx, g: g * 2)
    x = leaf(lib, 3)
    a = x * 1
    y = function.apply(a)
    same_object = y is a
    (y * y).sum().backward()
    constant = lib.ones(2)
    z = function.apply(constant)
    return y, a._version, same_object, x.grad, z is constant, z, attempt(lambda: function.apply(x))[1]


@program
def views_changed_in_place(lib: Any) -> Any:
    function = made(lib, doubled, lambda ctx, g: g * 2)
    x = leaf(lib, 4)
    base = x * 1
    v = function.apply(base[1:3])
    (base * lib.arange(4.0)).sum().backward()

    def two(ctx: Any, x: Any) -> Any:
        ctx.mark_dirty(x)
        return x, x * 2

    return base, v, x.grad, attempt(lambda: made(lib, two).apply((x * 1)[:2])), attempt(lambda: function.apply(x[:2]))[1]


@program
def an_output_saved_after_a_write(lib: Any) -> Any:
    def forward(ctx: Any, x: Any) -> Any:
        x.exp_()
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    def backward(ctx: Any, g: Any) -> Any:
        (out,) = ctx.saved_tensors
        return g * out

    x = leaf(lib, 3)
    y = made(lib, forward, backward).apply(x * 1)
    (g,) = lib.autograd.grad(y.sum(), x, create_graph=True)
    return g, lib.autograd.grad(g.sum(), x)


@program
def inputs_returned_as_they_are(lib: Any) -> Any:
    x = leaf(lib, 3)
    function = made(lib, lambda ctx, x: x, lambda ctx, g: g * 7)
    y = function.apply(x)
    y.sum().backward()
    with lib.no_grad():
        unrecorded = function.apply(x)
    constant = made(lib, lambda ctx, x: (ctx.mark_non_differentiable(x), x)[1]).apply(x)
    changed = function.apply(x * 1)
    view = made(lib, lambda ctx, x: x[:2]).apply(x * 1)
    return (
        y is x, y._is_view(), y._base is x, x.grad, unrecorded is x, unrecorded.requires_grad, constant is x, constant,
        attempt(lambda: changed.mul_(2)), attempt(lambda: view.mul_(2)),
    )  # fmt: skip


@program
def saved_values_are_checked(lib: Any) -> Any:
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    function = made(lib, forward, lambda ctx, g: 2 * g * ctx.saved_tensors[0])
    x = leaf(lib, 3)
    a = x * 1
    y = function.apply(a)
    a.add_(1)
    z = function.apply(x)
    z.sum().backward()
    freed = attempt(lambda: z.grad_fn.saved_tensors)
    return attempt(lambda: y.sum().backward()), attempt(lambda: z.sum().backward()), freed, x.grad


@program
def wrong_gradients(lib: Any) -> Any:
    def tried(backward: Any, *args: Any, forward: Any = lambda ctx, x, *more: x * 2) -> Any:
        x = leaf(lib, 3)

        def run() -> Any:
            made(lib, forward, backward).apply(x, *args).sum().backward()
            return x.grad

        return attempt(run)

    return [
        tried(lambda ctx, g: g, 1),
        tried(lambda ctx, g: (g, g)),
        tried(lambda ctx, g: (g, g), 1),
        tried(lambda ctx, g: (g, None, None, None), 1),
        tried(lambda ctx, g: g[:2]),
        tried(lambda ctx, g: g.sum()),
        tried(lambda ctx, g: g.expand(4, 3)),
        tried(lambda ctx, g: 3.0),
        tried(lambda ctx, g: g.float()),
        tried(lambda ctx, g: None),
        tried(lambda ctx, g: (None, None), 1),
        tried(lambda ctx, g: g * 1j)[1],
    ]


@program
def wrong_functions(lib: Any) -> Any:
    x = leaf(lib, 3)
    base = lib.autograd.Function
    no_forward = type("F", (base,), {})
    no_backward = type("F", (base,), {"forward": staticmethod(lambda ctx, x: x * 2)})
    both = made(lib, lambda ctx, x: x * 2, vjp=lambda ctx, g: g)
    return [
        attempt(lambda: no_forward.apply(x)),
        attempt(lambda: no_backward.apply(x).sum().backward()),
        attempt(lambda: both.apply(x).sum().backward()),
        attempt(lambda: made(lib, lambda ctx, x: (ctx.save_for_backward(3), x)[1]).apply(x)),
        attempt(lambda: made(lib, lambda ctx, x: (ctx.mark_dirty(x), x * 2)[1]).apply(x)),
        attempt(lambda: made(lib, lambda ctx, x: (ctx.mark_dirty(3), x * 2)[1]).apply(x))[1],
        no_backward.apply(x),
        attempt(lambda: made(lib, lambda ctx, x: 1 / 0).apply(x)),
    ]


@program
def once_differentiable(lib: Any) -> Any:
    once = made(lib, lambda ctx, x: x * x, lib.autograd.function.once_differentiable(lambda ctx, g: g * 2))
    x, w = leaf(lib, 3), leaf(lib, 3, seed=1)
    (plain,) = lib.autograd.grad(once.apply(x).sum(), x, create_graph=True)
    (g,) = lib.autograd.grad(once.apply(x), x, w, create_graph=True)
    return plain, attempt(lambda: g.sum().backward())


@program
def attributes_of_the_node(lib: Any) -> Any:
    def forward(ctx: Any, x: Any, targets: int = 1) -> Any:
        ctx.targets, ctx.step, ctx.saved = targets, "s", [1]
        ctx.k = 5
        ctx.save_for_backward(x)
        return x * 2

    seen = []

    def backward(ctx: Any, g: Any) -> Any:
        seen.append((ctx.targets, ctx.step, ctx.saved, ctx.k))
        return g

    x = leaf(lib, 3)
    y = made(lib, forward, backward).apply(x)
    node = y.grad_fn
    out = [node.k, node.saved_tensors[0] is x, node.needs_input_grad, "MyFnBackward object at" in repr(node)]
    node.k = 6
    y.sum().backward()
    return out, seen, node.k


@program
def functions_are_not_instantiated(lib: Any) -> Any:
    module = import_module(f"{lib.__name__}.autograd.function")

    class Shift(module.InplaceFunction):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.mark_dirty(x)
            return x.add_(1)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    class Double(module.NestedIOFunction):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 3

    x = lib.ones(2, requires_grad=True)
    y = Double.apply(Shift.apply(x * 1))
    y.sum().backward()
    found = []
    for kind in (Shift, lib.autograd.Function):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            made = kind()
        found.append([str(each.message).partition(" Methods")[0][-30:].split('.')[-1] for each in caught])
        found.append([each.category.__name__ for each in caught])
        found.append(attempt(lambda made=made: made(x)))
    return y, x.grad, found, Shift(inplace=True).inplace, Shift().inplace


@program
def what_backward_may_return(lib: Any) -> Any:
    returns = [
        lambda g: g, lambda g: (g, g, g), lambda g: (g, g, None), lambda g: (g, g[:2]), lambda g: (g, 3.0), lambda g: None,
        lambda g: (g, g.long()), lambda g: (g, g.sum()), lambda g: [g, g], lambda g: (g, g.float()), lambda g: (None, g),
        lambda g: (None, None), lambda g: (g, g.expand(2, 3)), lambda g: (g, g.reshape(1, 3)), lambda g: (),
    ]  # fmt: skip
    found = []
    for back in returns:
        function = made(lib, lambda ctx, x, y: x * y, lambda ctx, g, back=back: back(g))
        x, y = leaf(lib, 3), leaf(lib, 3, seed=1)
        found.append([attempt(function.apply(x, y).sum().backward), x.grad, y.grad])
    return found


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_does_as_torch(program: Callable[[Any], Any]) -> None:
    same(program, torch)


def test_gradients_that_the_user_keeps_are_not_the_leaf_s() -> None:
    kept = []

    def backward(ctx: Any, g: Any) -> Any:
        kept.append(g * 2)
        return kept[0]

    x = leaf(gradcore, 3)
    made(gradcore, lambda ctx, x: x * 2, backward).apply(x).sum().backward()
    x.grad.add_(100)
    assert kept[0].tolist() == [2.0] * 3


def test_a_wrong_shape_names_function_input_and_both_shapes() -> None:
    function = made(gradcore, lambda ctx, x, y: x * 2, lambda ctx, g: (None, g))
    x, y = leaf(gradcore, 3), leaf(gradcore, 5)
    with pytest.raises(RuntimeError, match=r"MyFnBackward .* index 1 .*\[3\].*\[5\]"):
        function.apply(x, y).sum().backward()
    assert x.grad is None
    assert y.grad is None


def test_a_wrong_number_names_function_inputs_and_shapes() -> None:
    function = made(gradcore, lambda ctx, x, n, y: x * 2, lambda ctx, g: (g, None))
    x, y = leaf(gradcore, 3), leaf(gradcore, 5)
    shapes = r"a tensor \[3\], no tensor, a tensor \[5\]; it returned a tensor \[3\], no tensor"
    with pytest.raises(RuntimeError, match=rf"MyFnBackward .*expected 3, got 2.* {shapes}"):
        function.apply(x, 2, y).sum().backward()
    assert x.grad is None
    assert y.grad is None


@pytest.mark.parametrize("way", ["output", "input", "dirty", "as it is", "double", "attribute"])
def test_graphs_are_freed_without_the_collector(way: str) -> None:
    def forward(ctx: Any, x: Any) -> Any:
        out = x.mul_(2) if way == "dirty" else x if way == "as it is" else x * 2
        if way == "dirty":
            ctx.mark_dirty(x)
        if way == "attribute":
            ctx.own = x
        ctx.save_for_backward(*([x] if way == "input" else [out]))
        return out

    function = made(gradcore, forward, lambda ctx, g: g * ctx.saved_tensors[0])
    gc.collect()
    gc.disable()
    try:
        x = leaf(gradcore, 3)
        y = function.apply(x * 1)
        refs = [weakref.ref(o) for o in (x, y, y._array, y.grad_fn, y.grad_fn.ctx)]
        if way == "double":
            gradcore.autograd.grad(y.sum(), x, create_graph=True)[0].sum().backward()
        else:
            y.sum().backward(retain_graph=True)
        del x, y
        assert [ref() for ref in refs if ref() is not None] == []
    finally:
        gc.enable()
