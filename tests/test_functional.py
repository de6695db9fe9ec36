"""nn.functional as torch has it, on fresh data: results, node names, gradients, and what changes in place.

Each line is an expression that both libraries evaluate; tests/functional.py has its names.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

import gradcore
from gradcore.recorder import wrap
from tests.functional import SEED, Space, evaluated
from tests.twin import compare, plain, same

torch = pytest.importorskip("torch")

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


def test_dropout_draws_torchs_stream() -> None:
    def program(library: Any) -> Any:
        library.manual_seed(SEED % 2**31)
        x = library.ones(7, 50, requires_grad=True)
        drop = library.nn.functional.dropout
        written = drop(x * 1, 0.4, inplace=True)
        return [written, library.dropout(x, 0.5, True), *(drop(x * 2, p) for p in (0.3, 0.9, 1.0, 0.0))]

    same(program, torch)
