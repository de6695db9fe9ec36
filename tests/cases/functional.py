"""Cases of the primitives behind nn.functional."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcore.primitives.windows import Window
from tests.cases import Case, normal, pointwise


def window(
    kernel: tuple[int, ...],
    stride: tuple[int, ...] = (),
    dilation: tuple[int, ...] = (),
    padding: tuple[tuple[int, int], ...] = (),
) -> Window:
    n = len(kernel)
    return Window(kernel, stride or (1,) * n, dilation or (1,) * n, padding or ((0, 0),) * n)


def after(shapes: list[tuple[int, ...]], *rest: Any) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    """Normal arrays, then what the functions `rest` of a generator return; other values as they are."""

    def make(rng: np.random.Generator) -> tuple[Any, ...]:
        arrays = [np.asarray(rng.normal(size=shape)) for shape in shapes]
        return (*arrays, *(each(rng) if callable(each) else each for each in rest))

    return make


def integers(high: int, *shape: int) -> Callable[[np.random.Generator], Any]:
    return lambda rng: rng.integers(0, high, size=shape)


def away_from_kinks(primitive: str, **params: Any) -> list[Case]:
    """The pointwise cases on either side of the kink at 0 that such a function has."""
    sides = [
        *pointwise(primitive, low=0.1, high=2.0, **params),
        *pointwise(primitive, low=-2.0, high=-0.1, **params),
    ]
    kink = Case(primitive, lambda rng: (np.array([-1.0, -0.0, 0.0, 1.0]),), params, "kink", smooth=False)
    return [*sides, kink]


ACTIVATIONS = [
    *away_from_kinks("relu"),
    *away_from_kinks("leaky_relu", slope=0.2),
    *away_from_kinks("elu"),
    *away_from_kinks("elu", alpha=1.7, scale=1.1, input_scale=0.6),
    Case("hardtanh", normal((3, 4), low=-0.9, high=0.9), {"low": -1.0, "high": 1.0}, "inside"),
    Case("hardtanh", normal((3, 4), low=1.1, high=2.0), {"low": -1.0, "high": 1.0}, "outside"),
    Case("hardtanh", lambda rng: (np.array([-1.0, 1.0]),), {"low": -1.0, "high": 1.0}, "edge", smooth=False),
    Case("masked", after([(3, 4)], lambda rng: rng.random((3, 4)) < 0.5), complex_=True),
    Case("masked", after([(3, 4)], lambda rng: rng.random((3, 1)) < 0.5), label="broadcast"),
    Case("masked", lambda rng: (rng.normal(size=(3, 4)), rng.uniform(0.5, 1, (3, 1))), label="of numbers"),
    *pointwise("gelu"),
    *pointwise("gelu_tanh"),
    *pointwise("gelu_backward", 2),
    *pointwise("gelu_tanh_backward", 2),
    *pointwise("silu_backward", 2, complex_=True),
    *pointwise("softplus_backward", 2, beta=1.0, threshold=20.0),
    *pointwise("softplus_backward", 2, low=1.0, high=3.0, beta=2.0, threshold=1.0),
    *pointwise("silu", complex_=True),
    *pointwise("softplus", beta=1.0, threshold=20.0),
    *pointwise("softplus", low=1.0, high=3.0, beta=2.0, threshold=1.0),
    *pointwise("log_sigmoid"),
    Case("log_sigmoid", normal((5,), low=-40.0, high=40.0), label="wide"),
]

GEOMETRIES = [
    ("plain", [(2, 3, 5), (4, 3, 2)], window((2,)), 1),
    ("strided", [(2, 2, 7), (4, 2, 3)], window((3,), (2,), padding=((1, 1),)), 1),
    ("2-d", [(2, 4, 5, 6), (2, 4, 3, 2)], window((3, 2), (2, 1), (1, 2), ((1, 1), (0, 2))), 1),
    ("groups", [(2, 4, 4, 5), (6, 2, 2, 3)], window((2, 3), padding=((0, 1), (1, 1))), 2),
    ("many out", [(2, 1, 6, 5), (7, 1, 3, 2)], window((3, 2), dilation=(1, 2), padding=((1, 1), (0, 1))), 1),
    ("depthwise, 2-d", [(2, 3, 6, 7), (3, 1, 3, 3)], window((3, 3), padding=((1, 1), (1, 1))), 3),
    ("depthwise", [(2, 3, 4), (6, 1, 2)], window((2,)), 3),
    ("depthwise, strided", [(2, 3, 5, 6), (3, 1, 2, 3)], window((2, 3), (2, 1), (1, 2), ((0, 1), (2, 1))), 3),
    ("pointwise", [(2, 3, 2, 2), (2, 3, 1, 1)], window((1, 1)), 1),
    ("3-d", [(1, 2, 3, 3, 3), (2, 2, 2, 1, 2)], window((2, 1, 2)), 1),
    ("empty", [(0, 2, 5), (3, 2, 2)], window((2,)), 1),
    ("empty, 2-d", [(0, 2, 5, 5), (13, 2, 2, 2)], window((2, 2)), 1),
]


def convolutions() -> list[Case]:
    found = []
    for label, (x, w), geometry, groups in GEOMETRIES:
        y = (x[0], w[0], *geometry.out(x[2:]))
        params: dict[str, Any] = {"window": geometry, "groups": groups}
        found += [
            Case("convolve", normal(x, w), params, label, complex_=True),
            Case("convolve_transposed", normal(y, w), {**params, "size": x[2:]}, label, complex_=True),
            Case("convolve_kernel", normal(x, y), params, label, complex_=True),
            Case("columns", normal(x), {"window": geometry}, label, complex_=True),
            Case(
                "image",
                normal((*x[:2], *geometry.kernel, *geometry.out(x[2:]))),
                {"window": geometry, "size": x[2:]},
                label,
                complex_=True,
            ),
        ]
    return found


def distinct(*shape: int) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    """Numbers so far apart that a small step changes no order."""
    return lambda rng: (rng.permutation(int(np.prod(shape))).reshape(shape) / 8.0,)


POOLING = [
    Case("max_pool", distinct(2, 5), {"window": window((2,), (2,))}),
    Case(
        "max_pool",
        distinct(2, 3, 5, 6),
        {"window": window((3, 2), (1, 2), padding=((1, 1), (0, 0)))},
        "overlapping",
    ),
    Case("max_pool", distinct(2, 5, 7), {"window": window((2, 2), (2, 1), (2, 3), ((1, 1), (1, 1)))}, "dilated"),
    Case("max_pool", distinct(1, 3, 3, 3), {"window": window((2, 2, 2))}, "3-d"),
    Case(
        "max_pool",
        lambda rng: (rng.integers(0, 2, (2, 6, 6)).astype(float),),
        {"window": window((3, 3))},
        "ties",
        smooth=False,
    ),
    *(
        Case(
            primitive,
            normal(shape),
            {"window": geometry, "counted": counted, "divisor": divisor, **size},
            label,
        )
        for label, x, geometry, counted, divisor in [
            ("plain", (2, 3, 5, 4), window((2, 2), (2, 2)), True, None),
            ("padding counted", (2, 5, 4), window((3, 2), (1, 2), padding=((1, 1), (1, 1))), True, None),
            ("padding not counted", (2, 5, 4), window((3, 2), (1, 2), padding=((1, 1), (1, 1))), False, None),
            ("ceil", (2, 5), window((2,), (2,), padding=((0, 1),)), True, None),
            ("divisor", (2, 5), window((3,), (2,)), False, 2),
        ]
        for primitive, shape, size in [
            ("avg_pool", x, {}),
            (
                "avg_pool_transposed",
                (*x[: -geometry.ndim], *geometry.out(x[-geometry.ndim :])),
                {"size": x[-geometry.ndim :]},
            ),
        ]
    ),
]

class _Half:
    """A source of random numbers that are all the same."""

    @staticmethod
    def random(shape: Any, dtype: Any) -> Any:
        return np.full(shape, 0.5, dtype)

    @staticmethod
    def call() -> tuple[Any, Any, Any]:
        return np.uint64(1), np.uint64(1), np.uint64(0)


RARE = 1e-12  # a probability that the numbers of a device do not tell from 0
QKV = [(2, 3, 4), (2, 5, 4), (2, 5, 4)]

ATTENTION = [
    *(
        Case("attend", after(QKV, mask), {"scale": 0.5, "causal": causal, "boolean": "boolean" in label}, label)
        for label, causal, mask in (
            ("all", False, None),
            ("causal", True, None),
            ("boolean", False, lambda rng: rng.random((2, 1, 5)) < 0.7),
            ("boolean, nobody", False, lambda rng: np.array([[True], [False], [True]])),
        )
    ),
    Case("attend", after(QKV, None), {"scale": 0.5, "causal": True, "drop": RARE, "source": _Half()}, "dropout"),
    Case("dropout", normal((3, 4)), {"p": RARE, "source": _Half()}),
]

NORMALISATION = [
    Case("standardize", normal((3, 4, 2)), {"axis": (1, 2), "eps": 1e-5}),
    *(
        Case("normalize", normal(shape, weights, weights), {"axis": axis, "eps": 1e-3, "channel": channel}, label)
        for label, shape, weights, axis, channel in (
            ("rows", (3, 4, 2), (4, 2), (1, 2), 1),
            ("channels", (2, 3, 2, 2), (3,), (0, 2, 3), 1),
            ("columns", (5, 3), (3,), (0,), 1),
            ("other weights", (2, 3, 4), (3,), (2,), 1),
        )
    ),
    Case("standardize", normal((5, 3)), {"axis": (0,), "eps": 0.1}, "first axis"),
    Case("standardize", normal((3, 4, 2)), {"axis": (1, 2), "eps": 1e-5, "centred": False}, "by the mean square"),
    Case(
        "destandardize", normal((3, 4, 2), (3, 4, 2), (3, 1, 1)), {"axis": (1, 2), "centred": False}, "by the mean square"
    ),
    Case("standardize", normal((2, 3, 2, 2)), {"axis": (0, 2, 3), "eps": 1e-5}, "channels"),
    *(
        Case("destandardize", normal(shape, shape, kept), {"axis": axis}, label)
        for label, shape, kept, axis in [
            ("last axes", (3, 2, 4), (3, 1, 1), (1, 2)),
            ("channels", (2, 3, 4), (1, 3, 1), (0, 2)),
        ]
    ),
    Case("affine", normal((3, 4), (4,), (4,))),
    Case("affine", normal((2, 3, 2), (1, 3, 1), (1, 3, 1)), label="channels"),
]

LOSSES = [
    *(
        Case(primitive, after([shape], integers(4, *target)), {**size, "weights": weights, "total": total}, label)
        for label, x, target, weights in [
            ("share", (5, 4), (5,), -0.2),
            ("weights", (3, 4), (3,), np.array([0.5, -2.0, 0.0], "float16")),
            ("places", (2, 4, 3), (2, 3), np.array([[0.5, -2.0, 0.0], [1.0, 0.25, -0.5]], "float16")),
            ("one", (4,), (), -1.0),
        ]
        for total in (True, False)
        for primitive, shape, size in [
            ("score", x, {}),
            ("spread_score", () if total else target, {"shape": x}),
        ]
    ),
    *(
        Case(primitive, after([(n, classes)], integers(classes, n)), params, f"{classes} classes")
        for primitive, params in [("cross_entropy", {"share": 0.3}), ("less_at", {})]
        for n, classes in [(3, 4), (2, 70)]
    ),
    *pointwise("squared_error", 2),
    *(
        Case("squared_errors", normal(shape, shape), {"axis": axis, "count": count}, f"{shape} over {axis}")
        for shape, axis, count in [((2, 3), None, 6), ((2, 3, 4), (0, 2), 1), ((), None, 1), ((0, 3), (1,), 3)]
    ),
    *pointwise("binary_cross_entropy", 2, low=0.1, high=0.9),
    *pointwise("binary_cross_entropy_with_logits", 2),
    Case("binary_cross_entropy_with_logits", normal((4,), (4,), low=-30.0, high=30.0), label="wide"),
]

EMBEDDING = [
    Case("embedding", after([(5, 3)], integers(5, 2, 4))),
    # With a padding row the derivative is not that of the forward, on purpose.
    Case("embedding", after([(5, 3)], integers(5, 7)), {"padding": 2}, "padding", smooth=False),
    Case("embedding", after([(5, 3)], integers(5, 7)), {"by_frequency": True}, "frequency", smooth=False),
    Case("add_rows", after([(2, 4, 3)], integers(5, 2, 4)), {"rows": 5}),
    Case("add_rows", after([(0, 3)], integers(5, 0)), {"rows": 5}, "empty"),
]

PADDING = [
    Case(
        "pad",
        normal((2, 3)),
        {"index": (slice(1, 3), slice(0, 3)), "shape": (4, 3), "value": 2.5},
        complex_=True,
    ),
    *(
        Case(
            primitive,
            normal(shape),
            {"axis": 1, "before": before, "after": behind, "mode": mode},
            mode,
            complex_=True,
        )
        for mode in ("reflect", "replicate", "circular")
        for before, behind in [(2, 3), (0, 1), (3, 0)]
        for primitive, shape in [("repeat_borders", (2, 4, 3)), ("fold_borders", (2, 4 + before + behind, 3))]
    ),
]

CASES = [*ACTIVATIONS, *ATTENTION, *convolutions(), *POOLING, *NORMALISATION, *LOSSES, *EMBEDDING, *PADDING]
