"""Layers and losses of nn.functional as in torch, on fresh data: norms, bags, margins, attention, CTC.

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
F.instance_norm(t(2, 3, 4, 5))
F.instance_norm(t(2, 3, 4), keep(c(3)), keep(c(3)), t(3), t(3), True, 0.3)
F.instance_norm(t(2, 3, 4), c(3), c(3), t(3), t(3), False)
F.group_norm(t(2, 6, 4), 3)
F.group_norm(t(2, 6, 4, 2), 2, t(6), t(6), 1e-2)
torch.group_norm(t(3, 4), 2)
F.rms_norm(t(2, 3, 4), (4,))
F.rms_norm(t(2, 3, 4), (3, 4), t(3, 4), 0.1)
F.rms_norm(t(2, 8, dtype="float32"), (8,), t(8, dtype="float32"))
F.rms_norm(t(2, 8, dtype="float16"), (8,), t(8, dtype="float16"))
F.local_response_norm(t(2, 5, 4), 3)
F.local_response_norm(t(2, 5, 2, 3, 2), 4, 0.2, 0.6, 1.3)
F.bilinear(t(2, 5, 3), t(2, 5, 4), t(6, 3, 4), t(6))
F.bilinear(t(3), t(4), t(6, 3, 4))
F.pdist(t(6, 3))
F.pdist(t(6, 3), 1)
F.pdist(t(6, 3), 3.0)
torch.pdist(t(6, 3), 0.5)
F.pdist(t(1, 3))
F.multi_margin_loss(t(4, 5), i(5, 4))
F.multi_margin_loss(t(4, 5), i(5, 4), 2, 0.7, c(5), reduction="none")
F.multi_margin_loss(t(5), i(5, 1), reduction="sum")
F.multilabel_margin_loss(t(4, 5), torch.tensor([[0, 3, -1, 1, 2], [-1, 0, 0, 0, 0], [1, 2, 3, 4, 0], [2, 2, -1, 0, 1]]))
F.multilabel_margin_loss(t(4, 5), i(6, 4, 5) - 1, reduction="none")
F.multilabel_margin_loss(t(5), i(6, 5) - 1, reduction="sum")
F.embedding_bag(i(5, 3, 4), t(5, 2))
F.embedding_bag(i(5, 3, 4), t(5, 2), mode="sum", per_sample_weights=t(3, 4), padding_idx=1)
F.embedding_bag(i(5, 3, 4), t(5, 2), mode="max")
F.embedding_bag(i(5, 7), t(5, 2), torch.tensor([0, 2, 2, 5]), mode="mean", padding_idx=-2)
F.embedding_bag(i(5, 7), t(5, 2), torch.tensor([0, 2, 2, 7]), mode="max", include_last_offset=True)
F.embedding_bag(i(5, 2, 2), keep(t(5, 2).detach()), max_norm=1.0)
F.scaled_dot_product_attention(t(2, 3, 4, 5), t(2, 3, 6, 5), t(2, 3, 6, 5))
F.scaled_dot_product_attention(t(2, 3, 4, 5), t(2, 3, 6, 5), t(2, 3, 6, 5), is_causal=True, scale=0.7)
F.scaled_dot_product_attention(t(3, 4, 5), t(3, 6, 5), t(3, 6, 2), attn_mask=t(4, 6))
F.scaled_dot_product_attention(t(2, 4, 5), t(2, 3, 5), t(2, 3, 5), attn_mask=(i(2, 4, 3) < 1) & (i(3, 4, 1) > 0))
F.scaled_dot_product_attention(t(2, 4, 3, 5), t(2, 2, 6, 5), t(2, 2, 6, 5), enable_gqa=True)
mha(*[t(3, 2, 4), t(5, 2, 4), t(5, 2, 4)], 4, 2, t(12, 4), t(12), None, None, False, 0.0, t(4, 4), t(4))
mha(*[t(3, 4)] * 3, 4, 2, t(12, 4), t(12), t(1, 1, 4), t(1, 1, 4), True, 0.0, t(4, 4), t(4), True, i(2, 3) > 2)
mha(*[t(3, 2, 4)] * 3, 4, 2, t(12, 4), None, None, None, False, 0.0, t(4, 4), None, True, None, False, t(3, 3))
F.ctc_loss(t(7, 2, 4).log_softmax(2), i(3, 2, 3) + 1, torch.tensor([7, 6]), torch.tensor([3, 2]))
F.ctc_loss(t(7, 2, 4).log_softmax(2), i(3, 5) + 1, (7, 6), (3, 2), reduction="none")
F.ctc_loss(t(7, 2, 4), i(3, 2, 3), [7, 0], [2, 0], 3, "sum")
F.ctc_loss(t(3, 2, 4).log_softmax(2), torch.tensor([[1, 1, 1], [1, 2, 1]]), (3, 2), (3, 3), reduction="none")
F.ctc_loss(t(3, 2, 4).log_softmax(2), torch.tensor([[1, 1, 1], [1, 2, 1]]), (3, 3), (3, 3), zero_infinity=True)
F.ctc_loss(t(6, 4).log_softmax(1), i(3, 2) + 1, (5,), (2,))
F.ctc_loss(t(6, 3, 4).log_softmax(2), torch.tensor([[1, 0], [0, 2], [0, 0]]), (6, 6, 4), (2, 2, 1), reduction="none")
F.ctc_loss(t(5, 1, 4).log_softmax(2), torch.tensor([[1, 2, 0, 0]]), (5,), (3,))
F.ctc_loss(t(5, 2, 4).log_softmax(2), torch.tensor([[3, 1], [2, 3]]), (5, 4), (1, 2), 3, "sum")
""".strip().splitlines()


def named(space: Space) -> Space:
    """The names of an expression, and `mha`."""
    space["mha"] = space["F"].multi_head_attention_forward
    return space


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_as_in_torch(expression: str) -> None:
    print(f"GRADCORE_SEED={SEED}")
    tolerance = 5e-3 if "float16" in expression else 1e-4 if "float32" in expression else 1e-9
    same(lambda library: evaluated(expression, named(Space(library))), torch, rtol=tolerance)


WAITS = ("F.ctc_loss",)  # lengths are numbers


@pytest.mark.parametrize("expression", [each for each in EXPRESSIONS if "torch." not in each])
def test_a_device_gives_the_same_and_never_waits(expression: str, strict_cuda: Any) -> None:
    print(f"GRADCORE_SEED={SEED}")
    space = named(Space(gradcore, lambda array: wrap(strict_cuda.array(array))))
    with nullcontext() if expression.startswith(WAITS) else strict_cuda.never_waits():
        found = evaluated(expression, space)
    compare(plain(found), plain(evaluated(expression, named(Space(gradcore)))), rtol=1e-5)


def test_dropouts_draw_torchs_stream() -> None:
    def program(library: Any) -> Any:
        library.manual_seed(SEED % 2**31)
        F = library.nn.functional
        x = library.ones(4, 5, 3, 3, requires_grad=True)
        found = [getattr(F, name)(x * 2, p, True) for name in NOISES for p in (0.3, 1.0, 0.0)]
        written = [getattr(F, name)(x * 1, 0.4, True, True) for name in NOISES]
        rows = [F.dropout1d(x[0, 0], 0.4), F.dropout1d(x[:, :, 0], 0.4), F.dropout3d(x, 0.4)]
        scores = library.arange(12.0).reshape(3, 4).requires_grad_()
        samples = [F.gumbel_softmax(scores, 0.5), F.gumbel_softmax(scores, 2.0, True, dim=0)]
        pooled = F.fractional_max_pool2d(x, 2, (2, 2), return_indices=True)
        one = F.dropout(library.tensor(3.0, requires_grad=True), 0.4)
        return [one, *found, *written, *rows, library.feature_dropout(x, 0.4, True), *samples, *pooled]

    same(program, torch, rtol=1e-5)


NOISES = ("dropout", "dropout2d", "alpha_dropout", "feature_alpha_dropout")
