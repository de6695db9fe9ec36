"""`gradcheck` finds wrong derivatives and says which; beside torch where torch says as much."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore.autograd import gradcheck, gradgradcheck
from gradcore.autograd.gradcheck import GradcheckError
from tests.twin import attempt, same

torch = pytest.importorskip("torch")


def leaf(lib: Any, *shape: int, seed: int = 0, dtype: str = "float64") -> Any:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape) + (1j * rng.normal(size=shape) if "complex" in dtype else 0)
    return lib.tensor(values.tolist(), dtype=getattr(lib, dtype), requires_grad=True)


def custom(lib: Any, forward: Any, backward: Any) -> Any:
    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type("Custom", (lib.autograd.Function,), methods).apply


def wrong_sign(lib: Any) -> Any:
    return custom(lib, lambda ctx, x: (ctx.save_for_backward(x), x.sin())[1], lambda ctx, g: -g * ctx.saved_tensors[0].cos())


def right(lib: Any) -> Any:
    return custom(lib, lambda ctx, x: (ctx.save_for_backward(x), x.sin())[1], lambda ctx, g: g * ctx.saved_tensors[0].cos())


RIGHT: list[tuple[str, Callable[[Any], Any], tuple[Any, ...]]] = [
    ("product", lambda lib: lambda x, y: x * y, ((3,), (2, 3))),
    ("matrix product", lambda lib: lambda x, y: x @ y, ((2, 3), (3, 2))),
    ("several outputs", lambda lib: lambda x, y: (x.exp(), (x * y).sum()), ((3,), (3,))),
    ("sort", lambda lib: lambda x: x.sort(), ((4,),)),
    ("numbers among inputs", lambda lib: lambda x, n: x**n, ((3,), 3)),
    ("0-d", lambda lib: lambda x: x.tanh(), ((),)),
    ("nothing", lambda lib: lambda x: x.tanh(), ((0, 2),)),
    ("custom", right, ((2, 2),)),
    ("one input twice", lambda lib: lambda x: x * x, ((3,),)),
    ("a view of the input", lambda lib: lambda x: x[1:], ((3,),)),
]


@pytest.mark.parametrize("fast_mode", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize(("f", "shapes"), [c[1:] for c in RIGHT], ids=[c[0] for c in RIGHT])
def test_passes_what_is_right(f: Any, shapes: tuple[Any, ...], dtype: str, fast_mode: bool) -> None:
    if dtype == "complex128" and f is RIGHT[3][1]:
        pytest.skip("complex numbers have no order")

    def program(lib: Any) -> Any:
        xs = [leaf(lib, *s, seed=i, dtype=dtype) if isinstance(s, tuple) else s for i, s in enumerate(shapes)]
        before = [x.tolist() for x in xs if not isinstance(x, int)]
        both = [check(f(lib), xs, fast_mode=fast_mode) for check in (lib.autograd.gradcheck, lib.autograd.gradgradcheck)]
        return both, [x.tolist() for x in xs if not isinstance(x, int)] == before

    if f is RIGHT[7][1] and dtype == "complex128":  # sin's rule wants a conjugate there
        assert not gradcheck(f(gradcore), [leaf(gradcore, 2, 2, dtype=dtype)], raise_exception=False)
    else:
        same(program, torch)


def two_outputs(lib: Any, handles_none: bool) -> Any:
    def forward(ctx: Any, x: Any) -> Any:
        ctx.set_materialize_grads(False)
        return x * 2, x * 3

    def backward(ctx: Any, a: Any, b: Any) -> Any:
        if handles_none:
            return sum(g * k for g, k in ((a, 2), (b, 3)) if g is not None)
        return a * 2 + b * 3

    return custom(lib, forward, backward)


WRONG: list[tuple[str, Callable[[Any], Any], str]] = [
    ("sign", wrong_sign, "float64"),
    ("sign of one output", lambda lib: lambda x: (x * 2, wrong_sign(lib)(x)), "float64"),
    ("complex", right, "complex128"),
    ("constant gradient", lambda lib: custom(lib, lambda ctx, x: x * 1, lambda ctx, g: g * 0 + 1), "float64"),
    ("cut", lambda lib: lambda x: x * x.detach(), "float64"),
    ("all cut", lambda lib: lambda x: x.detach() * 2, "float64"),
]


@pytest.mark.parametrize("fast_mode", [False, True])
@pytest.mark.parametrize(("f", "dtype"), [c[1:] for c in WRONG], ids=[c[0] for c in WRONG])
def test_refuses_what_is_wrong(f: Any, dtype: str, fast_mode: bool) -> None:
    def program(lib: Any) -> Any:
        x = leaf(lib, 3, dtype=dtype)
        quiet = lib.autograd.gradcheck(f(lib), x, raise_exception=False, fast_mode=fast_mode)
        return quiet, attempt(lambda: lib.autograd.gradcheck(f(lib), (x,), fast_mode=fast_mode))[1]

    same(program, torch)
    with pytest.raises(GradcheckError):
        gradcheck(f(gradcore), leaf(gradcore, 3, dtype=dtype), fast_mode=fast_mode)


def test_outputs_without_derivatives_are_left_out() -> None:
    assert gradcheck(lambda x: (x.argmax(), x.exp(), x.detach()), leaf(gradcore, 3))


def test_a_right_function_of_two_outputs_passes() -> None:
    assert gradcheck(two_outputs(gradcore, True), leaf(gradcore, 3))
    with pytest.raises(GradcheckError, match="undefined output grads, that of output 0"):
        gradcheck(two_outputs(gradcore, False), leaf(gradcore, 3))


def test_a_gradient_that_is_wrong_without_another_is_refused() -> None:
    # Right with one cotangent and with three; the Jacobian of each output does not tell what happens with two.
    class Careless(gradcore.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.set_materialize_grads(False)
            return x * 2, x * 2, x * 2

        @staticmethod
        def backward(ctx: Any, *gs: Any) -> Any:
            given = [g for g in gs if g is not None]
            return 2 * (sum(given) if len(given) != 2 else given[0])

    with pytest.raises(GradcheckError, match="with zeros, without a gradient of output 0"):
        gradcheck(Careless.apply, leaf(gradcore, 3))
    assert gradcheck(Careless.apply, leaf(gradcore, 3), check_undefined_grad=False)


def test_a_wrong_second_derivative_is_refused() -> None:
    def first(x: Any) -> Any:
        return custom(gradcore, lambda ctx, x: x**2, lambda ctx, g: g * 2 * x.detach())(x)

    x = leaf(gradcore, 3)
    assert gradcheck(first, x)
    assert not gradgradcheck(first, x, raise_exception=False)
    assert gradgradcheck(lambda x: x**2, x, gradcore.ones(3, dtype=gradcore.float64, requires_grad=True))
    assert gradgradcheck(lambda x: x**2, x, gen_non_contig_grad_outputs=True)


def test_a_random_backward_is_refused() -> None:
    rng = np.random.default_rng(0)
    f = custom(gradcore, lambda ctx, x: x * 1, lambda ctx, g: g * (1 + 1e-7 * rng.random()))
    assert gradcheck(f, leaf(gradcore, 3), nondet_tol=1e-5)
    with pytest.raises(GradcheckError, match="not reentrant"):
        gradcheck(f, leaf(gradcore, 3))


def test_the_message_says_which_derivative() -> None:
    def forward(ctx: Any, x: Any, y: Any) -> Any:
        return x + y * 2

    f = custom(gradcore, forward, lambda ctx, g: (g, g * gradcore.tensor([[2, 2, 2], [2, 7, 2]])))
    x, y = leaf(gradcore, 2, 3), leaf(gradcore, 2, 3)
    with pytest.raises(GradcheckError) as caught:
        gradcheck(f, (x, y))
    message = str(caught.value)
    assert message.startswith("Jacobian mismatch for output 0 with respect to input 1,")
    assert "of output element [1, 1] by input element [1, 1]" in message
    expected, got = map(float, re.findall(r"(?:expected|got) ([-\d.e]+)", message))
    assert (expected, got) == (pytest.approx(2, rel=1e-6), 7)
    assert "1 of 36 derivatives" in message


@pytest.mark.parametrize(
    "call",
    [
        lambda lib: lib.autograd.gradcheck(lambda x: x, lib.ones(2, dtype=lib.float64)),
        lambda lib: lib.autograd.gradcheck(lambda x: x, ()),
        lambda lib: lib.autograd.gradcheck(lambda x: x * 2, leaf(lib, 1).expand(3)),
        lambda lib: lib.autograd.gradcheck(lambda x: x * 2, leaf(lib, 3, dtype="float32"), raise_exception=False, eps=1e-9),
    ],
)
def test_wrong_inputs_as_torch(call: Callable[[Any], Any]) -> None:
    same(lambda lib: attempt(lambda: call(lib)), torch, may_raise=True)


def test_too_coarse_a_dtype_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="Input #0 requires gradient and is not a double precision"):
        gradcheck(lambda x: x * 2, leaf(gradcore, 2, dtype="float32"), eps=1e-2, atol=1e-2)


# -- forward mode, batches, and the Jacobians themselves ----------------------------------------------------------------


@pytest.mark.parametrize("fast_mode", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize(("f", "shapes"), [c[1:] for c in RIGHT if c[0] != "custom"])
def test_forward_mode_and_batches_of_what_is_right(f: Any, shapes: tuple[Any, ...], dtype: str, fast_mode: bool) -> None:
    if dtype == "complex128" and f is RIGHT[3][1]:
        pytest.skip("complex numbers have no order")
    batches = {"check_batched_grad": True, "check_batched_forward_grad": True}

    def program(lib: Any) -> Any:
        xs = [leaf(lib, *s, seed=i, dtype=dtype) if isinstance(s, tuple) else s for i, s in enumerate(shapes)]
        how = {} if lib is torch and dtype == "complex128" else batches  # torch's batches are of real numbers
        return [
            lib.autograd.gradcheck(f(lib), xs, check_forward_ad=True, fast_mode=fast_mode, **how),
            lib.autograd.gradcheck(f(lib), xs, check_forward_ad=True, check_backward_ad=False, fast_mode=fast_mode),
            lib.autograd.gradgradcheck(f(lib), xs, check_fwd_over_rev=True, fast_mode=fast_mode),
            lib.autograd.gradgradcheck(
                f(lib), xs, check_fwd_over_rev=True, check_rev_over_rev=False, check_undefined_grad=False
            ),
        ]

    same(program, torch)


def wrong_tangent(lib: Any, scale: float) -> Any:
    """The sine, of which backward is right and jvp is `scale` times too large."""

    class Sine(lib.autograd.Function):
        @staticmethod
        def forward(x: Any) -> Any:
            return x.sin()

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.saved_tensors[0].cos()

        @staticmethod
        def jvp(ctx: Any, t: Any) -> Any:
            return t * ctx.saved_tensors[0].cos() * scale

    return Sine.apply


@pytest.mark.parametrize("fast_mode", [False, True])
def test_a_wrong_tangent_is_refused(fast_mode: bool) -> None:
    def program(lib: Any) -> Any:
        x = leaf(lib, 3)
        forward = {"check_forward_ad": True, "fast_mode": fast_mode}
        check = lib.autograd.gradcheck
        return [
            check(wrong_tangent(lib, 1.0), x, **forward),
            check(wrong_tangent(lib, 2.0), x),
            check(wrong_tangent(lib, 2.0), x, raise_exception=False, **forward),
            attempt(lambda: check(wrong_tangent(lib, 2.0), x, **forward))[1],
            attempt(lambda: check(wrong_tangent(lib, 2.0), x, check_backward_ad=False, **forward))[1],
        ]

    same(program, torch)
    with pytest.raises(GradcheckError, match=r"Jacobian computed with forward mode mismatch for output 0 .* input 0,"):
        gradcheck(wrong_tangent(gradcore, 2.0), leaf(gradcore, 3), check_forward_ad=True, fast_mode=fast_mode)


def test_a_function_that_is_another_in_a_batch_is_refused() -> None:
    class Doubled(gradcore.autograd.Function):
        """Right by itself; in a batch its gradient is twice too large."""

        @staticmethod
        def forward(x: Any) -> Any:
            return x * 3

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            pass

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return Threefold.apply(g)

        @staticmethod
        def jvp(ctx: Any, t: Any) -> Any:
            return Threefold.apply(t)

    class Threefold(gradcore.autograd.Function):
        @staticmethod
        def forward(g: Any) -> Any:
            return g * 3

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            pass

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 3

        @staticmethod
        def vmap(info: Any, in_dims: Any, g: Any) -> Any:
            return g * 6, in_dims[0]

    x = leaf(gradcore, 3)
    assert gradcheck(Doubled.apply, x, check_forward_ad=True)
    for options, words in (
        ({"check_batched_grad": True}, "gradients of output 0"),
        ({"check_forward_ad": True, "check_batched_forward_grad": True}, "tangents of input 0"),
    ):
        with pytest.raises(GradcheckError, match=words):
            gradcheck(Doubled.apply, x, **options)
        assert not gradcheck(Doubled.apply, x, raise_exception=False, **options)


@pytest.mark.parametrize(
    ("check", "options"),
    [
        ("gradcheck", {"check_backward_ad": False}),
        ("gradcheck", {"check_backward_ad": False, "check_forward_ad": True, "check_batched_grad": True}),
        ("gradcheck", {"check_batched_forward_grad": True}),
        ("gradgradcheck", {"check_rev_over_rev": False}),
        ("gradgradcheck", {"check_rev_over_rev": False, "check_fwd_over_rev": True}),
        ("gradgradcheck", {"check_rev_over_rev": False, "check_fwd_over_rev": True, "check_undefined_grad": False,
                           "check_batched_grad": True}),
    ],
)  # fmt: skip
def test_options_that_contradict_one_another(check: str, options: dict[str, bool]) -> None:
    same(lambda lib: getattr(lib.autograd, check)(lambda x: x.exp(), leaf(lib, 2), **options), torch, may_raise=True)


def test_jacobians_as_matrices() -> None:
    def program(lib: Any) -> Any:
        G = import_module(f"{lib.__name__}.autograd.gradcheck")
        x, y, z = leaf(lib, 2, seed=1), leaf(lib, 2, 2, seed=2), leaf(lib, 2, seed=3, dtype="complex128")
        f = lambda given: ((given[0] * given[1]).sum(0), given[0].exp())  # noqa: E731
        g = lambda given: (given[0] * given[0]).real  # noqa: E731
        out, of_complex = f((x, y))[0], g((z,))
        return [
            G.get_numerical_jacobian(f, (x, y)),
            G.get_numerical_jacobian(f, (x, y), target=y, eps=1e-4),
            G.get_numerical_jacobian(lambda given: (x * given[1]).sum(0), (3, y), target=[x]),
            G.get_numerical_jacobian(g, (z,)),
            G.get_numerical_jacobian_wrt_specific_input(lambda *given: f(given), 1, (x, y), f((x, y)), 1e-4),
            G.get_analytical_jacobian((x, y), out),
            G.get_analytical_jacobian((x, z), of_complex),
            attempt(lambda: G.get_numerical_jacobian(f, (x, y), grad_out=2.0)),
            attempt(lambda: G.get_analytical_jacobian((x, y), out, grad_out=2.0)),
            attempt(lambda: G.get_numerical_jacobian(lambda given: given[0] * 1j, (x,))),
            attempt(lambda: G.get_analytical_jacobian((x,), x * 1j)),
            attempt(lambda: G.get_numerical_jacobian_wrt_specific_input(lambda x: x, 0, (x.detach(),), x, 1e-3))[1],
        ]

    same(program, torch)


@pytest.mark.parametrize("name", ["get_numerical_jacobian", "get_analytical_jacobian"])
def test_jacobians_as_matrices_are_deprecated(name: str) -> None:
    def program(lib: Any) -> Any:
        G, x = import_module(f"{lib.__name__}.autograd.gradcheck"), leaf(lib, 2)
        with pytest.warns(FutureWarning, match=name):
            (getattr(G, name)((lambda given: given[0].exp()), (x,)) if "num" in name else getattr(G, name)((x,), x.exp()))

    program(torch)
    program(gradcore)
