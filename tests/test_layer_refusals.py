"""What the functions of windows, layers and losses refuse: with torch's kind of error, and a sentence.

Each line is an expression with the names of tests/functional.py.
"""

from __future__ import annotations

import pytest

import gradcore
from tests.functional import Space

torch = pytest.importorskip("torch")

REFUSALS = """
F.max_pool1d(t(5), 2)
F.max_pool3d(t(5, 5, 5), 2)
F.avg_pool1d(t(1, 1, 4), 2, padding=2)
F.avg_pool3d(t(1, 1, 2, 2, 2), 3)
F.avg_pool3d(t(1, 1, 2, 2, 2), 2, divisor_override=0)
F.adaptive_avg_pool2d(t(2, 3, 4), (2, 2, 2))
F.adaptive_avg_pool2d(t(1, 2, 0, 4), 2)
F.adaptive_max_pool1d(t(2), 1)
F.fractional_max_pool2d(t(1, 1, 4, 4), 2)
F.fractional_max_pool2d(t(1, 1, 4, 4), 3, 3)
F.max_unpool2d(t(1, 1, 2, 2), i(4, 1, 1, 2, 3), 2)
F.max_unpool2d(t(1, 1, 2, 2), i(4, 1, 1, 2, 2) + 90, 2)
F.max_unpool2d(t(1, 1, 2, 2), i(4, 1, 1, 2, 2), 2, output_size=(9, 9))
F.conv_transpose2d(t(1, 3, 4, 4), t(2, 3, 2, 2))
F.conv_transpose2d(t(1, 3, 4, 4), t(3, 2, 2, 2), t(3))
F.conv_transpose2d(t(1, 3, 4, 4), t(3, 2, 2, 2), output_padding=1)
F.conv_transpose1d(t(3, 1, 4, 4), t(3, 2, 2))
F.unfold(t(3, 4), 2)
F.unfold(t(1, 1, 3, 3), 4)
F.unfold(t(1, 1, 3, 3), 0)
F.fold(t(1, 5, 4), (3, 3), 2)
F.fold(t(1, 8, 5), (3, 3), 2)
F.pixel_shuffle(t(1, 3, 2, 2), 2)
F.pixel_shuffle(t(4, 2), 2)
F.pixel_unshuffle(t(1, 3, 3, 2), 2)
F.channel_shuffle(t(1, 3, 2, 2), 2)
F.channel_shuffle(t(4, 2), 2)
F.interpolate(t(1, 1, 4))
F.interpolate(t(1, 1, 4), 8, 2.0)
F.interpolate(t(1, 1, 4), 8, mode="bilinear")
F.interpolate(t(1, 1, 4), 8, mode="nearest", align_corners=True)
F.interpolate(t(1, 1, 4), 8, mode="linear", antialias=True)
F.interpolate(t(1, 1, 4), 8, mode="square")
F.interpolate(t(1, 1, 4), (8, 8))
F.interpolate(t(1, 1, 4), 0)
F.interpolate(t(1, 1, 4), 8.5)
F.interpolate(t(4, 4), 8)
F.grid_sample(t(1, 1, 4, 4), t(1, 2, 2, 3), align_corners=True)
F.grid_sample(t(1, 1, 4, 4), t(2, 2, 2, 2), align_corners=True)
F.grid_sample(t(1, 1, 4, 4), t(1, 2, 2, 2), "cubic", align_corners=True)
F.grid_sample(t(1, 1, 4, 4), t(1, 2, 2, 2), padding_mode="none", align_corners=True)
F.grid_sample(t(1, 1, 4, 4), t(1, 2, 2, 2, dtype="float32"), align_corners=True)
F.grid_sample(t(1, 1, 3, 4, 4), t(1, 2, 2, 2, 3), "bicubic", align_corners=True)
F.affine_grid(t(1, 2, 3), (1, 1, 2), align_corners=True)
F.affine_grid(t(1, 2, 3), (1, 1, 2, 2, 2), align_corners=True)
F.affine_grid(t(1, 2, 3), (1, 1, 0, 2), align_corners=True)
F.group_norm(t(2, 3, 4), 2)
F.group_norm(t(3), 1)
F.group_norm(t(2, 4, 4), 2, t(2))
F.instance_norm(t(2, 3, 1))
F.instance_norm(t(2, 3, 4), use_input_stats=False)
F.rms_norm(t(2, 3), (4,))
F.rms_norm(t(2, 3), ())
F.local_response_norm(t(2, 3), 2)
F.alpha_dropout(t(3), 1.5)
F.dropout1d(t(3))
F.feature_alpha_dropout(t(3), 0.5, True)
F.bilinear(t(2, 3), t(3, 4), t(5, 3, 4))
F.bilinear(t(2, 3), t(2, 4), t(5, 4, 3))
F.bilinear(t(2, 3), t(2, 4), t(5, 3, 4), t(4))
F.pdist(t(3))
F.pdist(i(4, 3, 2))
F.pdist(t(3, 2), -1.0)
F.multi_margin_loss(t(2, 3), i(3, 3))
F.multi_margin_loss(t(2, 3), i(3, 2) + 7)
F.multi_margin_loss(t(2, 3), i(3, 2), p=3)
F.multi_margin_loss(t(2, 3), i(3, 2), weight=c(2))
F.multilabel_margin_loss(t(2, 3), i(3, 2, 2))
F.multilabel_margin_loss(t(2, 3), i(3, 2, 3) + 5)
F.embedding_bag(i(3, 4), t(5, 2))
F.embedding_bag(i(3, 2, 2), t(5, 2), i(1, 2))
F.embedding_bag(i(3, 4), t(5, 2), i(1, 2) + 1)
F.embedding_bag(i(3, 2, 2), t(5, 2), mode="median")
F.embedding_bag(i(3, 2, 2), t(5, 2), per_sample_weights=t(2, 2))
F.embedding_bag(i(3, 2, 2), t(5, 2), mode="sum", per_sample_weights=t(2, 3))
F.embedding_bag(i(3, 2, 2), t(5, 2), mode="max", scale_grad_by_freq=True)
F.scaled_dot_product_attention(t(2, 4, 3), t(2, 4, 3), t(2, 4, 3), t(4, 4), is_causal=True)
F.scaled_dot_product_attention(t(2, 4, 3), t(2, 4, 3), t(2, 4, 3), i(2, 4, 4))
F.scaled_dot_product_attention(t(4), t(4), t(4))
mha(t(3, 1, 4), t(3, 1, 4), t(3, 1, 4), 6, 2, t(12, 4), t(12), None, None, False, 0.0, t(4, 4), t(4))
mha(t(3, 1, 4), t(3, 1, 4), t(3, 1, 4), 4, 3, t(12, 4), t(12), None, None, False, 0.0, t(4, 4), t(4))
mha(t(3, 1, 4), t(3, 4), t(3, 4), 4, 2, t(12, 4), t(12), None, None, False, 0.0, t(4, 4), t(4))
mha(t(3, 1, 4), t(3, 1, 4), t(3, 1, 4), 4, 2, t(12, 4), t(12), None, None, False, 0.0, t(4, 4), t(4), is_causal=True)
F.ctc_loss(t(4, 2, 3), i(2, 2, 2) + 1, (4, 5), (2, 2))
F.ctc_loss(t(4, 2, 3), i(2, 2, 2) + 1, (4,), (2, 2))
F.ctc_loss(t(4, 2, 3), i(2, 2, 2) + 1, (4, 4), (2, 3))
F.ctc_loss(t(4, 2, 3), i(2, 2, 2) + 1, (4, 4), (2, 2), blank=3)
F.ctc_loss(t(4, 2, 3), i(2, 2, 2) + 1, (4, 4), (2, 2), reduction="median")
""".strip().splitlines()


def kind(error: BaseException) -> str:
    """The built-in exception that `error` is."""
    return next(each.__name__ for each in type(error).__mro__ if each.__module__ == "builtins")


@pytest.mark.parametrize("expression", REFUSALS)
def test_refused_as_in_torch(expression: str) -> None:
    found = []
    for library in (torch, gradcore):
        space = Space(library)
        space["mha"] = library.nn.functional.multi_head_attention_forward
        with pytest.raises(Exception) as caught:  # noqa: PT011  (of torch's kind, whichever that is)
            eval(expression, {}, space)
        found.append(caught.value)
    theirs, ours = found
    assert kind(ours) == kind(theirs), f"torch: {theirs!r}; gradcore: {ours!r}"
    assert len(str(ours).split()) > 3
