"""Samples of categories that have a gradient, as torch.nn.functional spells them. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore.graph import modes
from gradcore.ops.arguments import need_tensor
from gradcore.ops.conversion import contiguous
from gradcore.ops.extrema import argmax
from gradcore.ops.registry import op
from gradcore.ops.sampling import drawn_like, exponential
from gradcore.ops.scatter import scatter
from gradcore.ops.softmax import softmax
from gradcore.primitives import elementwise as e
from gradcore.primitives.transcendental import log
from gradcore.recorder import wrap
from gradcore.recorder.caller import warn

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


@op(namespace="nn.functional", method=False)
def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """Draw from the Gumbel-softmax distribution of `logits` over `dim`; `hard` gives one-hot vectors, whose gradient is
    that of the soft ones.

    Jang, Gu and Poole, "Categorical Reparameterization with Gumbel-Softmax" (2017).
    """
    need_tensor(logits, "gumbel_softmax", "logits")
    if eps != 1e-10:
        warn("`eps` parameter is deprecated and has no effect.")
    with modes.no_grad():
        noise: Any = e.negative(log(wrap(drawn_like(contiguous(logits), "gumbel_softmax", exponential(1.0), None))))
    soft: Any = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft  # type: ignore[no-any-return]
    with modes.no_grad():
        ones: Any = scatter(noise.zero_(), dim, argmax(soft, dim, True), 1.0)
        apart: Any = ones - soft
    return apart + soft  # type: ignore[no-any-return]
