"""Libraries of operators, what is registered by name, and opcheck, as programs that torch runs too."""

# No annotations as strings here: infer_schema would not find the names of functions' variables.
import gc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.operators_beside import check, fresh, leaf, text_of
from tests.twin import Programs, attempt

torch = pytest.importorskip("torch")

program = PROGRAMS = Programs()


# -- libraries --------------------------------------------------------------------------------------------------------


@program
def a_library(lib: Any) -> Any:
    namespace = fresh()
    library = lib.library.Library(namespace, "DEF")
    name = library.define("foo(Tensor x, int[] dims, float? eps=None, *, bool flag=False) -> (Tensor, Tensor)")
    packet = getattr(getattr(lib.ops, namespace), name)
    before = attempt(lambda: packet(lib.ones(3), [0]))[1]
    library.impl("foo", lambda x, dims, eps=None, *, flag=False: (x * (eps or 3), x.sum(dims) + flag), "CPU")
    x = lib.ones(3)
    calls = [
        lambda: packet(x, [0]),
        lambda: packet(x, (0,), 2),
        lambda: packet(x, [0], eps=2.5, flag=True),
        lambda: packet(x, dims=[0], flag=1),
        lambda: packet(x),
        lambda: packet(x, [0], 1.0, True),
        lambda: packet(x, 0),
        lambda: packet(x, [0.5]),
        lambda: packet(x, [0], eps="a"),
        lambda: packet(x, [0], wrong=3),
        lambda: packet(1, [0]),
        lambda: packet(x, [0], 1, 2, 3),
    ]
    shown = [repr(packet), repr(packet.default), str(packet.default._schema), packet.default.name(), packet.overloads()]
    again = [
        attempt(lambda: lib.library.Library(namespace, "DEF"))[1],
        attempt(lambda: library.define("foo(Tensor x) -> Tensor")),
        attempt(lambda: library.define("other::bar(Tensor x) -> Tensor")),
        attempt(lambda: library.impl("foo", 3, "CPU")),
        attempt(lambda: library.impl("foo", print, "NOWHERE")),
        attempt(lambda: library.impl("foo", print, "CPU", allow_override=False)),
        attempt(lambda: lib.library.Library(namespace, "IMPL").define("bar(Tensor x) -> Tensor")),
        attempt(lambda: lib.library.Library(namespace, "SOMETHING")),
        attempt(lambda: lib.library.Library("prim", "DEF")),
        attempt(lambda: packet.other),
        attempt(lambda: getattr(lib.ops, namespace).other),
    ]
    return before, [attempt(each) for each in calls], [each.replace(namespace, "ns") for each in shown[:4]], again


@program
def a_library_ends(lib: Any) -> Any:
    namespace = fresh()
    library = lib.library.Library(namespace, "DEF")
    library.define("foo(Tensor x) -> Tensor")
    library.impl("foo", lambda x: x * 2, "CPU")
    over = lib.library.Library(namespace, "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        over.impl("foo", lambda x: x * 3, "CPU")
    op = getattr(lib.ops, namespace).foo
    found = [op(lib.ones(1))]
    over._destroy()
    found.append(op(lib.ones(1)))
    library._destroy()
    after = [
        attempt(lambda: getattr(lib.ops, namespace).foo),
        attempt(lambda: library.define("a(Tensor x) -> Tensor")),
        attempt(lambda: library.impl("a", print)),
    ]
    again = lib.library.Library(namespace, "DEF")
    again.define("foo(Tensor x) -> Tensor")
    there = hasattr(getattr(lib.ops, namespace), "foo")
    del again
    gc.collect()
    return found, after, there, hasattr(getattr(lib.ops, namespace), "foo")


@program
def overloads(lib: Any) -> Any:
    namespace = fresh()
    library = lib.library.Library(namespace, "FRAGMENT")
    library.define("foo(Tensor x, int n) -> Tensor")
    library.define("foo.tensor(Tensor x, Tensor n) -> Tensor")
    library.impl("foo", lambda x, n: x * n, "CompositeImplicitAutograd")
    library.impl("foo.tensor", lambda x, n: x * n + 100, "CompositeImplicitAutograd")
    packet = getattr(lib.ops, namespace).foo
    x = lib.ones(2)
    return packet(x, 3), packet(x, x), packet.overloads(), attempt(lambda: packet(x, "a")), packet.tensor(x, x)


@program
def keys(lib: Any) -> Any:
    namespace = fresh()
    library = lib.library.Library(namespace, "FRAGMENT")
    x = leaf(lib, 2)

    class Ten(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.detach() * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 10

    def op(name: str, **kernels: Any) -> Any:
        library.define(f"{name}(Tensor x) -> Tensor")
        for key, kernel in kernels.items():
            library.impl(name, kernel, key)
        return getattr(getattr(lib.ops, namespace), name)

    ops = [
        op("composed", CompositeImplicitAutograd=lambda x: x.sin() * 2),
        op("own", CPU=lambda x: x * 2, Autograd=Ten.apply),
        op("by_device", CPU=lambda x: x * 2, AutogradCPU=lambda x: x.cos(), AutogradCUDA=lambda x: x * 9),
        op("kernel_first", CompositeImplicitAutograd=lambda x: x * 5, CPU=lambda x: x.exp(), Autograd=Ten.apply),
        op("everywhere", CompositeExplicitAutograd=lambda x: x * 7, Autograd=Ten.apply),
    ]
    library.define("default(Tensor x) -> Tensor")
    library.impl("default", lambda x: x.tan())
    ops.append(getattr(lib.ops, namespace).default)
    results = [(op(x), lib.autograd.grad(op(x).sum(), x), op(x.detach())) for op in ops]
    refused = attempt(lambda: library.impl("composed", lambda x: x, "Meta"))
    kernel = lib.library.get_kernel(f"{namespace}::everywhere", "CPU")
    return results, refused, type(kernel.call_boxed).__name__ != ""


@program
def a_kernel_around_another(lib: Any) -> Any:
    library = lib.library.Library(fresh(), "FRAGMENT")
    library.define("foo(Tensor x, float by=2) -> Tensor")
    library.impl("foo", lambda x, by=2: x * by, "CPU")
    op = getattr(lib.ops, library.ns).foo
    original = lib.library.get_kernel(op.default, "CPU")

    def only_negative(keys: Any, x: Any, by: float = 2) -> Any:
        return original.call_boxed(keys, x, by) if (x < 0).any() else lib.zeros_like(x)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library.impl("foo", only_negative, "CPU", with_keyset=True)
    return op(lib.ones(2)), op(-lib.ones(2)), op(-lib.ones(2), 5.0)


@program
def a_fallthrough_and_a_rule_for_a_composition(lib: Any) -> Any:
    library = lib.library.Library(fresh(), "FRAGMENT")
    for name in ("through", "composed"):
        library.define(f"{name}(Tensor x) -> Tensor")
    library.impl("through", lambda x: x * 3, "CPU")
    library.impl("through", lib.library.fallthrough_kernel, "Autograd")
    library.impl("composed", lambda x: x * 3, "CompositeImplicitAutograd")
    lib.library.register_vmap(f"{library.ns}::composed", lambda info, in_dims, x: (x * 5, in_dims[0]))
    namespace, x = getattr(lib.ops, library.ns), leaf(lib, 2, 3)
    return namespace.through(x), lib.autograd.grad(namespace.through(x).sum(), x), lib.vmap(namespace.composed)(x.detach())


@program
def kernels_without_a_derivative(lib: Any) -> Any:
    namespace = fresh()
    library = lib.library.Library(namespace, "FRAGMENT")
    found = []
    for name, kernel in (("composed", lambda x: x * 2), ("apart", lambda x: lib.from_numpy(x.detach().numpy() * 2))):
        library.define(f"{name}(Tensor x) -> Tensor")
        library.impl(name, kernel, "CPU")
        x = leaf(lib, 2)
        y = getattr(getattr(lib.ops, namespace), name)(x)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            y.sum().backward()
        said = [str(each.message).replace(namespace, "ns")[:120] for each in caught if "ns" in str(each.message) or True]
        found.append((y.detach(), y.requires_grad, x.grad, said[:1]))
    return found


@program
def functions_by_name(lib: Any) -> Any:
    L, namespace = lib.library, fresh()
    L.define(f"{namespace}::foo", "(Tensor x) -> Tensor")
    op = getattr(lib.ops, namespace).foo
    early = attempt(lambda: L.impl(f"{namespace}::later", "cpu", lambda x: x * 9))
    L.define(f"{namespace}::later", "(Tensor x) -> Tensor")

    @L.impl(f"{namespace}::foo", "cpu")
    def _(x: Any) -> Any:
        return lib.from_numpy(np.sin(x.detach().numpy()))

    L.register_autograd(
        f"{namespace}::foo",
        lambda ctx, g: g * ctx.saved_tensors[0].cos(),
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
    )
    L.register_vmap(f"{namespace}::foo", lambda info, in_dims, x: (x.sin(), in_dims[0]))

    @L.register_fake(f"{namespace}::foo")
    def _(x: Any) -> Any:
        return lib.empty_like(x)

    x = leaf(lib, 2, 3)
    wrong = [
        lambda: L.define(namespace, "(Tensor x) -> Tensor"),
        lambda: L.define(f"{namespace}::bar", "bar(Tensor x) -> Tensor"),
        lambda: L.define(f"{namespace}::bar", "Tensor x -> Tensor"),
        lambda: L.define(3, "(Tensor x) -> Tensor"),
        lambda: L.impl(f"{namespace}::foo", "nowhere", print),
        lambda: L.register_fake(f"{namespace}::foo", print, allow_override=False),
    ]
    results = [early, getattr(lib.ops, namespace).later(lib.ones(1)), op(x.detach()), lib.autograd.grad(op(x).sum(), x)]
    return results, lib.vmap(op)(x.detach()), [attempt(each) for each in wrong]


@program
def decorators_of_old(lib: Any) -> Any:
    library = lib.library.Library(fresh(), "FRAGMENT")

    @lib.library.define(library, "foo(Tensor x) -> Tensor")
    def foo(x: Any) -> Any:
        return x * 2

    library.define("bar(Tensor x) -> Tensor")

    @lib.library.impl(library, "bar", "CPU")
    def bar(x: Any) -> Any:
        return x * 3

    namespace = getattr(lib.ops, library.ns)
    with pytest.warns(FutureWarning, match="was renamed to"):
        lib.library.impl_abstract(f"{library.ns}::bar", lambda x: x)
    return namespace.foo(lib.ones(2)), namespace.bar(lib.ones(2)), foo(lib.ones(1)), bar(lib.ones(1))


# -- opcheck ----------------------------------------------------------------------------------------------------------


def verdict(
    lib: Any, op: Any, args: Any, tests: Any = ("test_schema", "test_autograd_registration", "test_faketensor")
) -> Any:
    """What the checks found, in words up to the first colon."""
    found = lib.library.opcheck(op, args, test_utils=tests, raise_exception=False)
    return {name: getattr(each, "reason", str(each)) for name, each in found.items()}


@program
def opcheck_of_good_operators(lib: Any) -> Any:
    def numpy_mul(x: lib.Tensor, y: float) -> lib.Tensor:
        return lib.from_numpy(x.numpy(force=True) * y)

    def rows(x: lib.Tensor) -> lib.Tensor:
        return lib.from_numpy(np.ascontiguousarray(np.argwhere(x.numpy())))

    def scale(x: lib.Tensor) -> None:
        x.mul_(2)

    mul = lib.library.custom_op(f"{fresh()}::numpy_mul", numpy_mul, mutates_args=())
    mul.register_fake(lambda x, y: lib.empty_like(x))
    mul.register_autograd(
        lambda ctx, g: (g * ctx.y, None), setup_context=lambda ctx, inputs, output: setattr(ctx, "y", inputs[1])
    )
    positions = lib.library.custom_op(f"{fresh()}::rows", rows, mutates_args=())
    size = lambda: lib.library.get_ctx().new_dynamic_size()  # noqa: E731
    positions.register_fake(lambda x: x.new_empty([size(), x.dim()], dtype=lib.int64))
    scaled = lib.library.custom_op(f"{fresh()}::scale", scale, mutates_args={"x"})
    library = lib.library.Library(fresh(), "FRAGMENT")
    library.define("composed(Tensor x) -> Tensor")
    library.impl("composed", lambda x: x.sin() * 2, "CompositeImplicitAutograd")
    composed = getattr(lib.ops, library.ns).composed
    x = leaf(lib, 2, 3)
    samples = [
        (mul, (x, 3.0)),
        (mul, (x.detach(), 3.0)),
        (positions, (x.detach(),)),
        (scaled, (x.detach(),)),
        (composed, (x,)),
    ]
    return [verdict(lib, op, args) for op, args in samples]


@program
def opcheck_of_bad_operators(lib: Any) -> Any:
    def writes(x: lib.Tensor) -> lib.Tensor:
        x.sin_()
        return x * 1

    def plain(x: lib.Tensor) -> lib.Tensor:
        return x * 1

    make, namespace = lib.library.custom_op, fresh()
    liar = make(f"{fresh()}::writes", writes, mutates_args=())
    liar.register_fake(lambda x: lib.empty_like(x))
    untold = make(f"{fresh()}::untold", plain, mutates_args=())
    x = leaf(lib, 2, 3)
    found = [verdict(lib, liar, (x.detach(),))["test_schema"], verdict(lib, untold, (x,))["test_faketensor"][:40]]
    for fake in (lambda x: x.new_empty(3), lambda x: x.new_empty((2, 3), dtype=lib.int32), lambda x: x.new_empty((3, 2))):
        told = make(f"{namespace}::told", plain, mutates_args=())
        told.register_fake(fake)
        found.append(verdict(lib, told, (x.detach(),))["test_faketensor"].replace(namespace, "ns").replace("float64", "f64"))
    library = lib.library.Library(fresh(), "FRAGMENT")
    library.define("alias(Tensor x) -> Tensor")
    library.impl("alias", lambda x: x, "CompositeExplicitAutograd")
    library.define("inner(Tensor x) -> Tensor")
    library.impl("inner", lambda x: x.sin(), "CPU")
    namespace = getattr(lib.ops, library.ns)
    found.append(verdict(lib, namespace.alias, (x.detach(),), "test_schema"))
    found.append(
        verdict(lib, namespace.inner, (x,), "test_autograd_registration")["test_autograd_registration"][-800:][20:90]
    )
    found.append(text_of(lambda: lib.library.opcheck(liar, (x.detach(),))))
    found.append(attempt(lambda: lib.library.opcheck(liar, (x,), test_utils="nothing")))
    found.append(attempt(lambda: lib.library.opcheck(plain, (x,))))
    found.append(attempt(lambda: lib.library.opcheck(liar, (x,), rtol=1)))
    return found


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_programs_do_as_in_torch(f: Callable[[Any], Any]) -> None:
    check(f, torch)
