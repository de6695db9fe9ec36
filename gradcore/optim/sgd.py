"""Gradient descent, with momentum. It must not know any gradient's source."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gradcore.optim.optimizer import Group, Optimizer, check, check_ways, number, settings
from gradcore.tensor import Tensor

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent: p - lr v, where v is the gradient, or momentum v + (1 - dampening) g.

    With `nesterov` momentum (Sutskever et al., 2013), p - lr (g + momentum v).
    """

    _counting = None

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        check_ways(foreach, fused, differentiable)
        super().__init__(params, settings(locals()))

    def _move(self, p: Tensor, gradient: Tensor, group: Group) -> None:
        lr, momentum, decay = self._number(p, group, "lr"), group["momentum"], number(group["weight_decay"])
        sign = -1 if group["maximize"] else 1
        if not momentum:
            self._apply(descend, group, gradient, p, lr=lr, decay=decay, sign=sign)
            return
        state = self.state[p]
        dampening = group["dampening"]
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"] = p.new_zeros(p.shape)
            dampening = 0  # the first gradient is the momentum itself
        self._apply(
            accelerate, group, gradient, p, state["momentum_buffer"],
            lr=lr, decay=decay, sign=sign, momentum=momentum, share=1 - dampening, nesterov=group["nesterov"],
        )  # fmt: skip


def descend(F: Any, g: Any, p: Any, *, lr: float, decay: float, sign: int) -> None:
    """One step along the gradient."""
    if decay:
        g = sign * g + decay * p
        sign = 1
    p -= (sign * lr) * g


def accelerate(
    F: Any, g: Any, p: Any, v: Any, *, lr: float, decay: float, sign: int, momentum: float, share: float, nesterov: bool
) -> None:
    """One step along the running sum of gradients."""
    g = g if sign == 1 else -g
    if decay:
        g = g + decay * p
    v *= momentum
    v += g if share == 1 else share * g
    p -= lr * (g + momentum * v) if nesterov else lr * v
