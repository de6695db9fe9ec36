"""Attention and transformers beside torch's: first weights, outputs, shares, gradients, masks. Not their formula."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from tests.twin import same

torch = pytest.importorskip("torch")

ATTENTION = [
    ("MultiheadAttention(4, 2)", {}),
    ("MultiheadAttention(4, 2, batch_first=True)", {}),
    ("MultiheadAttention(6, 3, bias=False, kdim=5, vdim=3)", {}),
    ("MultiheadAttention(4, 1, add_bias_kv=True, add_zero_attn=True)", {}),
    ("MultiheadAttention(4, 2, dropout=0.5).eval()", {"average_attn_weights": False}),
    ("MultiheadAttention(4, 2, batch_first=True, dtype=T.float64)", {"need_weights": False}),
]


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("code", "more"), ATTENTION)
def test_attention(code: str, more: dict[str, Any], masked: bool, batched: bool) -> None:
    def program(T: Any) -> Any:
        T.manual_seed(0)
        m = eval(f"nn.{code}", {"nn": T.nn, "T": T})
        first = [m.batch_first, list(m.state_dict())]
        dtype = m.out_proj.weight.dtype
        sizes = [(5, 2), (3, 2), (3, 2)]
        sizes = [size[::-1] if m.batch_first else size for size in sizes] if batched else [size[:1] for size in sizes]
        lengths = (m.embed_dim, m.kdim, m.vdim)
        x = [T.randn(*s, n, dtype=dtype).requires_grad_() for s, n in zip(sizes, lengths, strict=True)]
        masks = {}
        if masked:
            padding = T.tensor([[False, False, True], [False, True, False]])
            masks = {"key_padding_mask": padding if batched else padding[0], "attn_mask": T.randn(5, 3) > 1}
        out, shares = m(*x, **masks, **more)
        grads = T.autograd.grad((out**2).sum(), [*x, *m.parameters()], allow_unused=True)
        return [repr(m), first, list(m.state_dict().values()), out, shares, grads]

    same(program, torch, rtol=2e-5)


def to_itself(T: Any, m: Any) -> Any:
    x = T.randn(2, 5, 4)
    causal = T.nn.Transformer.generate_square_subsequent_mask(5)
    return [m(x, src_mask=causal, is_causal=True), m(x, causal), m(x, src_key_padding_mask=T.zeros(2, 5).bool())]


LAYERS = [
    ("TransformerEncoderLayer(4, 2, 7, batch_first=True)", to_itself),
    ("TransformerEncoderLayer(4, 2, 7, 0.0, 'gelu', norm_first=True, batch_first=True, bias=False)", to_itself),
    ("TransformerEncoderLayer(4, 2, 7, activation=T.tanh)", lambda T, m: [m(T.randn(5, 2, 4)), m(T.randn(5, 4))]),
    ("TransformerDecoderLayer(4, 2, 7)", lambda T, m: [m(T.randn(5, 2, 4), T.randn(3, 2, 4))]),
    ("TransformerDecoderLayer(4, 2, 7, dropout=0.3, norm_first=True, batch_first=True)",
     lambda T, m: [m(T.randn(2, 5, 4), T.randn(2, 3, 4), tgt_mask=T.nn.Transformer.generate_square_subsequent_mask(5))]),
    ("TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 7), 2, nn.LayerNorm(4), enable_nested_tensor=False)",
     lambda T, m: [m(T.randn(5, 2, 4), T.nn.Transformer.generate_square_subsequent_mask(5))]),
    ("TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 7), 2)", lambda T, m: [m(T.randn(5, 2, 4), T.randn(3, 2, 4))]),
    ("Transformer(4, 2, 1, 2, 7, batch_first=True)", lambda T, m: [m(T.randn(2, 5, 4), T.randn(2, 3, 4))]),
    ("Transformer(4, 2, 1, 1, 7)", lambda T, m: [m(T.randn(5, 2, 4), T.randn(3, 1, 4))]),
    ("Transformer(4, 2, 1, 1, 7)", lambda T, m: [m(T.randn(5, 2, 4), T.randn(3, 2, 5))]),
    ("MultiheadAttention(5, 2)", None),
    ("MultiheadAttention(0, 2)", None),
    ("TransformerEncoderLayer(4, 2, activation='tanh')", None),
]  # fmt: skip


@pytest.mark.parametrize(("code", "use"), LAYERS, ids=[code for code, _ in LAYERS])
def test_layers(code: str, use: Any) -> None:
    def program(T: Any) -> Any:
        T.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            m = eval(f"nn.{code}", {"nn": T.nn, "T": T})
        outs = use(T, m)
        grads = T.autograd.grad(sum((out**2).sum() for out in outs), list(m.parameters()))
        return [repr(m), list(m.state_dict()), outs, grads]

    same(program, torch, rtol=1e-4, may_raise=True)
