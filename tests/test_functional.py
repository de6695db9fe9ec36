"""nn.functional as torch has it: results, node names, gradients, refusals and what changes in place, on fresh data.

Each line is an expression that both libraries evaluate. `t` draws a leaf of normal numbers that needs a gradient, `u`
one of numbers in (0, 1), `x` makes one of given numbers, `c` draws a constant, `i` integers below its first argument.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore.nn import functional as F
from gradcore.recorder import wrap
from tests.twin import attempt, compare, plain, same

torch = pytest.importorskip("torch")

SEED = int(os.environ.get("GRADCORE_SEED", 0)) or int(np.random.SeedSequence().generate_state(1)[0])


class Space(dict[str, Any]):
    """The names an expression may use, over one library; `made` makes tensors of arrays its own way."""

    def __init__(self, library: Any, made: Callable[[Any], Any] | None = None) -> None:
        self.library, self.made, self.rng = library, made, np.random.default_rng(SEED)
        self.leaves: list[Any] = []
        self.kept: dict[str, Any] = {}
        super().__init__(
            torch=library, F=library.nn.functional, t=self.t, u=self.u, x=self.x, c=self.c, i=self.i, keep=self.keep
        )

    def drawn(self, values: Any, dtype: str = "float64") -> Any:
        if self.made is not None:
            return self.made(np.asarray(values, dtype))
        return self.library.tensor(np.asarray(values).tolist(), dtype=getattr(self.library, dtype)).reshape(np.shape(values))

    def leaf(self, values: Any, dtype: str) -> Any:
        self.leaves.append(self.drawn(values, dtype).requires_grad_())
        return self.leaves[-1]

    def t(self, *shape: int, dtype: str = "float64") -> Any:
        return self.leaf(self.rng.normal(size=shape) * 2, dtype)

    def u(self, *shape: int, dtype: str = "float64") -> Any:
        return self.leaf(self.rng.uniform(0.05, 0.95, size=shape), dtype)

    def x(self, values: Any) -> Any:
        return self.leaf(values, "float64")

    def c(self, *shape: int, dtype: str = "float64") -> Any:
        return self.drawn(self.rng.uniform(0.5, 1.5, size=shape), dtype)

    def i(self, high: int, *shape: int) -> Any:
        return self.drawn(self.rng.integers(0, high, size=shape), "int64")

    def keep(self, tensor: Any) -> Any:
        """Compare what `tensor` holds in the end, too."""
        self.kept[str(len(self.kept))] = tensor
        return tensor


def evaluated(expression: str, space: Space) -> Any:
    """What the expression returns, the gradients of its leaves, and what it kept."""
    found = eval(expression, {}, space)
    outs = found if isinstance(found, tuple) else (found,)
    roots = [out for out in outs if out.requires_grad]
    grads: Any = None
    if roots:
        seeds = [space.drawn(space.rng.normal(size=tuple(out.shape)), str(out.dtype).rpartition(".")[2]) for out in roots]
        grads = space.library.autograd.grad(roots, space.leaves, seeds, allow_unused=True)
    return [found, grads, space.kept]


EXPRESSIONS = """
F.relu(t(3, 4))
F.relu(t())
F.relu(i(5, 3) - 2)
t(3, 4).relu()
torch.relu(t(3))
F.relu(t(3) * 1, inplace=True)
torch.relu_(t(3) * 1)
F.relu6(t(20) * 3)
F.relu6(i(9, 7))
F.leaky_relu(t(9))
F.leaky_relu(t(9), 0.3)
F.leaky_relu(t(9) * 1, 0.3, inplace=True)
F.leaky_relu_(t(9) * 1)
F.elu(t(9), alpha=1.5)
F.elu(t(9) * 1, inplace=True)
F.elu(t(3) * 500)
F.selu(t(9))
torch.selu(t(9))
F.celu(t(9), 0.7)
F.celu_(t(9) * 1, 0.7)
F.hardtanh(t(9))
F.hardtanh(t(9) * 1, -0.5, 2.0, True)
F.hardtanh(i(9, 9) - 4, -2, 3)
F.gelu(t(9))
F.gelu(t(9), approximate="tanh")
F.gelu(t(9, dtype="float32"))
F.silu(t(9))
F.silu(t(9) * 1, inplace=True)
F.silu(t(3) * 300)
F.softplus(t(9))
F.softplus(t(9) * 30)
F.softplus(t(9), 2, 0.5)
F.logsigmoid(t(9))
F.logsigmoid(t(9) * 300)
F.sigmoid(t(9))
F.tanh(t(9))
F.softmax(t(3, 4), dim=0)
F.softmax(t(3, 4))
F.softmax(t(2, 3, 4))
F.softmax(i(5, 3), dim=0, dtype=torch.float64)
F.log_softmax(t(3, 4), dim=-1)
F.softmin(t(3, 4), dim=1)
F.linear(t(2, 3), t(4, 3), t(4))
F.linear(t(2, 5, 3), t(4, 3), t(4))
F.linear(t(3), t(4, 3), t(4))
F.linear(t(2, 3), t(4, 3))
F.linear(t(2, 5, 3), t(4, 3))
F.linear(t(2, 3), t(3))
F.linear(t(3), t(3))
F.linear(t(2, 3), t(4, 3), t(1))
F.linear(t(0, 3), t(4, 3), t(4))
F.conv1d(t(2, 3, 9), t(4, 3, 3), t(4), stride=2, padding=1)
F.conv1d(t(3, 9), t(4, 3, 3), padding="same")
F.conv1d(t(2, 3, 9), t(4, 3, 4), padding="same", dilation=2)
F.conv1d(t(0, 3, 9), t(4, 3, 3), t(4))
torch.conv2d(t(2, 4, 6, 7), t(6, 2, 3, 2), t(6), (2, 1), (1, 0), (1, 2), 2)
F.conv2d(t(4, 6, 7), t(6, 4, 1, 1), t(6))
F.conv2d(t(2, 3, 5, 5), t(3, 1, 3, 3), groups=3, padding="valid")
F.conv2d(t(2, 3, 5, 5), t(2, 3, 2, 4), padding="same")
F.conv2d(i(5, 1, 2, 4, 4), i(5, 3, 2, 2, 2))
F.conv3d(t(1, 2, 4, 4, 5), t(3, 2, 2, 2, 2), t(3), padding=1)
F.max_pool2d(t(2, 3, 6, 7), 2)
F.max_pool2d(t(2, 3, 6, 7), (3, 2), stride=(1, 3), padding=(1, 0), dilation=(2, 1), return_indices=True)
F.max_pool2d(t(3, 7, 7), 3, 2, 1, ceil_mode=True, return_indices=True)
F.max_pool2d(i(9, 1, 1, 6, 6), 2, 1)
F.max_pool2d(t(1, 1, 8, 8).round(), 3, return_indices=True)
F.max_pool2d(torch.full((1, 1, 4, 4), float("-inf")), 3, 1, 1, return_indices=True)
F.max_pool2d(torch.where(t(1, 1, 6, 6) > 1.5, float("nan"), t(1, 1, 6, 6)), 3, 2)
F.avg_pool2d(t(2, 3, 6, 7), 2)
F.avg_pool2d(t(3, 7, 7), 3, 2, 1, ceil_mode=True)
F.avg_pool2d(t(3, 7, 7), (3, 2), 2, 1, ceil_mode=True, count_include_pad=False)
F.avg_pool2d(t(3, 7, 7), 3, divisor_override=2)
F.avg_pool2d(i(9, 1, 4, 4) - 4, 2)
F.batch_norm(t(5, 3), None, None, t(3), t(3), training=True)
F.batch_norm(t(2, 3, 4, 4), keep(c(3)), keep(c(3)), t(3), t(3), True, 0.3, 1e-3)
F.batch_norm(t(2, 3, 4), keep(c(3)), keep(c(3)), t(3), t(3))
F.batch_norm(t(2, 3, 4), c(3), c(3))
F.layer_norm(t(2, 3, 4), (4,))
F.layer_norm(t(2, 3, 4), [3, 4], t(3, 4), t(3, 4), 1e-2)
F.layer_norm(t(2, 3, 4), (4,), t(4))
F.dropout(t(4), training=False)
F.embedding(i(5, 2, 3), t(5, 4))
F.embedding(i(5, 9), t(5, 4), padding_idx=-2)
F.embedding(i(3, 9), t(5, 4), scale_grad_by_freq=True, padding_idx=1)
F.embedding(i(5, 2), keep(t(5, 4).detach()), max_norm=1.0)
F.embedding(i(5, 2), keep(t(5, 4).detach()), max_norm=1.0, norm_type=1.0)
F.embedding(i(5, 0), t(5, 4))
F.mse_loss(t(3, 4), t(3, 4))
F.mse_loss(t(3, 4), t(3, 4), reduction="sum")
F.mse_loss(t(3, 4), t(3, 4), reduction="none")
F.mse_loss(t(3, 4), t(3, 4), weight=c(3, 4))
F.mse_loss(t(3, 4), t(4))
F.l1_loss(t(3, 4), t(3, 4))
F.l1_loss(t(3, 4), t(3, 4), reduction="none")
F.l1_loss(t(3, 4), t(3, 4), weight=c(3, 4))
F.nll_loss(t(3, 5), i(5, 3))
F.nll_loss(t(3, 5), i(5, 3), weight=c(5), ignore_index=2)
F.nll_loss(t(3, 5, 2), i(5, 3, 2), weight=c(5), reduction="sum")
F.nll_loss(t(3, 5, 2, 2), i(5, 3, 2, 2), reduction="none", ignore_index=0)
F.nll_loss(t(5), torch.tensor(3))
F.nll_loss(t(2, 5), torch.tensor([-100, -100]))
F.nll_loss(t(2, 5), torch.tensor([-100, 1]))
F.nll_loss(t(0, 5), i(5, 0))
F.nll_loss(t(0, 5), i(5, 0), reduction="sum")
F.nll_loss(t(2, 5), i(5, 2).to(torch.uint8))
F.cross_entropy(t(3, 5), i(5, 3))
F.cross_entropy(t(3, 5, dtype="float32"), i(5, 3))
F.cross_entropy(t(3, 5, 2), i(5, 3, 2), weight=c(5), ignore_index=1, label_smoothing=0.2)
F.cross_entropy(t(3, 5), i(5, 3), weight=c(5), label_smoothing=0.2, reduction="sum")
F.cross_entropy(t(3, 5, 2), i(5, 3, 2), label_smoothing=0.2, reduction="none")
F.cross_entropy(t(3, 5), u(3, 5))
F.cross_entropy(t(3, 5, 2), u(3, 5, 2), weight=c(5), label_smoothing=0.1, reduction="none")
F.cross_entropy(t(3, 5), u(3, 5), weight=c(5), reduction="sum")
F.cross_entropy(t(5), torch.tensor(3))
F.cross_entropy(t(3, 5) * 1000, i(5, 3))
F.binary_cross_entropy(u(3, 4), u(3, 4))
F.binary_cross_entropy(u(3, 4), u(3, 4), weight=c(4), reduction="sum")
F.binary_cross_entropy(x([0.0, 1.0, 0.0, 1.0]), x([0.0, 1.0, 1.0, 0.0]))
F.binary_cross_entropy_with_logits(t(3, 4), u(3, 4))
F.binary_cross_entropy_with_logits(t(3, 4), u(3, 4), c(4), pos_weight=c(4), reduction="none")
F.binary_cross_entropy_with_logits(t(3, 4) * 300, u(3, 4))
F.pad(t(2, 3), (1, 2))
F.pad(t(2, 3), (1, 2, 0, 1), value=3.5)
F.pad(t(2, 3), (-1, 2))
F.pad(i(9, 3), (1, 1), value=7)
F.pad(t(2, 3), ())
F.pad(t(1, 2, 5), (2, 4), mode="reflect")
F.pad(t(2, 5, 4), (2, 3, 4, 1), mode="reflect")
F.pad(t(1, 2, 5), (2, 7), mode="replicate")
F.pad(t(1, 2, 3, 4, 5), (2, 3, 0, 1, 1, 0), mode="replicate")
F.pad(t(1, 2, 5), (2, 5), mode="circular")
F.pad(t(1, 2, 5, 4), (2, -1, -2, 3), mode="circular")
F.pad(t(1, 2, 5), (2, -3), mode="reflect")
F.normalize(t(3, 4))
F.normalize(t(3, 4), p=1, dim=0)
F.normalize(x([[0.0, 0.0], [0.0, 1.0]]))
F.one_hot(i(5, 2, 3), 6)
F.one_hot(i(5, 4))
""".strip().splitlines()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_as_in_torch(expression: str) -> None:
    print(f"GRADCORE_SEED={SEED}")
    # Some of torch's constants have single precision.
    tolerance = 1e-4 if "float32" in expression else 1e-6 if "celu" in expression or "1.0, 0.0" in expression else 1e-9
    same(lambda library: evaluated(expression, Space(library)), torch, rtol=tolerance)


WAITS = ("F.one_hot(i(5, 4))",)  # the number of classes is among the values


@pytest.mark.filterwarnings("ignore:Using a target size", "ignore:Implicit dimension choice")
@pytest.mark.parametrize("expression", [each for each in EXPRESSIONS if "torch." not in each])
def test_a_device_gives_the_same_and_never_waits(expression: str, strict_cuda: Any) -> None:
    print(f"GRADCORE_SEED={SEED}")
    space = Space(gradcore, lambda array: wrap(strict_cuda.array(array)))
    with nullcontext() if expression in WAITS else strict_cuda.never_waits():
        found = evaluated(expression, space)
    compare(plain(found), plain(evaluated(expression, Space(gradcore))), rtol=1e-5)


REFUSALS = """
F.relu(3)
F.gelu(t(3), approximate="x")
F.hardtanh(t(2), 2.0, 1.0)
F.celu(t(2), 0.0)
F.conv2d(t(5, 5), t(2, 3, 3, 3))
F.conv1d(t(1, 3, 5, 5), t(2, 3, 3))
F.conv2d(t(1, 4, 5, 5), t(2, 3, 3, 3))
F.conv2d(t(1, 3, 2, 2), t(2, 3, 3, 3))
F.conv2d(t(1, 3, 5, 5), t(2, 3, 3, 3), t(3))
F.conv2d(t(1, 3, 5, 5), t(2, 3, 3, 3), t(2, dtype="float32"))
F.conv2d(t(1, 3, 5, 5), t(2, 3, 3, 3), stride=0)
F.conv2d(t(1, 3, 5, 5), t(2, 3, 3, 3), stride=(1, 1, 1))
F.conv2d(t(1, 3, 5, 5), t(2, 3, 3, 3), padding=-1)
F.conv2d(t(1, 3, 5, 5), t(2, 3, 3, 3), dilation=0)
F.conv2d(t(1, 3, 5, 5), t(2, 3, 3, 3), padding="same", stride=2)
F.conv2d(t(1, 3, 5, 5), t(2, 3, 3, 3), padding="foo")
F.conv2d(t(1, 3, 5, 5), t(2, 1, 3, 3), groups=3)
F.conv2d(t(1, 3, 5, 5), t(4, 1, 3, 3), groups=3)
F.conv2d(t(1, 3, 5, 5), t(4, 1, 3, 3), groups=0)
F.conv2d(t(1, 1, 5, 5) > 0, t(4, 1, 3, 3) > 0)
F.max_pool2d(t(5, 5), 2)
F.max_pool2d(t(1, 1, 5, 5), (2, 2, 2))
F.max_pool2d(t(1, 1, 5, 5), 2, padding=2)
F.max_pool2d(t(1, 1, 5, 5), 2, stride=0)
F.max_pool2d(t(1, 1, 2, 2), 3)
F.max_pool2d(t(1, 1, 2, 2), 2, dilation=0)
F.max_pool2d(t(1, 0, 5, 5), 2)
F.max_pool2d(t(1, 1, 5, 5) > 0, 2)
F.avg_pool2d(t(5, 5), 2)
F.avg_pool2d(t(1, 1, 5, 5), 2, divisor_override=0)
F.avg_pool2d(t(1, 1, 2, 2), 3)
F.batch_norm(t(1, 3), None, None, training=True)
F.batch_norm(t(2, 3), None, None)
F.batch_norm(t(2, 3), c(4), c(4))
F.batch_norm(t(2, 3), c(3), c(3), weight=t(2))
F.batch_norm(t(2, 3), c(3), None, training=True)
F.batch_norm(t(3), None, None, training=True)
F.batch_norm(i(9, 4, 3), None, None, training=True)
F.batch_norm(t(4, 3), None, None, training=True, eps=0)
F.layer_norm(t(2, 3), (4,))
F.layer_norm(t(2, 3), ())
F.layer_norm(t(2, 3), (3,), t(2))
F.layer_norm(t(2, 3), (3,), t(3), t(2))
F.layer_norm(t(2, 3), 3)
F.layer_norm(t(2, 3), (3,), t(3, dtype="float32"))
F.layer_norm(i(9, 2, 3), (3,))
F.dropout(t(2), 1.5)
F.embedding(torch.tensor([0, 5]), t(3, 2))
F.embedding(torch.tensor([0, -1]), t(3, 2))
F.embedding(t(2), t(3, 2))
F.embedding(i(3, 2), t(3))
F.embedding(i(3, 2), t(3, 2), padding_idx=3)
F.mse_loss(t(2), t(3))
F.mse_loss(t(2), t(2), reduction="foo")
F.mse_loss(i(3, 2), i(3, 2))
F.l1_loss(i(3, 2), i(3, 2))
F.nll_loss(t(3, 5), i(5, 2))
F.nll_loss(t(2, 5), torch.tensor([1, 5]))
F.nll_loss(t(2, 5), torch.tensor([1, -1]))
F.nll_loss(t(2, 5, 3), torch.full((2, 3), 7))
F.nll_loss(t(2, 5), t(2))
F.nll_loss(t(2, 5), i(5, 2).int())
F.nll_loss(t(), i(5, 1))
F.nll_loss(t(2, 5), i(5, 2, 2))
F.nll_loss(t(2, 5, 3), i(5, 2, 2))
F.nll_loss(t(2, 5, 3, 3), i(5, 2, 3))
F.nll_loss(t(2, 5), i(5, 2), weight=c(4))
F.nll_loss(t(2, 5), i(5, 2), weight=c(5, dtype="float32"))
F.cross_entropy(t(3, 5), i(5, 2))
F.cross_entropy(t(2, 5), torch.tensor([1, 5]))
F.cross_entropy(t(2, 5), u(2, 4))
F.cross_entropy(t(2, 5), i(5, 2), label_smoothing=1.5)
F.cross_entropy(t(2, 5), u(2, 5), ignore_index=1)
F.cross_entropy(t(2, 5), i(2, 2, 5))
F.binary_cross_entropy(u(2), u(3))
F.binary_cross_entropy(u(2) + 1, u(2))
F.binary_cross_entropy(u(2), u(2, dtype="float32"))
F.binary_cross_entropy_with_logits(t(2), t(3))
F.binary_cross_entropy_with_logits(t(2), i(2, 2))
F.pad(t(2, 2), (1,))
F.pad(t(2), (1, 1, 1, 1))
F.pad(t(2), (-3, 0))
F.pad(t(2, 2), (1, 1), mode="foo")
F.pad(t(2, 2), (1, 1), mode="reflect", value=1)
F.pad(t(1, 2, 2), (2, 1), mode="reflect")
F.pad(t(2, 2, 2, 2), (1, 1), mode="reflect")
F.pad(t(1, 1, 2), (3, 1), mode="circular")
F.one_hot(torch.tensor([-1]))
F.one_hot(torch.tensor([5]), 3)
F.one_hot(i(3, 2).int(), 3)
F.one_hot(i(3, 0))
F.linear(t(2, 3), t(4, 5), t(4))
F.linear(t(2, 3), t(3), t(4))
F.linear(t(2, 3), t(4, 3), t(5))
F.linear(t(2, 3, dtype="float32"), t(4, 3))
""".strip().splitlines()


@pytest.mark.parametrize("expression", REFUSALS)
def test_refused_as_in_torch(expression: str) -> None:
    def program(library: Any) -> Any:
        space = Space(library)
        return [attempt(lambda: eval(expression, {}, space)), space.leaves]

    for library in (gradcore, torch):
        assert program(library)[0][0] == "raised"
    # What torch calls the kernel that has no such dtype is its own affair.
    kernels = any(name in expression for name in ("conv2d(t(1, 1, 5, 5) > 0", "linear(t(2, 3), t(4, 3), t(5))"))
    same(program, torch, words=0 if kernels else 3)


@pytest.mark.parametrize("function", ["leaky_relu", "elu", "gelu", "silu", "softplus", "logsigmoid"])
def test_integers_have_no_such_activation(function: str) -> None:
    for library in (gradcore, torch):
        with pytest.raises(NotImplementedError, match="not implemented for 'Long'"):
            getattr(library.nn.functional, function)(library.tensor([1, 2]))


# -- what tables of numbers do not show ----------------------------------------------------------------------


def test_dropout_draws_torchs_stream() -> None:
    def program(library: Any) -> Any:
        library.manual_seed(SEED % 2**31)
        x = library.ones(7, 50, requires_grad=True)
        return [library.nn.functional.dropout(x * 2, p) for p in (0.3, 0.9, 1.0, 0.0)]

    same(program, torch)


def test_dropout_keeps_the_mean_and_passes_the_gradient_through_what_it_kept() -> None:
    x = gradcore.ones(100_000, requires_grad=True)
    y = F.dropout(x, 0.25)
    y.sum().backward()
    kept = y.detach().numpy()
    assert set(np.unique(kept)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(kept.mean() - 1) < 5 * math.sqrt(0.25 / 0.75 / kept.size)
    np.testing.assert_array_equal(x.grad.numpy(), kept)
    assert F.dropout(x, 0.25, training=False) is x


def test_the_gradient_that_relu_stops_may_be_infinite() -> None:
    # inf * 0 would be nan; torch has 0.
    same(lambda library: gradient_at(library, [-1.0, 4.0], lambda x: x.relu().sqrt()), torch)


@pytest.mark.parametrize(
    ("function", "point", "expected"),
    [
        ("relu", 0.0, 0.0),
        ("relu6", 6.0, 0.0),
        ("relu6", 0.0, 0.0),
        ("hardtanh", 1.0, 0.0),
        ("hardtanh", -1.0, 0.0),
        ("leaky_relu", 0.0, 0.01),
        ("elu", 0.0, 1.0),
        ("relu", math.nan, 1.0),
    ],
)
def test_derivatives_at_kinks(function: str, point: float, expected: float) -> None:
    assert gradient_at(gradcore, [point], getattr(F, function)).tolist() == pytest.approx([expected])


def gradient_at(library: Any, point: list[float], f: Any) -> Any:
    x = library.tensor(point, requires_grad=True)
    (gradient,) = library.autograd.grad(f(x).sum(), x)
    return gradient


def test_batch_norm_of_running_statistics_converges_to_those_of_the_data() -> None:
    rng = np.random.default_rng(SEED)
    data = rng.normal([1.0, -2.0], [0.5, 3.0], size=(50_000, 2))
    mean, variance = gradcore.zeros(2, dtype=gradcore.float64), gradcore.ones(2, dtype=gradcore.float64)
    for part in np.split(data, 100):
        F.batch_norm(gradcore.tensor(part), mean, variance, training=True, momentum=0.1)
    np.testing.assert_allclose(mean.numpy(), [1.0, -2.0], atol=0.2)
    np.testing.assert_allclose(variance.numpy(), [0.25, 9.0], rtol=0.1)
    assert mean._version == 100


def test_a_refused_batch_norm_leaves_the_running_statistics() -> None:
    mean, variance = gradcore.zeros(3), gradcore.ones(3)
    with pytest.raises(RuntimeError, match="weight should contain 3 elements"):
        F.batch_norm(gradcore.ones(4, 3), mean, variance, gradcore.ones(2), training=True)
    assert mean.tolist() == [0, 0, 0]
    assert mean._version == variance._version == 0


def test_cross_entropy_of_no_preference_is_the_logarithm_of_the_number_of_classes() -> None:
    for classes in (2, 10, 1000):
        loss = F.cross_entropy(gradcore.zeros(4, classes, dtype=gradcore.float64), gradcore.tensor([0, 1, 1, 0]))
        assert loss.item() == pytest.approx(math.log(classes), rel=1e-12)


def test_logits_and_probabilities_of_two_classes_agree() -> None:
    rng = np.random.default_rng(SEED)
    x, y = gradcore.tensor(rng.normal(size=20)), gradcore.tensor(rng.uniform(size=20))
    losses = [F.binary_cross_entropy_with_logits(x, y), F.binary_cross_entropy(gradcore.sigmoid(x), y)]
    np.testing.assert_allclose(losses[0].item(), losses[1].item(), rtol=1e-12)


def test_convolution_theorem() -> None:
    rng = np.random.default_rng(SEED)
    x, w = rng.normal(size=30), rng.normal(size=7)
    full = F.conv1d(gradcore.tensor(x[None, None]), gradcore.tensor(w[::-1].copy()[None, None]), padding=6)
    spectral = np.fft.irfft(np.fft.rfft(x, 36) * np.fft.rfft(w, 36), 36)
    np.testing.assert_allclose(full.numpy()[0, 0], spectral, atol=1e-12)


def test_a_target_overwritten_before_backward_is_noticed() -> None:
    scores, target = gradcore.ones(2, 3, requires_grad=True), gradcore.tensor([0, 1])
    loss = F.nll_loss(scores, target)
    target += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_warnings_say_what_torch_says() -> None:
    x, y = gradcore.ones(2, 3), gradcore.ones(3)
    with pytest.warns(UserWarning, match=r"Using a target size \(torch.Size\(\[3\]\)\) that is different"):
        F.mse_loss(x, y)
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmin has been deprecated"):
        F.softmin(x)
    with pytest.warns(UserWarning, match="please use reduction='sum' instead"):
        F.mse_loss(x, x, size_average=False)
