"""Operators made of functions (gradcore.library), as programs that torch runs too."""

# No annotations as strings here: infer_schema would not find the names of functions' variables.
import logging
from collections.abc import Callable
from typing import Any

import pytest

import gradcore
from tests.operators_beside import check, fresh, leaf, numpy_sin, text_of
from tests.twin import Programs, attempt

torch = pytest.importorskip("torch")

program = PROGRAMS = Programs()


# -- operators of functions -------------------------------------------------------------------------------------------


@program
def the_documented_sine(lib: Any) -> Any:
    x = leaf(lib, 3)
    sine = numpy_sin(lib)
    y = sine(x)
    (g,) = lib.autograd.grad(y.sum(), x, create_graph=True)
    (h,) = lib.autograd.grad(g.sum(), x, create_graph=True)
    name = y.grad_fn.name().replace(sine._namespace, "ns")
    return y.detach(), g.detach(), h.detach(), name, y.requires_grad, sine(x.detach())


@program
def keyword_only_arguments(lib: Any) -> Any:
    def numpy_mul(x: lib.Tensor, *, val: float = 2.0) -> lib.Tensor:
        return lib.from_numpy(x.detach().cpu().numpy() * val)

    op = lib.library.custom_op(f"{fresh()}::numpy_mul", numpy_mul, mutates_args=())
    seen = []

    def setup_context(ctx: Any, inputs: Any, keyword_only_inputs: Any, output: Any) -> None:
        seen.append((len(inputs), keyword_only_inputs, output.shape == inputs[0].shape))
        ctx.val = keyword_only_inputs["val"]

    op.register_autograd(lambda ctx, g: g * ctx.val, setup_context=setup_context)
    x = leaf(lib, 3)
    return [lib.autograd.grad(op(x, **more).sum(), x) for more in ({}, {"val": 3})], op(x.detach(), val=1), seen


@program
def several_results(lib: Any) -> Any:
    def numpy_cube(x: lib.Tensor) -> tuple[lib.Tensor, lib.Tensor, int]:
        a = x.detach().numpy()
        return lib.tensor((a**3).tolist(), dtype=x.dtype), lib.tensor((3 * a**2).tolist(), dtype=x.dtype), 7

    op = lib.library.custom_op(f"{fresh()}::numpy_cube", numpy_cube, mutates_args=())
    op.register_autograd(
        lambda ctx, g, h, n: g * ctx.saved_tensors[1] + 6 * h * ctx.saved_tensors[0],
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(inputs[0], output[1]),
    )
    x = leaf(lib, 3)
    y, dx, n = op(x)
    return y.detach(), dx.detach(), n, lib.autograd.grad((y * dx).sum(), x), lib.autograd.grad(op(x)[1].sum(), x)


@program
def lists_of_tensors(lib: Any) -> Any:
    def weighted(tensors: list[lib.Tensor], weights: list[float], shift: lib.Tensor | None = None) -> list[lib.Tensor]:
        total = sum(t * w for t, w in zip(tensors, weights, strict=True))
        return [total, total * 2 if shift is None else total + shift]

    op = lib.library.custom_op(f"{fresh()}::weighted", weighted, mutates_args=())
    seen = []

    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        seen.append([type(each).__name__ for each in (*inputs, output)])
        ctx.weights = inputs[1]

    def backward(ctx: Any, grads: Any) -> Any:
        seen.append((ctx.needs_input_grad, len(grads)))
        return [(grads[0] + grads[1]) * w for w in ctx.weights], None, grads[1]

    op.register_autograd(backward, setup_context=setup_context)
    x, y, s = leaf(lib, 3), leaf(lib, 3, seed=1), leaf(lib, 3, seed=2)
    out = op([x, y.detach()], (2, 3.5), s)
    found = lib.autograd.grad((out[0] * out[1]).sum(), (x, s))
    op.register_autograd(lambda ctx, grads: (grads[0], None, None))
    wrong = attempt(lambda: lib.autograd.grad(op([x, y], [1.0, 2.0], s)[0].sum(), x))
    op.register_autograd(lambda ctx, grads: (None, None))
    return [t.detach() for t in out], found, seen, wrong, attempt(lambda: lib.autograd.grad(op([x], [1.0])[0].sum(), x))


@program
def too_few_gradients(lib: Any) -> Any:
    def product(x: lib.Tensor, y: lib.Tensor) -> lib.Tensor:
        return x * y

    op = lib.library.custom_op(f"{fresh()}::product", product, mutates_args=())
    op.register_autograd(lambda ctx, g: g)
    return text_of(lambda: op(leaf(lib, 2), leaf(lib, 2)).sum().backward()).partition(" returned ")[2][:51]


@program
def no_formula(lib: Any) -> Any:
    namespace = fresh()

    def double(x: lib.Tensor) -> lib.Tensor:
        return x * 2

    op = lib.library.custom_op(f"{namespace}::double", double, mutates_args=())
    y = op(leaf(lib, 2))
    said = text_of(lambda: y.sum().backward()).replace(namespace, "ns")
    with lib.no_grad():
        return said, y.requires_grad, op(leaf(lib, 2)).requires_grad, y.is_leaf


@program
def a_written_argument(lib: Any) -> Any:
    def scale(x: lib.Tensor, by: float) -> None:
        x.detach().numpy()[...] *= by

    op = lib.library.custom_op(f"{fresh()}::scale_", scale, mutates_args={"x"})
    x = lib.ones(3)
    view = x[:2]
    results = [op(x, 3.0), op(view, 2)]
    base = leaf(lib, 3)
    saved = base.exp()
    op(saved.detach(), 2.0)
    formula = attempt(lambda: op.register_autograd(lambda ctx, g: g))
    return results, x, x._version, view._version, attempt(saved.sum().backward), formula


@program
def a_written_argument_that_requires_grad(lib: Any) -> Any:
    def scale(x: lib.Tensor, by: float) -> lib.Tensor:
        x.mul_(by)
        return x * 1

    op = lib.library.custom_op(f"{fresh()}::scale", scale, mutates_args=("x",))
    x = leaf(lib, 3)
    y = x * 1
    out = op(y, 3.0)
    y.sum().backward()
    return y.detach(), x.grad, out.requires_grad, attempt(lambda: op(y, 2.0).sum().backward())[1], x._version


@program
def a_list_with_gaps(lib: Any) -> Any:
    def first(xs: list[lib.Tensor | None], n: int = 1) -> lib.Tensor:
        return next(x for x in xs if x is not None) * n

    op = lib.library.custom_op(f"{fresh()}::first", first, mutates_args=())
    return op([None, lib.ones(2)]), op([lib.ones(1)], 3), attempt(lambda: op(None))


@program
def an_operator_for_triton_of_operations(lib: Any) -> Any:
    def composed(x: lib.Tensor) -> lib.Tensor:
        return x.sin() * 2

    logging.disable(logging.WARNING)
    try:
        op = lib.library.triton_op(f"{fresh()}::composed", composed, mutates_args=())
    finally:
        logging.disable(logging.NOTSET)
    x = leaf(lib, 3)
    y = op(x)
    before = attempt(y.sum().backward)
    op.register_autograd(
        lambda ctx, g: 2 * g * ctx.saved_tensors[0].cos(),
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
    )
    return y, before, lib.autograd.grad(op(x).sum(), x)


@program
def results_that_share_memory(lib: Any) -> Any:
    def same_tensor(x: lib.Tensor) -> lib.Tensor:
        return x

    def a_view(x: lib.Tensor) -> lib.Tensor:
        return x.view(-1)

    def twice(x: lib.Tensor) -> tuple[lib.Tensor, lib.Tensor]:
        y = x * 2
        return y, y

    found = []
    for f in (same_tensor, a_view, twice):
        op = lib.library.custom_op(f"{fresh()}::{f.__name__}", f, mutates_args=())
        both = leaf(lib, 2), leaf(lib, 2).detach()
        found += [text_of(lambda op=op, x=x: op(x)).partition("): ")[2] for x in both]
    return found


@program
def results_that_are_views_by_their_schema(lib: Any) -> Any:
    text = "(Tensor(a) x) -> Tensor(a)"
    flat = lib.library.custom_op(f"{fresh()}::flat", lambda x: x.view(-1), mutates_args=(), schema=text)
    x = lib.ones(2, 2)
    y = flat(x)
    y.mul_(2)
    flat.register_autograd(lambda ctx, g: g.view(2, 2) * 3)
    library = lib.library.Library(fresh(), "FRAGMENT")
    library.define(f"flat{text}")
    refused = attempt(lambda: lib.library.register_autograd(f"{library.ns}::flat", lambda ctx, g: g))
    z = leaf(lib, 2, 2)
    found = flat(z).detach(), lib.autograd.grad(flat(z).sum(), z), attempt(lambda: flat(z * 1).mul_(2))[1]
    return y, x, y._is_view(), y._base is x, refused, found


@program
def results_that_are_none_of_the_schema(lib: Any) -> Any:
    def number(x: lib.Tensor) -> lib.Tensor:
        return 3

    def too_many(x: lib.Tensor) -> lib.Tensor:
        return x * 1, x * 2

    def no_tuple(x: lib.Tensor) -> tuple[lib.Tensor, lib.Tensor]:
        return x * 1

    def something(x: lib.Tensor) -> None:
        return x * 1

    def nothing(x: lib.Tensor) -> lib.Tensor:
        return None

    functions = (number, too_many, no_tuple, something, nothing)
    ops = [lib.library.custom_op(f"{fresh()}::{f.__name__}", f, mutates_args=()) for f in functions]
    return [text_of(lambda op=op: op(lib.ones(2)))[:24] for op in ops[:4]], ops[4](lib.ones(2))


@program
def kernels_by_device(lib: Any) -> Any:
    def plus(x: lib.Tensor) -> lib.Tensor:
        return x + 1

    op = lib.library.custom_op(f"{fresh()}::plus", plus, mutates_args=())
    x = lib.ones(2)
    found = [op(x)]
    op.register_kernel("cpu", lambda x: x + 2)
    found.append(op(x))
    with op.set_kernel_enabled("cpu", enabled=False):
        found.append(op(x))
    op.register_kernel(["cpu", "cuda"])(lambda x: x + 3)
    found.append(op(x))
    lib.library.register_kernel(op, "cpu", lambda x: x + 4)
    found.append(op(x))
    lib.library.register_kernel(op._qualname, "cpu")(lambda x: x + 5)
    found.append(op(x))
    only = lib.library.custom_op(f"{fresh()}::only", plus, mutates_args=(), device_types="cuda")
    return found, attempt(lambda: op.register_kernel("nothing", plus)), text_of(lambda: only(x))[:13]


@program
def without_tensors(lib: Any) -> Any:
    def on(device: lib.device) -> lib.Tensor:
        return lib.ones(3)

    def counted(n: int) -> lib.Tensor:
        return lib.ones(n)

    op = lib.library.custom_op(f"{fresh()}::on", on, mutates_args={}, device_types="cpu")
    free = lib.library.custom_op(f"{fresh()}::counted", counted, mutates_args={})
    refused = lambda: lib.library.custom_op(f"{fresh()}::no", counted, mutates_args={}, device_types="cpu")  # noqa: E731
    return op("cpu"), attempt(lambda: op("cuda")), attempt(lambda: op("meta")), free(2), attempt(refused)


@program
def names_and_schemas_that_are_none(lib: Any) -> Any:
    def f(x: lib.Tensor) -> lib.Tensor:
        return x * 1

    def by_name(x: lib.Tensor, *, y: lib.Tensor) -> lib.Tensor:
        return x

    make = lib.library.custom_op
    tries = [
        lambda: make("foo", f, mutates_args=()),
        lambda: make("a::b::c", f, mutates_args=()),
        lambda: make(f"{fresh()}::s", f, mutates_args=("x",), schema="(Tensor x) -> Tensor"),
        lambda: make(f"{fresh()}::s", f, mutates_args=(), schema="(Tensr x) -> Tensor"),
        lambda: make(f"{fresh()}::s", f, mutates_args=(), schema="(Tensor x -> Tensor"),
        lambda: make(f"{fresh()}::s", by_name, mutates_args=()),
        lambda: lib.library.register_vmap("nowhere::nothing", f),
        lambda: lib.library.register_autograd("nowhere::nothing", f),
        lambda: lib.library.register_fake("nothing", f),
        lambda: lib.library.register_fake(3, f),
        lambda: lib.library.get_kernel("nowhere::nothing", "CPU"),
        lambda: lib.library.get_kernel(3, "CPU"),
        lambda: lib.library.get_kernel("nowhere::nothing", "SOMETHING"),
        lib.library.fallthrough_kernel,
    ]
    with_schema = make(f"{fresh()}::s", lambda x: x * 2, mutates_args=(), schema="(Tensor x) -> Tensor")
    return [attempt(each) for each in tries], with_schema(lib.ones(2)), lib.library.get_ctx()


@program
def an_operator_is_made_anew(lib: Any) -> Any:
    namespace = fresh()
    for by in (2, 3):

        def times(x: lib.Tensor, by: int = by) -> lib.Tensor:
            return x * by

        op = lib.library.custom_op(f"{namespace}::times", times, mutates_args=())
    return op(lib.ones(2)), getattr(lib.ops, namespace).times(lib.ones(2), 5), repr(op).replace(namespace, "ns")


@program
def batches_by_a_rule(lib: Any) -> Any:
    def product(x: lib.Tensor, y: lib.Tensor, by: float = 1.0) -> lib.Tensor:
        return lib.from_numpy(x.detach().numpy() * y.detach().numpy() * by)

    op = lib.library.custom_op(f"{fresh()}::product", product, mutates_args=())
    seen = []

    @op.register_vmap
    def rule(info: Any, in_dims: Any, x: Any, y: Any, by: float = 1.0) -> Any:
        seen.append((info.batch_size, in_dims, by))
        x = x.movedim(in_dims[0], -1) if in_dims[0] is not None else x.unsqueeze(-1)
        y = y.movedim(in_dims[1], -1) if in_dims[1] is not None else y.unsqueeze(-1)
        return (x * y * by).movedim(-1, 0), 0

    x, y = leaf(lib, 2, 3).detach(), leaf(lib, 2, 3, seed=1).detach()
    return lib.vmap(op)(x, y), lib.vmap(op, in_dims=(0, None))(x, y[0]), seen


@program
def batches_by_a_rule_of_several_results(lib: Any) -> Any:
    def both(xs: list[lib.Tensor]) -> tuple[lib.Tensor, lib.Tensor]:
        return xs[0].detach() * 2, xs[1].detach() * 3

    op = lib.library.custom_op(f"{fresh()}::both", both, mutates_args=())
    lib.library.register_vmap(op, lambda info, in_dims, xs: ((xs[0] * 2, xs[1] * 3), (in_dims[0][0], in_dims[0][1])))
    x, y = leaf(lib, 2, 3).detach(), leaf(lib, 3, seed=1).detach()
    return lib.vmap(lambda a: op([a, y])[0])(x)


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_programs_do_as_in_torch(f: Callable[[Any], Any]) -> None:
    check(f, torch)


def test_a_kernel_disabled_in_vain_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    said = []
    for lib in (torch, gradcore):

        def f(x: lib.Tensor) -> lib.Tensor:
            return x * 1

        op = lib.library.custom_op("test_logged::f", f, mutates_args=())
        caplog.clear()
        with op.set_kernel_enabled("cpu", enabled=False), op.set_kernel_enabled("cpu", enabled=False):
            op.register_kernel("cpu", lambda x: x * 2)
            assert op(lib.ones(1)).item() == 1
        with op.set_kernel_enabled("cpu"):
            assert op(lib.ones(1)).item() == 2
        said.append([" ".join(each.split()) for each in caplog.messages if "Attempted" in each])
    assert said[0] == said[1]
    assert len(said[1]) == 4
