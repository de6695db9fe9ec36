"""Kernels of the nonlinearities of neural networks and their derivatives, over T computed in A; must not know layouts."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy as cp

from gradcore.backends import composed
from gradcore.backends.kernels.launch import elementwise, elementwise_kernels

Bound = Callable[[Callable[..., Any]], Callable[..., Any]]

SOURCES = {
    "sigmoid": ("T x", "y = T(A(1) / (A(1) + exp(-A(x))));"),
    "sigmoid_backward": ("T g, T out", "y = T(A(g) * (A(1) - A(out)) * A(out));"),
    "tanh_backward": ("T g, T out", "y = T(A(g) - A(g) * (A(out) * A(out)));"),
    "gelu": ("T x", "y = T(erfc(A(x) * A(-0.70710678118654752440)) * A(x) * A(0.5));"),
    "gelu_backward": (
        "T g, T x",
        """
        const A a = A(x);
        const A below = (erf(a * A(0.70710678118654752440)) + A(1)) * A(0.5);
        y = T(A(g) * (below + a * exp(a * a * A(-0.5)) * A(0.39894228040143267794)));
        """,
    ),
    "gelu_tanh": (
        "T x",
        """
        const A a = A(x);
        const A t = tanh((a + a * a * a * A(0.044715)) * A(0.79788456080286535588));
        y = T((t + A(1)) * a * A(0.5));
        """,
    ),
    "gelu_tanh_backward": (
        "T g, T x",
        """
        const A a = A(x);
        const A t = tanh((a + a * a * a * A(0.044715)) * A(0.79788456080286535588));
        const A slope = (a * a * A(0.134145) + A(1)) * A(0.79788456080286535588);
        y = T(A(g) * (t + A(1) + a * (A(1) - t * t) * slope) * A(0.5));
        """,
    ),
    "silu": ("T x", "y = T(A(1) / (A(1) + exp(-A(x))) * A(x));"),
    "silu_backward": (
        "T g, T x",
        """
        const A s = A(1) / (A(1) + exp(-A(x)));
        y = T(A(g) * (s * (A(x) * (A(1) - s) + A(1))));
        """,
    ),
    "affine": ("T x, T scale, T shift", "y = T(A(x) * A(scale) + A(shift));"),
    "leaky_relu": ("T x, S slope", "y = A(x) > A(0) ? x : T(A(x) * A(slope));"),
    "leaky_relu_backward": ("T g, T x, S slope", "y = A(x) > A(0) ? g : T(A(g) * A(slope));"),
    "elu": (
        "T x, S alpha, S scale, S inner",
        "y = T(A(x) > A(0) ? A(x) * A(scale) : expm1(A(x) * A(inner)) * (A(alpha) * A(scale)));",
    ),
    "elu_backward": (
        "T g, T x, S alpha, S scale, S inner",
        """
        const A below = A(x) <= A(0) ? A(x) : A(0);
        y = T(A(g) * (A(x) <= A(0) ? exp(below * A(inner)) * (A(alpha) * A(scale) * A(inner)) : A(scale)));
        """,
    ),
    "log_sigmoid": ("T x", "y = T((A(x) < A(0) ? A(x) : A(0)) - log1p(exp(-fabs(A(x)))));"),
    "log_sigmoid_backward": ("T g, T x", "y = T(A(g) / (A(1) + exp(A(x))));"),
    "softplus": (
        "T x, S beta, S threshold",
        """
        const A z = A(x) * A(beta);
        y = z > A(threshold) ? x : T(log1p(exp(z)) / A(beta));
        """,
    ),
    "softplus_backward": (
        "T g, T x, S beta, S threshold",
        """
        const A z = A(x) * A(beta);
        y = z > A(threshold) ? g : T(A(g) / (A(1) + exp(-z)));
        """,
    ),
}

_masked = cp.ElementwiseKernel("T x, M mask", "T y", "y = mask != M(0) ? x : T(0);", "gradcore_masked")
elementwise_kernels.append(_masked)


def bound(name: str, bind: Bound) -> Callable[..., Any]:
    """Return the function `name` of a backend, `bind` giving the backend to what takes it first."""
    return elementwise(name, *SOURCES[name], bind(getattr(composed, name)))


def masked(x: Any, mask: Any) -> Any:
    """Return `x` where `mask` is not 0 and 0 elsewhere, for dtypes that C++ has."""
    return _masked(x, mask)
