"""Cases of shapes, order, joining, splitting and indexing. It must not know how they are tested."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcore.primitives import indexing, shape
from gradcore.recorder.views import Chain
from tests.cases import Case, normal

ALL = slice(None)


def linear(primitive: str, *shapes: tuple[int, ...], label: str = "", waits: bool = False, **params: Any) -> Case:
    return Case(primitive, normal(*shapes), params, label, complex_=True, waits=waits)


def ints(*numbers: Any) -> Any:
    return np.array(numbers, dtype=np.int64)


# a place twice, one never, one from the end; an index of two dimensions; arrays apart, so that their axis comes first
INDICES = {
    "one": ((3, 4), (ints(2, 0, 2),)),
    "negative": ((3, 4), (ALL, ints(-1, 0))),
    "grid": ((3, 4), (ints(0, 2, 0), ints(1, 1, 1))),
    "matrix": ((5,), (np.array([[0, 1], [1, 4]]),)),
    "apart": ((3, 2, 4), (ints(0, 2), ALL, ints(1, 3))),
    "int32": ((3, 4), (np.array([1, 1], dtype=np.int32),)),
    "nothing": ((3, 4), (ints(),)),
    "mask": ((2, 3), (np.array([[True, False, True], [False, True, True]]),)),
    "mask of rows": ((2, 3), (np.array([True, False]),)),
}
PICKED = {"one": (3, 4), "negative": (3, 2), "grid": (3,), "matrix": (2, 2), "apart": (2, 2), "int32": (2, 4),
          "nothing": (0, 4), "mask": (4,), "mask of rows": (1, 3)}  # fmt: skip
ONCE = ("negative", "nothing", "mask", "mask of rows")  # of several values for one place, which stays is not said

BASIC = {
    "integer": ((3, 4), (1,)),
    "integers": ((3, 4), (1, -1)),
    "slice": ((5, 4), (slice(1, 4, 2),)),
    "new axis": ((3, 4), (ALL, None, slice(0, 2))),
    "empty": ((3, 4), (slice(2, 2),)),
}

COLUMN = Chain(((shape.transpose, {"axes": (1, 0)}, None), (indexing.basic_getitem, {"index": (1,)}, None)))
ROWS_FLAT = Chain(((indexing.basic_getitem, {"index": (slice(1, 3),)}, None), (shape.reshape, {"shape": (8,)}, None)))
TURNED_FLAT = Chain(((shape.transpose, {"axes": (1, 0)}, None), (shape.reshape, {"shape": (6,)}, None)))

CASES = [
    linear("reshape", (2, 6), shape=(3, 4)),
    linear("reshape", (1, 1), label="0-d", shape=()),
    linear("reshape", (0, 2), label="empty", shape=(2, 0, 3)),
    linear("transpose", (2, 3, 4), axes=(2, 0, 1)),
    linear("transpose", (), label="0-d", axes=()),
    linear("expand", (1, 3), shape=(2, 4, 3)),
    linear("expand", (), label="0-d", shape=(2,)),
    linear("expand", (3, 1), label="empty", shape=(3, 0)),
    linear("flip", (2, 3), axis=(0, 1)),
    linear("flip", (2, 3), label="nothing", axis=()),
    linear("roll", (2, 3), shift=(1, -4), axis=(0, 1)),
    linear("roll", (2, 3), label="flat", shift=(2,), axis=None),
    linear("tril", (3, 4), k=0),
    linear("tril", (2, 3, 3), label="batch", k=-1),
    linear("triu", (3, 4), k=1),
    linear("triu", (0, 3), label="empty", k=0),
    linear("diagonal", (3, 4), offset=0, axes=(0, 1)),
    linear("diagonal", (3, 2, 4), label="above", offset=1, axes=(2, 0)),
    linear("diagonal", (3, 4), label="below", offset=-2, axes=(0, 1)),
    linear("diagonal", (3, 4), label="outside", offset=5, axes=(0, 1)),
    linear("diagonal_embed", (2, 3), offset=0, axes=(1, 2), shape=(2, 3, 3)),
    linear("diagonal_embed", (2, 3), label="below", offset=-1, axes=(0, 2), shape=(4, 2, 4)),
    linear("as_strided", (2, 3), layout=((2, 3), (3, 1), 0), target=((2, 2), (1, 2), 1)),
    linear("relayout", (2, 2), layout=((2, 2), (1, 2), 1), target=((2, 3), (3, 1), 0)),
    linear("shared_out", (3, 2), layout=((3, 2), (1, 1), 0)),
    linear("unfold", (2, 7), axis=1, size=3, step=2),
    linear("unfold", (5,), label="vector", axis=0, size=2, step=1),
    linear("fold", (2, 3, 3), axis=1, size=3, step=2, shape=(2, 8)),
    linear("concatenate", (2, 3), (2, 1), (2, 2), axis=1),
    linear("concatenate", (0, 3), (2, 3), label="empty", axis=0),
    linear("stack", (2, 3), (2, 3), axis=1),
    linear("stack", (), (), (), label="0-d", axis=0),
    linear("split", (2, 5), sizes=(2, 0, 3), axis=1),
    linear("unbind", (3, 2), axis=0),
    linear("unbind", (2, 3), label="inner", axis=1),
    *(linear("basic_getitem", x, label=label, index=index) for label, (x, index) in BASIC.items()),
    linear("basic_getitem", (), label="0-d", index=(None,)),
    linear("embed", (4,), index=(1,), shape=(3, 4)),
    linear("embed", (2, 4), label="slice", index=(slice(0, 3, 2),), shape=(3, 4)),
    *(
        linear("getitem", x, label=label, waits="mask" in label, index=index)
        for label, (x, index) in INDICES.items()
    ),
    *(
        linear("scatter_zeros", PICKED[label], label=label, waits="mask" in label, index=index, shape=x)
        for label, (x, index) in INDICES.items()
    ),
    *(
        linear("index_add", x, PICKED[label], label=label, waits="mask" in label, index=index)
        for label, (x, index) in INDICES.items()
    ),
    *(
        linear("index_put", x, PICKED[label], label=label, waits="mask" in label, index=index)
        for label, (x, index) in INDICES.items()
        if label in ONCE
    ),
    linear("slice_update", (3, 4), (3,), view=COLUMN),
    linear("slice_update", (4, 4), (8,), label="rows", view=ROWS_FLAT),
    linear("slice_update", (2, 3), (6,), label="no view of a copy", view=TURNED_FLAT),
]
