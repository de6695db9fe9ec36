"""Hooks of all modules, layers fused or made without values, and the old functional_call, beside torch's."""

from __future__ import annotations

from typing import Any

import pytest

import gradcore
from gradcore.nn.modules.hooks import Watched
from tests.twin import attempt, same

torch = pytest.importorskip("torch")


def test_hooks_of_all_modules() -> None:
    def program(T: Any) -> Any:
        T.manual_seed(0)
        R = T.nn.modules.module
        net = T.nn.Sequential(T.nn.Linear(2, 3), T.nn.Tanh())
        x = T.ones(1, 2, requires_grad=True)
        seen: list[Any] = []

        def note(what: str) -> Any:
            return lambda m, *args: seen.append((what, type(m).__name__, len(args)))

        net[0].register_forward_hook(lambda m, args, out: seen.append("own"))
        handles = [
            R.register_module_forward_pre_hook(note("before")),
            R.register_module_forward_pre_hook(lambda m, args: args[0] * 2 if isinstance(m, T.nn.Tanh) else None),
            R.register_module_forward_hook(note("after"), with_kwargs=True, always_call=True),
            R.register_module_forward_hook(lambda m, args, out: out + 1 if isinstance(m, T.nn.Linear) else None),
            R.register_module_full_backward_pre_hook(note("back")),
            R.register_module_full_backward_hook(note("forth")),
        ]
        out = net(x)
        (gradient,) = T.autograd.grad(out.sum(), x)
        results = [out.detach(), gradient, list(seen), attempt(lambda: net(T.ones(1, 5)))[1]]
        for handle in handles:
            handle.remove()
        seen.clear()
        return [*results, net(x).detach(), seen]

    same(program, torch)
    assert not Watched._watched


def test_hooks_of_registration() -> None:
    def program(T: Any) -> Any:
        R = T.nn.modules.module
        seen: list[Any] = []

        def note(m: Any, name: str, value: Any) -> None:
            seen.append((type(m).__name__, name, value is None))

        handles = [
            R.register_module_parameter_registration_hook(note),
            R.register_module_buffer_registration_hook(note),
            R.register_module_module_registration_hook(note),
            R.register_module_module_registration_hook(lambda m, n, v: T.nn.Tanh() if isinstance(v, T.nn.ReLU) else None),
        ]
        try:
            net = T.nn.Sequential(T.nn.Linear(2, 3, bias=False), T.nn.BatchNorm1d(3), T.nn.ReLU())
            net.extra = T.nn.ReLU()
            net.add_module("more", T.nn.ReLU())
            net.register_buffer("b", T.ones(1))
            net.b = T.zeros(2)
        finally:
            for handle in handles:
                handle.remove()
        net.last = T.nn.ReLU()
        return [seen, repr(net), net.b]

    same(program, torch)


FUSED = [
    "fuse_conv_bn_eval(T.nn.Conv2d(2, 3, 2).eval(), bn(T.nn.BatchNorm2d(3)))(x)",
    "fuse_conv_bn_eval(T.nn.Conv2d(2, 3, 2, bias=False).eval(), bn(T.nn.BatchNorm2d(3, affine=False)))(x)",
    "fuse_conv_bn_eval(T.nn.ConvTranspose2d(2, 3, 2).eval(), bn(T.nn.BatchNorm2d(3)), transpose=True)(x)",
    "fuse_linear_bn_eval(T.nn.Linear(4, 3).eval(), bn(T.nn.BatchNorm1d(3)))(x)",
    "fuse_linear_bn_eval(T.nn.Linear(4, 3, bias=False).eval(), bn(T.nn.BatchNorm1d(3)))(x)",
    "fuse_conv_bn_eval(T.nn.Conv2d(2, 3, 2), bn(T.nn.BatchNorm2d(3)))",
    "fuse_conv_bn_eval(T.nn.Conv2d(2, 3, 2).eval(), T.nn.BatchNorm2d(3, track_running_stats=False).eval())",
    "fuse_linear_bn_eval(T.nn.Linear(4, 3).eval(), bn(T.nn.BatchNorm1d(2)))",
    "fuse_conv_bn_eval(T.nn.Conv2d(2, 3, 2, bias=False).eval(), bn(T.nn.BatchNorm2d(3))).bias.requires_grad",
]


@pytest.mark.parametrize("code", FUSED)
def test_fused_layers(code: str) -> None:
    def program(T: Any) -> Any:
        T.manual_seed(1)

        def bn(m: Any) -> Any:
            m.running_mean.normal_()
            m.running_var.uniform_(0.5, 2.0)
            for p in m.parameters():
                p.data.normal_()
            return m.eval()

        x = T.randn(2, 2, 4, 4)
        out = eval(f"u.{code}", {"u": T.nn.utils, "T": T, "bn": bn, "x": x})
        return out.detach() if isinstance(out, T.Tensor) else out

    same(program, torch, rtol=1e-4, may_raise=True)


@pytest.mark.filterwarnings("ignore:.*functional_call. is deprecated")
def test_modules_without_first_values_and_calls_with_other_ones() -> None:
    def program(T: Any) -> Any:
        T.manual_seed(0)
        m = T.nn.utils.skip_init(T.nn.Linear, 3, 2, dtype=T.float64)
        after = T.rand(1)
        values = {"weight": T.ones(2, 3, dtype=T.float64), "bias": T.zeros(2, dtype=T.float64)}
        call = T.nn.utils.stateless.functional_call
        return [
            repr(m), [tuple(p.shape) for p in m.parameters()], str(m.weight.dtype), m.weight.requires_grad, after,
            call(m, values, T.ones(1, 3, dtype=T.float64)), attempt(lambda: call(m, {"weight": T.ones(2, 3)}, strict=True)),
            attempt(lambda: T.nn.utils.skip_init(T.nn.ReLU)), attempt(lambda: T.nn.utils.skip_init(int)),
        ]  # fmt: skip

    same(program, torch)
    assert gradcore.nn.utils.skip_init(gradcore.nn.BatchNorm1d, 2).num_batches_tracked.shape == ()
