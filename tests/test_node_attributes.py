"""What nodes show beside torch's: what they saved, by torch's names, their number in the order, their class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore
from tests.twin import Programs, attempt, same

torch = pytest.importorskip("torch")

# Expressions of `x` (2, 3), `w` (3, 2) and `i`, integers (2, 1), and what of torch's names their nodes must have.
SAVED = {
    "x * x": "self other", "x / x": "self other", "x * 2.5": "other", "x @ w": "self mat2", "x.mv(w[:, 0])": "self vec",
    "torch.dot(x[0], x[1])": "self tensor", "torch.bmm(x[None], w[None])": "self mat2", "x.maximum(w.t())": "self other",
    "torch.atan2(x, w.t())": "self other", "x + w.t()": "", "x - 1": "",
    "x ** 2": "self exponent", "x.abs() ** x": "self exponent result", "2 ** x": "self exponent result",
    "x.exp()": "result", "x.tanh()": "result", "x.relu()": "result", "x.sigmoid()": "result", "x.abs().sqrt()": "result",
    "x.rsqrt()": "result", "x.reciprocal()": "result", "x.expm1()": "result", "x.sin()": "self", "x.log()": "self",
    "x.abs()": "self", "x.erf()": "self", "x.log1p()": "self", "x.atan()": "self", "F.silu(x)": "self", "F.gelu(x)": "self",
    "F.leaky_relu(x, 0.1)": "self negative_slope", "F.elu(x, 2.0)": "self alpha scale", "x.clamp(0, 1)": "self min max",
    "F.softplus(x, 2, 10)": "self beta threshold", "F.hardtanh(x, -2, 3)": "self min_val max_val",
    "x.sum()": "self_sym_sizes", "x.sum(0)": "dim self_sym_sizes", "x.mean(1)": "dim self_sym_sizes", "x.var()": "self",
    "x.amax(1)": "self dim keepdim result", "x.logsumexp(1)": "self dim result", "x.std(0)": "self result",
    "x.softmax(1)": "dim result", "x.log_softmax(0)": "dim result", "x.cumsum(0)": "dim",
    "x.cumprod(1)": "dim self result",
    "x.logcumsumexp(1)": "dim self result", "x.norm()": "self ord result", "x.max()": "self result", "x.prod(1)": "",
    "x.max(1)[0]": "dim indices self_sym_sizes", "x.sort(1)[0]": "dim indices", "x.topk(1, 1)[0]": "dim indices",
    "x.kthvalue(1, 1)[0]": "dim indices", "x.median(1)[0]": "dim indices", "torch.cat([x, x], 1)": "dim",
    "torch.stack([x, x], 1)": "dim", "x.split(1)[0]": "dim", "x.unbind(1)[0]": "dim", "x.gather(1, i)": "",
    "x.index_select(1, i[0])": "self_sym_sizes", "x[0]": "self_sym_sizes", "x[:, :2]": "self_sym_sizes",
    "x[i[0]]": "self_sym_sizes", "x.view(6)": "self_sym_sizes", "x.expand(4, 2, 3)": "self_sym_sizes", "x.t()": "",
    "x.squeeze()": "self_sym_sizes", "x.permute(1, 0)": "dims", "x.flip(0, 1)": "dims", "x.tril(1)": "diagonal",
    "x.unfold(1, 2, 1)": "dimension size step self_sym_sizes", "x.repeat(2, 1)": "", "x.clone()": "",
    "torch.where(x > 0, x, x)": "condition", "x.masked_fill(x > 0, 1.0)": "mask",
    "torch.lerp(x, w.t(), x)": "self end weight",
    "torch.lerp(x, w.t(), 0.5)": "", "torch.addmm(w @ x, w, x)": "", "torch.addcmul(x, x, x, value=2)": "",
    "F.layer_norm(x, (3,), w[:, 0], w[:, 1])": "input weight",
    "F.cross_entropy(x, i[:, 0])": "target", "F.nll_loss(x, i[:, 0])": "target",
    "F.embedding(i, x)": "indices scale_grad_by_freq", "F.mse_loss(x, w.t())": "self target",
    "F.conv1d(x[None], w.reshape(1, 2, 3))": "input weight groups",
}  # fmt: skip


def made(lib: Any, expression: str) -> Any:
    rng = np.random.default_rng(len(expression))
    x = lib.tensor(rng.normal(size=(2, 3)).tolist(), dtype=lib.float64, requires_grad=True)
    w = lib.tensor(rng.normal(size=(3, 2)).tolist(), dtype=lib.float64, requires_grad=True)
    return eval(expression, {"torch": lib, "F": lib.nn.functional, "x": x, "w": w, "i": lib.tensor([[0], [1]])})


@pytest.mark.parametrize("expression", SAVED)
def test_what_nodes_saved_has_torchs_names_and_values(expression: str) -> None:
    ours, theirs = made(gradcore, expression).grad_fn, made(torch, expression).grad_fn
    names = [name for name in dir(ours) if "_saved_" in name]
    assert set(names) <= set(dir(theirs))
    assert {f"_saved_{name}" for name in SAVED[expression].split()} <= set(names)
    for name in names:
        if name.startswith("_raw"):
            assert callable(getattr(ours, name).register_hooks)
        else:
            same(lambda lib, name=name: _shown(getattr(made(lib, expression).grad_fn, name)), torch)


def _shown(value: Any) -> Any:
    return value if hasattr(value, "requires_grad") else list(value) if isinstance(value, tuple) else value


program = PROGRAMS = Programs()


@program
def nodes_are_numbered_in_the_order_of_recording(lib: Any) -> Any:
    x = lib.ones(2, requires_grad=True)
    a = x * 2
    b = a.exp()
    c = b + a
    numbers = [t.grad_fn._sequence_nr() for t in (a, b, c)]
    leaf = a.grad_fn.next_functions[0][0]
    return [n - numbers[0] for n in numbers], leaf._sequence_nr(), [n.requires_grad for n in (leaf, c.grad_fn)]


@program
def what_is_not_saved_is_no_attribute(lib: Any) -> Any:
    x = lib.ones(2, requires_grad=True)
    nodes = [x.exp().grad_fn, (x + 1).grad_fn, (x * 2).grad_fn]
    names = ["_saved_self", "_raw_saved_self", "_saved_result", "_saved_nothing", "_raw_saved_alpha"]
    return [[name, hasattr(node, name)] for node in nodes[:2] for name in names], [
        attempt(lambda node=node, name=name: getattr(node, name)) for node in nodes[:2] for name in names[:2]
    ]


@program
def what_was_freed_is_not_shown(lib: Any) -> Any:
    x = lib.ones(2, requires_grad=True)
    y, z = x.exp(), x.softmax(0)
    (y * z).sum().backward()
    return attempt(lambda: y.grad_fn._saved_result), attempt(lambda: z.grad_fn._saved_result)


@program
def what_was_overwritten_is_not_shown(lib: Any) -> Any:
    x = lib.ones(2, requires_grad=True)
    y = x.exp()
    y.mul_(2)
    return attempt(lambda: y.grad_fn.next_functions[0][0]._saved_result)


@program
def saved_outputs_know_their_node(lib: Any) -> Any:
    y = lib.ones(2, requires_grad=True).exp()
    return y.grad_fn._saved_result.grad_fn is y.grad_fn, y.grad_fn._saved_result


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_does_as_torch(f: Callable[[Any], Any]) -> None:
    same(f, torch, may_raise=True)
