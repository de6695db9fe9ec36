"""Operators of one's own (gradcore.library) under transforms and on devices, what is refused, and what is left behind."""

# No annotations as strings here: infer_schema would not find the names of functions' variables.
import gc
import subprocess
import sys
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcore
from tests.operators_beside import fresh, leaf, numpy_sin


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)


def test_derivatives_of_every_kind_are_those_of_the_formula() -> None:
    sine, x = numpy_sin(gradcore), leaf(gradcore, 3).detach()
    func, one = gradcore.func, gradcore.ones(3, dtype=gradcore.float64)
    close(func.jvp(sine, (x,), (one * 2,))[1], 2 * x.cos())
    close(func.jvp(lambda t: func.jvp(sine, (t,), (one,))[1], (x,), (one,))[1], -x.sin())
    close(func.vjp(sine, x)[1](one)[0], x.cos())
    close(func.jacrev(sine)(x), x.cos().diag())
    close(func.jacfwd(sine)(x), x.cos().diag())
    close(func.hessian(lambda t: sine(t).sum())(x), (-x.sin()).diag())
    close(func.grad(lambda t: func.grad(lambda s: sine(s).sum())(t).sum())(x), -x.sin())


def test_gradcheck_of_an_operator_in_both_modes() -> None:
    sine, x = numpy_sin(gradcore), leaf(gradcore, 3)
    assert gradcore.autograd.gradcheck(sine, (x,), check_forward_ad=True, check_batched_grad=False)
    assert gradcore.autograd.gradgradcheck(sine, (x,))


def test_a_batch_without_a_rule_runs_one_by_one() -> None:
    runs = []

    def through_numpy(x: gradcore.Tensor, y: gradcore.Tensor) -> tuple[gradcore.Tensor, gradcore.Tensor, int]:
        runs.append((type(x.detach().numpy()), x.shape))
        a = x.detach().numpy()
        return gradcore.from_numpy(np.asarray(a * a.sum())), gradcore.from_numpy(np.exp(y.detach().numpy())), 3

    op = gradcore.library.custom_op(f"{fresh()}::through_numpy", through_numpy, mutates_args=())
    x, y = leaf(gradcore, 4, 3).detach(), leaf(gradcore, 2).detach()
    with pytest.warns(UserWarning, match="performance drop because we have not yet implemented the batching rule"):
        first, second, third = gradcore.vmap(lambda t: op(t, y), out_dims=(0, 0, None))(x)
    close(first, x * x.sum(1, keepdim=True))
    close(second, y.exp().expand(4, 2))
    assert third == 3
    assert set(runs) == {(np.ndarray, (3,))}
    with pytest.raises(RuntimeError, match="does not support vmap over dims of size 0"):
        gradcore.vmap(lambda t: op(t, y)[0])(x[:0])


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_transforms_nest_around_an_operator_without_a_rule() -> None:
    sine, func = numpy_sin(gradcore), gradcore.func
    x, t = leaf(gradcore, 4, 3).detach(), leaf(gradcore, 4, 3, seed=1).detach()
    close(gradcore.vmap(gradcore.vmap(sine))(x), x.sin())
    close(gradcore.vmap(lambda a, b: func.jvp(sine, (a,), (b,))[1])(x, t), t * x.cos())
    close(func.jvp(gradcore.vmap(sine), (x,), (t,))[1], t * x.cos())
    close(gradcore.vmap(func.grad(lambda a: func.grad(lambda b: sine(b).sum())(a).sum()))(x), -x.sin())
    close(func.grad(lambda a: gradcore.vmap(lambda b: sine(b).sum())(a).sum())(x), x.cos())
    close(func.hessian(lambda a: gradcore.vmap(sine)(a).sum())(x).sum((2, 3)), -x.sin())
    close(gradcore.vmap(func.jacfwd(sine))(x), x.cos().diag_embed())


def test_an_operator_that_writes_has_no_batches_without_a_rule() -> None:
    def scale(x: gradcore.Tensor) -> None:
        x.mul_(2)

    op = gradcore.library.custom_op(f"{fresh()}::scale", scale, mutates_args=("x",))
    x = gradcore.ones(2, 3)
    with pytest.raises(RuntimeError, match="Batching rule not implemented"):
        gradcore.vmap(op)(x)
    assert x.tolist() == gradcore.ones(2, 3).tolist()


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_a_kernel_without_a_derivative_takes_batches() -> None:
    library = gradcore.library.Library(fresh(), "FRAGMENT")
    library.define("sine(Tensor x) -> Tensor")
    library.impl("sine", lambda x: gradcore.from_numpy(np.sin(x.numpy())), "CPU")
    x = leaf(gradcore, 4, 3).detach()
    close(gradcore.vmap(getattr(gradcore.ops, library.ns).sine)(x), x.sin())


def test_gradients_of_each_sample_go_through_an_operator() -> None:
    sine, x = numpy_sin(gradcore), leaf(gradcore, 4, 3).detach()
    sine.register_vmap(lambda info, in_dims, t: (sine(t), in_dims[0]))
    sample = gradcore.func.grad(lambda t: (sine(t) * t).sum())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cosine of its backward has no rule
        close(gradcore.vmap(sample)(x), x.sin() + x * x.cos())


def test_gradients_through_a_rule_for_batches() -> None:
    def twice(x: gradcore.Tensor) -> gradcore.Tensor:
        return gradcore.from_numpy(x.detach().numpy() * 2)

    op = gradcore.library.custom_op(f"{fresh()}::twice", twice, mutates_args=())
    op.register_autograd(lambda ctx, g: op(g))
    op.register_vmap(lambda info, in_dims, x: (op(x), in_dims[0]))
    x = leaf(gradcore, 4, 3)
    (g,) = gradcore.autograd.grad((gradcore.vmap(op)(x) ** 2).sum(), x)
    close(g, 8 * x.detach())
    close(gradcore.vmap(gradcore.func.grad(lambda t: (op(t) ** 2).sum()))(x.detach()), 8 * x.detach())
    close(gradcore.func.jacrev(op)(x[0].detach()), 2 * gradcore.eye(3, dtype=gradcore.float64))


def test_memory_shared_behind_numpy_is_seen() -> None:
    def through_numpy(x: gradcore.Tensor) -> gradcore.Tensor:
        return gradcore.from_numpy(x.detach().numpy())

    op = gradcore.library.custom_op(f"{fresh()}::through_numpy", through_numpy, mutates_args=())
    with pytest.raises(RuntimeError, match="may not alias any inputs"):
        op(gradcore.ones(2))


def test_a_graph_with_an_operator_is_freed() -> None:
    def add(x: gradcore.Tensor, y: gradcore.Tensor) -> gradcore.Tensor:
        return x + y

    sine, plus = numpy_sin(gradcore), gradcore.library.custom_op(f"{fresh()}::add", add, mutates_args=())
    plus.register_autograd(lambda ctx, g: (g, g))
    gc.collect()
    gc.disable()
    try:
        x = leaf(gradcore, 3)
        y = sine(x * 1)
        alive = [weakref.ref(y), weakref.ref(y.grad_fn)]
        gradcore.autograd.grad(y.sum(), x)
        del y
        assert [ref() for ref in alive] == [None, None]
        inner = x.detach() * 1
        needless = inner._array.base if inner._array.base is not None else inner._array
        needless, y = weakref.ref(needless), plus(x, inner)
        del inner
        assert needless() is None, "what no formula saved is kept by the graph"
        assert y.requires_grad
    finally:
        gc.enable()


def test_the_kernel_of_the_device_runs(strict_cuda: Any) -> None:
    ran = []

    def double(x: gradcore.Tensor) -> gradcore.Tensor:
        ran.append("any")
        return x * 2

    op = gradcore.library.custom_op(f"{fresh()}::double", double, mutates_args=(), device_types="cpu")
    x = leaf(gradcore, 3)
    there = x.detach().to("cuda").requires_grad_()
    with pytest.raises(NotImplementedError, match=r"arguments from the 'CUDA' backend.*\[CPU\]"):
        op(there)

    @op.register_kernel("cuda")
    def _(x: Any) -> Any:
        ran.append("cuda")
        return x * 2

    op.register_autograd(lambda ctx, g: op(g))
    for t in (x, there):
        y = op(t)
        (g,) = gradcore.autograd.grad(y.sum(), t)
        assert y.device == g.device == t.device
        close(y.detach().cpu(), 2 * x.detach())
        close(g.cpu(), 0 * x.detach() + 2)
    assert ran == ["any", "any", "cuda", "cuda"]


def test_a_mixed_call_is_of_the_device(strict_cuda: Any) -> None:
    def scaled(xs: list[gradcore.Tensor], by: float) -> gradcore.Tensor:
        return xs[0] * by

    op = gradcore.library.custom_op(f"{fresh()}::scaled", scaled, mutates_args=())
    op.register_kernel("cuda", lambda xs, by: xs[0] * by + 1)
    here, there = gradcore.ones(2), gradcore.ones(2, device="cuda")
    assert op([here, here], 2).tolist() == [2, 2]
    assert op([here, there], 2).tolist() == [3, 3]


def test_a_kernel_of_autograd_finds_the_device_below() -> None:
    library = gradcore.library.Library(fresh(), "FRAGMENT")
    library.define("twice(Tensor x) -> Tensor")
    op = getattr(gradcore.ops, library.ns).twice

    class Twice(gradcore.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return op(x)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return op(g)

    library.impl("twice", lambda x: gradcore.from_numpy(x.detach().numpy() * 2), "CPU")
    library.impl("twice", Twice.apply, "Autograd")
    x = leaf(gradcore, 3)
    (g,) = gradcore.autograd.grad((op(x) ** 2).sum(), x, create_graph=True)
    close(g.detach(), 8 * x.detach())
    close(gradcore.autograd.grad(g.sum(), x)[0], 0 * x.detach() + 8)
    library.impl("twice", lambda x: 1 / 0, "AutogradCPU")
    with pytest.raises(ZeroDivisionError):
        op(x)
    with pytest.raises(ZeroDivisionError):
        op(x)  # still: an exception does not leave the operator inside itself


def test_opcheck_runs_the_whole() -> None:
    runs = []

    def counted(x: gradcore.Tensor) -> gradcore.Tensor:
        runs.append(1)
        return x * len(runs)

    def sine(x: gradcore.Tensor) -> gradcore.Tensor:
        return gradcore.from_numpy(np.sin(x.detach().numpy()))

    sines = gradcore.library.custom_op(f"{fresh()}::sine", sine, mutates_args=())
    sines.register_fake(lambda x: gradcore.empty_like(x))
    tests = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")
    x = leaf(gradcore, 3)
    found = gradcore.library.opcheck(sines, (x,), raise_exception=False)
    assert [found[name] for name in tests[:3]] == ["SUCCESS"] * 3
    assert "no autograd formula was registered" in str(found[tests[3]])

    sines.register_autograd(
        lambda ctx, g: g * ctx.saved_tensors[0].cos(),
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
    )
    assert gradcore.library.opcheck(sines, (x,)) == dict.fromkeys(tests, "SUCCESS")
    sines.register_autograd(lambda ctx, g: g * len(runs.append(1) or runs))
    with pytest.raises(gradcore.library.OpCheckError, match="gradients of two runs differ"):
        gradcore.library.opcheck(sines, (x,))
    unstable = gradcore.library.custom_op(f"{fresh()}::counted", counted, mutates_args=())
    with pytest.raises(gradcore.library.OpCheckError, match="results of two runs differ"):
        gradcore.library.opcheck(unstable, (x.detach(),), test_utils="test_aot_dispatch_dynamic")


def test_a_fake_implementation_sees_no_values() -> None:
    def positive(x: gradcore.Tensor) -> gradcore.Tensor:
        return gradcore.from_numpy(x.numpy()[x.numpy() > 0])

    op = gradcore.library.custom_op(f"{fresh()}::positive", positive, mutates_args=())
    x = gradcore.tensor([1.0, -1.0, 2.0])
    op.register_fake(lambda x: x.new_empty(3))
    with pytest.raises(gradcore.library.OpCheckError, match="Shapes"):
        gradcore.library.opcheck(op, (x,))
    for bounds in ({"max": 9}, {"max": 3}, {"min": 2, "max": 3}, {"min": 2}, {"max": 1}):
        op.register_fake(lambda x, bounds=bounds: x.new_empty(gradcore.library.get_ctx().new_dynamic_size(**bounds)))
        gradcore.library.opcheck(op, (x,))
    op.register_fake(lambda x: x.new_empty(gradcore.library.get_ctx().new_dynamic_size(min=-1)))
    with pytest.raises(gradcore.library.OpCheckError, match="min to be greater than or equal to 0"):
        gradcore.library.opcheck(op, (x,))
    assert gradcore.library.get_ctx() is None


def test_what_has_no_counterpart_is_refused() -> None:
    sine, library = numpy_sin(gradcore), gradcore.library
    for call, said in (
        (lambda: library.wrap_triton(print), "cupy.RawKernel"),
        (lambda: sine.register_autocast("cuda", gradcore.float16), "no automatic mixed precision"),
        (lambda: library.register_autocast(sine, "cuda", gradcore.float16), "no automatic mixed precision"),
        (lambda: sine.register_torch_dispatch(object, print), "__torch_dispatch__"),
        (lambda: library.register_torch_dispatch(sine._qualname, object, print), "__torch_dispatch__"),
        (lambda: library.Library("aten", "IMPL"), "kernels to replace"),
        (lambda: library.Library("_", "IMPL"), "fall back"),
    ):
        with pytest.raises(NotImplementedError, match=said):
            call()
    with pytest.raises(ValueError, match="register_autocast"):
        library.register_autocast(3, "cuda", gradcore.float16)
    for taken in ("linalg", "functions", "registry", "prim"):
        with pytest.raises(ValueError, match=f"{taken} is a reserved namespace"):
            library.Library(taken, "FRAGMENT")


def test_the_library_is_imported_when_it_is_asked_for() -> None:
    code = "import sys, gradcore; assert 'gradcore.library' not in sys.modules; gradcore.library.custom_op"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
