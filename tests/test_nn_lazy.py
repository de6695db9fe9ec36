"""Lazy modules beside torch's: what they say, save and load before and after they are first called, and refuse."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import gradcore
from tests.twin import attempt, same

torch = pytest.importorskip("torch")

LAYERS: list[tuple[str, tuple[int, ...]]] = [
    ("LazyLinear(4)", (2, 3)), ("LazyLinear(4, bias=False, dtype=T.float64)", (2, 5, 3)), ("LazyConv1d(4, 3)", (2, 3, 8)),
    ("LazyConv2d(4, 3, 2, 1, bias=False, padding_mode='reflect')", (2, 3, 8, 8)), ("LazyConv2d(4, 2, groups=2)", (2, 5, 5)),
    ("LazyConv3d(2, 2, dilation=2)", (1, 2, 4, 4, 4)), ("LazyConvTranspose1d(4, 3, 2, 1, 1)", (2, 3, 5)),
    ("LazyConvTranspose2d(4, 3, groups=2, bias=False)", (2, 2, 3, 4)), ("LazyConvTranspose3d(1, 2)", (2, 2, 2, 2)),
    ("LazyBatchNorm1d()", (5, 3)), ("LazyBatchNorm2d(1e-3, 0.3, bias=False)", (2, 3, 4, 4)),
    ("LazyBatchNorm3d(affine=False, dtype=T.float64)", (2, 3, 2, 2, 2)), ("LazyInstanceNorm1d()", (5, 3, 4)),
    ("LazyInstanceNorm2d(track_running_stats=False)", (2, 3, 4, 4)), ("LazyInstanceNorm3d(affine=False)", (2, 3, 2, 2, 2)),
]  # fmt: skip


def state(m: Any) -> Any:
    return [(name, repr(x) if "Uninit" in repr(x) else x.clone()) for name, x in m.state_dict().items()]


@pytest.mark.parametrize(("code", "shape"), LAYERS)
def test_layers(code: str, shape: tuple[int, ...]) -> None:
    def program(T: Any) -> Any:
        T.manual_seed(3)
        m = eval(f"nn.{code}", {"nn": T.nn, "T": T})
        x = T.randn(shape, dtype=T.float64 if "float64" in code else T.float32, requires_grad=True)
        before = [repr(m), state(m), m.has_uninitialized_params(), [str(p.dtype) for p in m.parameters()]]
        out = m(x)
        grads = T.autograd.grad((out**3).sum(), [x, *m.parameters()])
        after = [repr(m), type(m).__name__, state(m), [type(p).__name__ for p in m.parameters()], m._version]
        return [before, out.detach(), grads, after, m(x[..., :0, :] if "Linear(4, b" in code else x).shape]

    same(program, torch, rtol=1e-4)


PROGRAMS = [
    "m.load_state_dict(full.state_dict()); [state(m), repr(m), m(x).detach(), repr(m)]",
    "m(x); m.load_state_dict(full.state_dict()); m(x).detach()",
    "n = T.nn.LazyLinear(4); repr(m.load_state_dict(n.state_dict())); state(m)",
    "full.load_state_dict(m.state_dict())",
    "full.load_state_dict(m.state_dict(), strict=False)",
    "m.load_state_dict({'weight': T.ones(4, 3)})",
    "m.load_state_dict({'weight': T.ones(4, 7), 'bias': T.ones(4)}); m(x)",
    "m.double(); [str(m.weight.dtype), m(x.double()).dtype.itemsize, m.weight.dtype.itemsize]",
    "m.weight + 1",
    "T.sum(m.weight)",
    "m.weight.shape",
    "m.weight.numel()",
    "[m.weight.requires_grad, m.weight.is_leaf, m.weight.device.type, m.weight.is_floating_point(), repr(m.weight)]",
    "c = copy.deepcopy(m); T.manual_seed(1); y = c(x); [repr(c), repr(m), c.weight.shape, m.has_uninitialized_params()]",
    "c = copy.deepcopy(m); m(x); [repr(c), c(x[:, :2]).shape, repr(c)]",
    "s = T.nn.Sequential(m, T.nn.ReLU(), T.nn.LazyLinear(2)); [repr(s), s(x).shape, repr(s)]",
    "T.nn.LazyConv2d(4, 3)(T.ones(2, 3))",
    "T.nn.LazyConv2d(4, 3, groups=2)(T.ones(3, 5, 5))",
    "T.nn.utils.spectral_norm(m)",
    "T.nn.utils.weight_norm(m)",
    "p = T.nn.UninitializedParameter(requires_grad=False, dtype=T.float64); p.materialize((2, 3)); "
    "[type(p).__name__, p.shape, p.dtype.itemsize, p.requires_grad]",
    "b = T.nn.UninitializedBuffer(); b.materialize((2,)); [type(b).__name__, b.shape]",
    "m.eval(); m.train(); list(dict(m.named_parameters()))",
    "m(x); o = T.optim.SGD(m.parameters(), 0.1); m(x).sum().backward(); o.step(); m.weight.detach()",
]  # fmt: skip


@pytest.mark.parametrize("code", PROGRAMS)
def test_programs(code: str) -> None:
    def program(T: Any) -> Any:
        T.manual_seed(3)
        world = {
            "T": T, "m": T.nn.LazyLinear(4), "full": T.nn.Linear(3, 4), "x": T.randn(2, 3), "copy": copy, "state": state,
        }  # fmt: skip
        *statements, last = code.split("; ")
        for statement in statements:
            exec(statement, world)
        return attempt(lambda: eval(last, world))

    same(program, torch, words=4, may_raise=True)


def test_a_module_of_ones_own() -> None:
    def program(T: Any) -> Any:
        class Scale(T.nn.modules.lazy.LazyModuleMixin, T.nn.Module):  # type: ignore[misc, name-defined]
            def __init__(self, whole: bool) -> None:
                super().__init__()
                self.w = T.nn.UninitializedParameter()
                self.whole = whole

            def initialize_parameters(self, x: Any, scale: Any = 1.0) -> None:
                if self.whole:
                    self.w.materialize(x.shape[-1:])
                    T.nn.init.constant_(self.w, scale)

            def forward(self, x: Any, scale: float = 1.0) -> Any:
                return x * self.w

        m = Scale(True)
        return [m(T.ones(2, 3), scale=4.0).detach(), type(m).__name__, attempt(lambda: Scale(False)(T.ones(2)))]

    same(program, torch)


def test_a_module_that_was_lazy_costs_nothing_more() -> None:
    m = gradcore.nn.LazyLinear(2)
    m(gradcore.ones(1, 3))
    assert type(m) is gradcore.nn.Linear
    assert [m._forward_pre_hooks, m._load_state_dict_pre_hooks, m._watched] == [{}, {}, False]
