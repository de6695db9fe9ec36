"""What nn.functional refuses, as torch refuses it, and that nothing has changed then; names as in tests/functional.py."""

from __future__ import annotations

from typing import Any

import pytest

import gradcore
from tests.functional import Space
from tests.twin import attempt, same

torch = pytest.importorskip("torch")

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
