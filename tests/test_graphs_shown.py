"""What a graph keeps, and what a backward pass does, as text. It must not need torch."""

from __future__ import annotations

import inspect
import io
import re
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import autograd, engine
from gradcore.autograd import graph
from gradcore.autograd.pulls import formula
from gradcore.recorder.primitive import registry


def leaf(*shape: int, seed: int = 0) -> Any:
    return gradcore.from_numpy(np.random.default_rng(seed).normal(size=shape)).requires_grad_()


# -- memory -----------------------------------------------------------------------------------------------------------


def test_memory_counts_what_is_saved_once() -> None:
    x, w = leaf(100, 8), leaf(8, 4, seed=1)
    y = (x @ w).tanh()
    loss = (y * y).sum() + y.exp().sum()
    held = gradcore.memory(loss)
    rows = {row.operation: row for row in held}
    # The product saves both leaves; y is saved by its square and by tanh, its exponential by exp. Sums save shapes.
    assert held.total == 8 * (100 * 8 + 8 * 4 + 2 * 100 * 4)
    assert held.leaves == 8 * (100 * 8 + 8 * 4)
    assert set(rows) == {"MmBackward0", "MulBackward0", "TanhBackward0", "ExpBackward0"}
    assert rows["MmBackward0"][2:] == (1, ("y", "x"), held.leaves, held.leaves)
    assert rows["TanhBackward0"].saves == ("out",)
    assert rows["TanhBackward0"].bytes + rows["MulBackward0"].bytes == 8 * 400
    assert [row.bytes for row in held] == sorted((row.bytes for row in held), reverse=True)


def test_memory_of_nodes_alike_views_and_freed_nodes() -> None:
    x = leaf(64)
    y = x[:32].exp().sin().sin()
    z = y * x[32:]
    held = gradcore.memory(z)
    rows = {row.operation: row for row in held}
    assert rows["SinBackward0"].nodes == 2
    assert held.total == 8 * (64 + 3 * 32)  # a view keeps all of its memory
    assert held.leaves == 8 * 64
    z.sum().backward()
    assert gradcore.memory(z).total == 0


def test_memory_sees_functions_packed_values_and_several_roots() -> None:
    class Square(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 2 * g * ctx.saved_tensors[0]

    x = leaf(10)
    assert gradcore.memory(Square.apply(x)).total == 80
    with graph.saved_tensors_hooks(lambda t: t.float(), lambda t: t.double()):
        y = x.exp()
    assert gradcore.memory(y).total == 40
    assert gradcore.memory(y, x.exp()).total == 40 + 80
    assert gradcore.memory(x + 1).total == 0
    with pytest.raises(RuntimeError, match="does not require grad"):
        gradcore.memory(x.detach())


def test_memory_is_shown_as_a_table_with_lines_if_they_are_known() -> None:
    x = leaf(1024)
    with autograd.set_detect_anomaly(True):
        y = x.exp()
        line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
    text = repr(gradcore.memory(y * x)).splitlines()
    assert text[0].split() == ["operation", "nodes", "saves", "memory"]
    assert re.fullmatch(r"MulBackward0 +1 +y, x +16\.0 KiB", text[1])
    assert re.match(rf'ExpBackward0 +1 +out +0 bytes +"{re.escape(__file__)}", line {line}\b', text[2])
    assert text[3] == "in all 16.0 KiB, of which 8.0 KiB belong to leaves"


# -- the backward pass, traced ----------------------------------------------------------------------------------------


def traced(f: Any, **options: Any) -> str:
    out = io.StringIO()
    with gradcore.trace_backward(out, **options):
        f()
    return out.getvalue()


def test_each_node_is_told_with_its_rules_and_numbers() -> None:
    x, w = gradcore.tensor([1.0, 2.0], requires_grad=True), gradcore.tensor([3.0, 4.0], requires_grad=True)
    total = ((x * w).exp() / 100).sum()
    before = list(engine.observers)
    text = traced(lambda: total.backward())
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert [block.splitlines()[0] for block in blocks] == ["SumBackward0", "DivBackward0", "ExpBackward0", "MulBackward0"]
    assert blocks[2].splitlines() == [
        "ExpBackward0",
        "  g = tensor([0.0100, 0.0100])",
        "  out = tensor([  20.0855, 2980.9580])",
        "  x: g * out, to MulBackward0: tensor([ 0.2009, 29.8096])",
    ]
    assert "  x: g * y, to the leaf of shape [2]: tensor([  0.6026, 119.2383])" in blocks[3]
    assert "  y: g * x, to the leaf of shape [2]: tensor([ 0.2009, 59.6192])" in blocks[3]
    assert x.grad.tolist() == pytest.approx([0.6026, 119.2383], rel=1e-4)
    assert engine.observers == before
    assert traced(lambda: None) == ""


def test_all_kinds_of_sweeps_and_nodes_are_told() -> None:
    class Twice(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    x = leaf(6)
    parts = Twice.apply(x).chunk(2)
    total = parts[0].sum() + x.std()
    first = traced(lambda: autograd.grad(total, x, create_graph=True))
    second = traced(lambda: total.backward())
    for text in (first, second):
        assert "TwiceBackward\n" in text
        assert "  to output 0 of TwiceBackward: " in text or "  to TwiceBackward: " in text or "TwiceBackward: " in text
        assert "  g = nothing" in text  # of the other part
        assert "grad_fn" not in text
    wanted = leaf(3)
    with_inputs = traced(lambda: (x.exp().sum() + wanted.sum()).backward(inputs=[wanted]))
    assert "Exp" not in with_inputs
    assert "..." in traced(lambda: leaf(100).exp().sum().backward())
    assert "..." not in traced(lambda: leaf(100).exp().sum().backward(), threshold=1000)


def test_an_error_in_a_traced_pass_passes_on() -> None:
    x = leaf(2)
    y = x.exp()
    y.sum().backward()
    before = list(engine.observers)
    with pytest.raises(RuntimeError, match="second time"):
        traced(lambda: y.sum().backward())
    assert engine.observers == before


def test_every_rule_has_a_formula() -> None:
    registry.load()
    for op in registry.values():
        for _, rule in op.all_rules():
            assert "lambda" not in formula(rule)
    assert formula(registry["multiply"].rules["x"]) == "g * y"
    assert formula(registry["multiply"].rules["y"]) == "g * x"
