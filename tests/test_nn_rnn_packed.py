"""Sequences of several lengths beside torch's: packed, padded, through recurrent layers, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import gradcore
import gradcore.nn.utils.rnn
from tests.test_nn_rnn import LAYERS
from tests.twin import same

torch = pytest.importorskip("torch")

# Expressions over `r` (the module), sequences `a`, of lengths 3, 5, 2, and `d`, in order; `x` is padded, of lengths 5, 3, 3.
PROGRAMS = [
    "r.pad_sequence(a)", "r.pad_sequence(a, batch_first=True, padding_value=-1.5)",
    "r.pad_sequence(a, padding_side='left')", "r.pad_sequence([T.arange(3), T.arange(2)], True, padding_value=7)",
    "r.pad_sequence(T.ones(2, 3))", "r.pad_sequence([])", "r.pad_sequence(3)", "r.pad_sequence(a, padding_side='middle')",
    "list(r.pack_sequence(a, enforce_sorted=False))", "list(r.pack_sequence(d))", "r.pack_sequence(a)",
    "r.pack_sequence([])", "list(r.pack_padded_sequence(x, [5, 3, 3]))",
    "list(r.pack_padded_sequence(x, T.tensor([2, 5, 1]), enforce_sorted=False))",
    "list(r.pack_padded_sequence(x.transpose(0, 1), [4, 3, 3], batch_first=True))", "r.pack_padded_sequence(x, [5, 3])",
    "r.pack_padded_sequence(x, [5, 3, 0])", "r.pack_padded_sequence(x, [[5, 3, 3]])",
    "r.pack_padded_sequence(x[:, :0], [])", "r.pack_padded_sequence(x, [3, 5, 3])", "list(r.pad_packed_sequence(p))",
    "list(r.pad_packed_sequence(p, batch_first=True, padding_value=2.0, total_length=7))",
    "list(r.pad_packed_sequence(r.pack_sequence(d), batch_first=True))", "r.pad_packed_sequence(p, total_length=4)",
    "r.unpack_sequence(p)", "r.unpad_sequence(x.clone(), T.tensor([5, 1, 3]))",
    "r.invert_permutation(T.tensor([2, 0, 1]))", "r.invert_permutation(None)", "repr(r.pack_sequence(d))",
    "list(p.double())", "str(p.long().data.dtype)", "p.to(T.float32) is p",
    "[str(p.half().data.dtype), p.cpu() is p, p.is_cuda]",
    "list(r.PackedSequence(p.data, p.batch_sizes, p.sorted_indices))", "list(r.PackedSequence((p.data, p.batch_sizes)))",
    "r.PackedSequence(p.data)", "T.autograd.grad((r.pad_packed_sequence(p)[0] ** 2 * x[:, :, :2]).sum(), a)",
    "T.autograd.grad((r.pack_padded_sequence(w, [5, 3, 1]).data ** 3).sum(), w)", "T.nn.GRU(3, 3)(p)",
    "T.nn.GRU(2, 3)(p.double())",
]  # fmt: skip


@pytest.mark.parametrize("code", PROGRAMS)
def test_functions(code: str) -> None:
    def program(T: Any) -> Any:
        T.manual_seed(4)
        r = T.nn.utils.rnn
        a = [T.randn(n, 2, requires_grad=True) for n in (3, 5, 2)]
        d = [a[1], a[0], a[2]]
        w = T.randn(5, 3, 4, requires_grad=True)
        world = {"T": T, "r": r, "a": a, "d": d, "x": w.detach(), "w": w, "p": r.pack_sequence(a, enforce_sorted=False)}
        return without_names(eval(code, world))

    same(program, torch, may_raise=True)


def without_names(x: Any) -> Any:
    """Results without the names of nodes, but for those of packing itself."""
    if isinstance(x, (tuple, list)):
        return [without_names(each) for each in x]
    return x.detach() if hasattr(x, "detach") else x


@pytest.mark.parametrize("code", [each for each in LAYERS if "batch_first" not in each or "LSTM" in each])
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("with_state", [False, True])
def test_layers(code: str, ordered: bool, with_state: bool) -> None:
    def program(T: Any) -> Any:
        T.manual_seed(0)
        m = eval(f"nn.{code}", {"nn": T.nn, "T": T})
        dtype = m.weight_ih_l0.dtype
        sequences = [T.randn(n, 3, dtype=dtype, requires_grad=True) for n in ((4, 4, 2, 1) if ordered else (2, 4, 1, 4))]
        packed = T.nn.utils.rnn.pack_sequence(sequences, enforce_sorted=ordered)
        hx = None
        if with_state:
            _, last = m(packed)
            hx = [T.randn(each.shape, dtype=dtype).requires_grad_() for each in (last if "LSTM" in code else [last])]
        out, last = m(packed, (tuple(hx) if "LSTM" in code else hx[0]) if hx else None)
        states = list(last) if "LSTM" in code else [last]
        loss = (out.data * T.randn(out.data.shape, dtype=dtype)).sum() + sum((each**2).sum() for each in states)
        grads = T.autograd.grad(loss, [*sequences, *m.parameters(), *(hx or [])])
        return [out.data.detach(), out.batch_sizes, out.unsorted_indices, [e.detach() for e in states], grads]

    same(program, torch, rtol=2e-5)


def test_a_packed_batch_is_each_sequence_alone() -> None:
    m = gradcore.nn.LSTM(3, 4, 2, bidirectional=True, dtype=gradcore.float64)
    sequences = [gradcore.randn(n, 3, dtype=gradcore.float64) for n in (3, 1, 4, 4)]
    out, (h, c) = m(gradcore.nn.utils.rnn.pack_sequence(sequences, enforce_sorted=False))
    for i, (one, x) in enumerate(zip(gradcore.nn.utils.rnn.unpack_sequence(out), sequences, strict=True)):
        alone, (h1, c1) = m(x)
        for ours, theirs in ((one, alone), (h[:, i], h1), (c[:, i], c1)):
            assert (ours - theirs).abs().max() < 1e-12


@pytest.mark.parametrize("code", [
    "r.pack_padded_sequence(x, [4, 2])", "T.nn.LSTM(2, 3)(r.PackedSequence(T.ones(3), T.tensor([2, 1])))",
    "T.nn.GRU(2, 3)(r.pack_sequence([x[0], x[1]]), T.ones(1, 3, 3))", "r.pad_sequence([T.ones(2, 3), T.ones(2, 2)])",
])  # fmt: skip
def test_what_does_not_fit(code: str) -> None:
    x = gradcore.ones(3, 2, 2)
    with pytest.raises(RuntimeError, match=r"Expected|dimension"):
        eval(code, {"T": gradcore, "r": gradcore.nn.utils.rnn, "x": x})


def test_nodes_have_torchs_name() -> None:
    x = gradcore.ones(3, 2, 2, requires_grad=True)
    packed = gradcore.nn.utils.rnn.pack_padded_sequence(x, [3, 1])
    assert packed.data.grad_fn.name() == "PackPaddedSequenceBackward0"
