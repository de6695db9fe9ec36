"""Size against torch.Size: every expression gives the same repr or the same error type."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcore import size
from gradcore.size import Size

torch = pytest.importorskip("torch")

shapes = st.lists(st.integers(0, 9), max_size=6).map(tuple)
EXPRESSIONS = [
    *("S()", "S([2, 3])", "S((1,))", "S(range(3))", "S([True])", "S([-1, 2])", "S({1: 2})", "S(s)"),
    *("S([1.5])", "S([2, 'a'])", "S('ab')", "S([None])", "S(5)", "S(None)", "S([2], [3])"),
    *("s[0]", "s[-1]", "s[1:]", "s[::-1]", "s[:0]", "s[7]", "s['a']", "s[True]", "s[1:][0]"),
    *("s + (1,)", "(1,) + s", "s + s", "s + ()", "() + s", "s + S([1]) + (2,)", "sum((s, s), ())"),
    *("s + [1]", "[1] + s", "s + 1", "1 + s", "s + ('a',)", "('a',) + s", "s + (1.5,)"),
    *("s * 2", "2 * s", "s * 0", "s * -1", "s * True", "s * 2.0", "s * s", "'a' * s"),
    *("s.numel()", "S().numel()", "S([0, 3]).numel()", "s.count(2)", "s.index(3)", "s.index(9)"),
    *("s == (2, 3, 4)", "s == [2, 3, 4]", "s < (3,)", "hash(s) == hash((2, 3, 4))", "isinstance(s, tuple)"),
    *("str(s)", "f'{s}'", "list(s)", "tuple(s)", "len(s)", "[type(n) for n in s]", "[*reversed(s)]"),
    *("copy.copy(s)", "copy.deepcopy(s)", "pickle.loads(pickle.dumps(s))", "s.__add__(1)"),
]


def outcome(expression: str, S: Any) -> str:
    try:
        return repr(eval(expression, {"S": S, "s": S([2, 3, 4]), "copy": copy, "pickle": pickle}))
    except (TypeError, IndexError, ValueError) as error:
        return type(error).__name__


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expression(expression: str) -> None:
    assert outcome(expression, Size) == outcome(expression, torch.Size)


def test_type_survives() -> None:
    s = Size([2, 3, 4])
    for expression in ("s[1:]", "s + s", "(1,) + s", "s * 2", "copy.deepcopy(s)", "s[:0]", "s + ()"):
        assert type(eval(expression, {"s": s, "copy": copy})) is Size
    assert type(size.of((2,))) is Size
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert type(pickle.loads(pickle.dumps(s, protocol))) is Size


def test_items_are_ints() -> None:
    items = Size([np.int32(3), np.int64(4), True])
    assert [type(item) for item in items] == [int, int, int]
    with pytest.raises(TypeError, match=r"takes an iterable of 'int' \(item 1 is 'float'\)"):
        Size([2, 1.5])


@settings(max_examples=100, deadline=None)
@given(shapes, shapes, st.slices(6))
def test_random_shapes(first: tuple[int, ...], second: tuple[int, ...], part: slice) -> None:
    a, b, ta, tb = Size(first), Size(second), torch.Size(first), torch.Size(second)
    assert repr(a) == repr(ta)
    assert repr(a + b) == repr(ta + tb)
    assert repr((first + b)[part]) == repr((first + tb)[part])
    assert a.numel() == ta.numel() == math.prod(first) == np.empty(first).size
    assert repr(size.of(np.empty(first).shape)) == repr(ta)
