"""Cases of reductions: over axes, running, sorted, exponential. It must not know how they are tested."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from tests.cases import Case, normal


def axes(primitive: str, *, complex_: bool = False, smooth: bool = True, **params: Any) -> list[Case]:
    """Over everything, some axes, kept axes, a 0-d array and nothing."""
    options: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
        "all": ((2, 3, 2), {"axis": (0, 1, 2)}),
        "two": ((2, 3, 2), {"axis": (0, 2)}),
        "kept": ((2, 3, 2), {"axis": (1,), "keepdims": True}),
        "0-d": ((), {"axis": ()}),
        "empty": ((0, 3), {"axis": (1,)}),
    }
    return [
        Case(primitive, normal(shape), {**params, **over}, label, complex_, smooth)
        for label, (shape, over) in options.items()
    ]


def counted(primitive: str, **params: Any) -> list[Case]:
    """Over axes, as `axes`, with the number of elements and one degree of freedom less."""
    sizes = {"all": 12, "two": 4, "kept": 3, "0-d": 1, "empty": 3}
    return [
        Case(primitive, c.make, {**c.params, "count": sizes[c.label], "dof": sizes[c.label] - 1}, c.label, True)
        for c in axes(primitive, **params)
        if c.label != "0-d"
    ]


def one_axis(primitive: str, *, complex_: bool = False, smooth: bool = True, **params: Any) -> list[Case]:
    """Along the first, a middle and the last axis, of one element, of none and of a 0-d array."""
    options = {"first": ((4, 2), 0), "middle": ((2, 5, 2), 1), "last": ((3, 6), 1), "one": ((3, 1), 1),
               "empty": ((0, 2), 0), "0-d": ((), 0)}  # fmt: skip
    return [
        Case(primitive, normal(shape), {**params, "axis": axis}, label, complex_, smooth)
        for label, (shape, axis) in options.items()
    ]


def zeros(*places: int) -> Any:
    """Five numbers, those at `places` zero."""

    def make(rng: np.random.Generator) -> tuple[Any, ...]:
        x = rng.normal(size=5)
        x[list(places)] = 0
        return (x,)

    return make


def ties(rng: np.random.Generator) -> tuple[Any, ...]:
    """Small whole numbers, of which many are equal."""
    return (rng.integers(0, 3, size=(4, 6)).astype(float),)


def with_indices(*shapes: tuple[int, ...], axis: int, n: int, distinct: bool) -> Any:
    """An array and indices below `n` of the second shape, each once along `axis` if `distinct`."""

    def make(rng: np.random.Generator) -> tuple[Any, ...]:
        shape = shapes[1]
        if distinct:
            indices = np.argsort(rng.random((*shape[:axis], n, *shape[axis + 1 :])), axis)
            indices = indices.take(range(shape[axis]), axis)
        else:
            indices = rng.integers(0, n, size=shape)
        return rng.normal(size=shapes[0]), indices

    return make


def whole(*shape: int, high: int = 5) -> Any:
    """Whole numbers as int64."""
    return lambda rng: (rng.integers(0, high, size=shape),)


def with_whole(*shape: int, high: int = 5) -> Any:
    """Whole numbers as int64 and as many normal ones."""
    return lambda rng: (rng.integers(0, high, size=shape), rng.normal(size=shape))


def tallied(weighted: bool) -> Any:
    """Two rows of places below 6, and weights."""
    return lambda rng: (rng.integers(0, 6, (2, 9)), rng.normal(size=(2, 9)) if weighted else None)


def rows_and_values(*shapes: tuple[int, ...]) -> Any:
    """Sorted rows and values to look for, some of them equal to elements."""

    def make(rng: np.random.Generator) -> tuple[Any, ...]:
        x, values = (rng.integers(-3, 4, size=shape) / 2 for shape in shapes)
        return np.sort(x, -1), values

    return make


CASES = [
    *axes("sum", complex_=True),
    *(
        Case("inner", normal((2, 3, 4), (2, 3, 4)), {"axis": axis}, f"over {axis}", True)
        for axis in [(2,), (1, 2), (0, 1, 2), (0,), (1,)]
    ),
    Case("sum", normal((2, 3)), {"axis": None}, "None", True),
    Case("sum", normal((2, 3)), {"axis": None, "count": 6}, "mean", True),
    Case("sum", normal((2, 3)), {"axis": (1,), "count": 3, "keepdims": True}, "mean kept", True),
    Case("sum", normal((0, 3)), {"axis": (1,), "count": 3}, "mean empty", True),
    Case("spread", normal(()), {"axis": None, "shape": (2, 3)}, "None", True),
    Case("spread", normal((3,)), {"axis": (0, 2), "shape": (2, 3, 2)}, "axes", True),
    Case("spread", normal((1, 3)), {"axis": (0,), "shape": (2, 3), "count": 2.5}, "count", True),
    Case("spread", normal((3, 1)), {"axis": (1,), "shape": (3, 5000)}, "large", True),
    Case("spread", normal(()), {"axis": None, "shape": (0, 2)}, "empty", True),
    Case("integer_sum", whole(3, 4), {"axis": (1,)}),
    *(case for name in ("amax", "amin", "aminmax") for case in axes(name)),
    *(
        Case(name, ties, {"axis": (1,), "nans": nans}, "ties", smooth=False)
        for name in ("amax", "amin")
        for nans in (False, True)
    ),
    *counted("var"),
    *counted("std"),
    *counted("var_mean"),
    *counted("std_mean"),
    Case("std", lambda rng: (np.ones((2, 3)),), {"axis": (1,), "count": 3, "dof": 2}, "equal", smooth=False),
    *(
        case
        for order in (2.0, 3.0, 1.5, 4.0)
        for case in axes("vector_norm", order=order, complex_=True)
        if case.label in ("two", "kept", "empty")
    ),
    *(
        Case("vector_norm", normal((3, 4), low=0.5, high=2.0), {"order": order, "axis": (1,)}, str(order))
        for order in (0.5, 1.0, inf, -inf, -1.0, -2.5)
    ),
    *(
        Case(
            "vector_norm",
            lambda rng: (np.zeros((2, 3)),),
            {"order": order, "axis": (1,)},
            "at zero",
            smooth=False,
        )
        for order in (1.0, inf)
    ),
    # running
    *(case for reverse in (False, True) for case in one_axis("cumsum", complex_=True, reverse=reverse)),
    *(
        case
        for reverse in (False, True)
        for exclusive in (False, True)
        for case in one_axis("cumprod", complex_=True, reverse=reverse, exclusive=exclusive)
    ),
    *(
        Case("cumprod", zeros(*places), {"axis": 0, "exclusive": exclusive}, f"zeros {places}")
        for places in ((0,), (2,), (1, 3), (0, 4))
        for exclusive in (False, True)
    ),
    *(Case("prod", zeros(*places), {"axis": 0}, f"zeros {places}", True) for places in ((), (0,), (1, 3), (0, 1, 4))),
    Case("prod", normal((2, 3, 2)), {"axis": 1, "keepdims": True}, "kept", True),
    Case("prod", normal((0, 3)), {"axis": 0}, "nothing"),
    Case("prod", normal((0, 3)), {"axis": 1}, "empty"),
    *(
        Case("recurrence", normal(a, b), {"axis": axis, "reverse": reverse}, label, True)
        for label, a, b, axis in (
            ("first", (4, 2), (5, 2), 0),
            ("last", (2, 6), (2, 7), 1),
            ("one", (0,), (1,), 0),
            ("none", (0, 2), (0, 2), 0),
        )
        for reverse in (False, True)
    ),
    *one_axis("logcumsumexp"),
    # sorted
    *(
        Case(
            "pick",
            with_indices((4, 3), (2, 3), axis=0, n=4, distinct=d),
            {"axis": 0, "distinct": d},
            f"{d}",
            True,
        )
        for d in (False, True)
    ),
    Case(
        "pick",
        with_indices((4, 3), (4,), axis=0, n=3, distinct=False),
        {"axis": 1, "keepdims": False},
        "one",
        True,
    ),
    *(
        Case(
            "place",
            with_indices((2, 3), (2, 3), axis=0, n=4, distinct=d),
            {"axis": 0, "shape": (4, 3), "distinct": d},
            f"{d}",
            True,
        )
        for d in (False, True)
    ),
    Case(
        "place",
        with_indices((4,), (4,), axis=0, n=3, distinct=False),
        {"axis": 1, "shape": (4, 3), "keepdims": False},
        "one",
        True,
    ),
    Case("median", normal((3, 3)), {}, "odd"),
    Case("median", normal((2, 3)), {"skip_nan": True}, "even"),
    Case("median", ties, {}, "ties", smooth=False),
    *(
        Case(name, ties, {"axis": 1, **params}, smooth=False)
        for name, params in (
            ("argmax", {}),
            ("argmin", {"keepdims": True}),
            ("argsort", {}),
            ("argsort", {"descending": True, "count": 3}),
            ("argkth", {"k": 2}),
            ("argmedian", {}),
            ("argmedian", {"skip_nan": True, "keepdims": True}),
            ("argmode", {}),
            ("argcummax", {}),
            ("argcummax", {"largest": False}),
        )
    ),
    Case("argsort", normal((2, 100)), {"axis": 1, "descending": True, "count": 3}, "few", smooth=False),
    # exponentials
    *(
        case
        for name, n in (("softmax", 1), ("log_softmax", 1), ("softmax_backward", 2), ("log_softmax_backward", 2))
        for label, shape, over in (
            ("last", (2, 4), (1,)),
            ("first", (3, 2), (0,)),
            ("0-d", (), ()),
            ("empty", (0, 3), (1,)),
            ("none", (2, 0), (1,)),
        )
        for case in [Case(name, normal(*[shape] * n), {"axis": over}, label)]
    ),
    *axes("logsumexp", complex_=True),
    Case("logsumexp", lambda rng: (1e3 * np.ones((2, 3)),), {"axis": (1,)}, "large", smooth=False),
    # counted
    *(Case(name, ties, {"axis": (1,)}, smooth=False) for name in ("all", "any", "count_nonzero")),
    Case("bincount", with_whole(7), {"minlength": 3}, smooth=False, waits=True),
    Case("searchsorted", rows_and_values((6,), (2, 3)), {"right": True}, smooth=False),
    Case("searchsorted", rows_and_values((2, 7), (2, 3)), {"right": False}, "rows", smooth=False),
    *(
        Case("tally", tallied(weighted), {"bins": 4, "dtype": np.dtype("f4")}, label, smooth=False, waits=True)
        for label, weighted in (("", False), ("weights", True))
    ),
    Case("unique", ties, {"axis": None}, smooth=False, waits=True),
    Case("unique", ties, {"axis": 1}, "axis", smooth=False, waits=True),
    Case("distinct", ties, smooth=False, waits=True),
    Case("unique_runs", ties, {"axis": None}, smooth=False, waits=True),
    Case("unique_runs", ties, {"axis": 1}, "axis", smooth=False, waits=True),
]
