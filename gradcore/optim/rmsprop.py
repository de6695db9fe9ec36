"""RMSprop: steps along gradients over the root of their running mean square. No gradient's source is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gradcore.optim.optimizer import Group, Optimizer, check, settings
from gradcore.tensor import Tensor

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Steps along the gradient over the root of its running mean square (Tieleman and Hinton, 2012), with momentum.

    `centered` takes the running variance instead of the mean square (Graves, 2013).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check(lr=lr, eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        super().__init__(params, settings(locals()))

    def _start(self, p: Tensor, group: Group) -> dict[str, Any]:
        wanted = {"square_avg": True, "momentum_buffer": group["momentum"] > 0, "grad_avg": group["centered"]}
        zeros = {name: p.new_zeros(p.shape) for name, is_wanted in wanted.items() if is_wanted}
        return {"step": self._counter(p, group), **zeros}

    def _move(self, p: Tensor, gradient: Tensor, group: Group) -> None:
        state = self._state_of(p, group)
        self._count(state, group)
        self._apply(
            normalise, group, gradient, p,
            *(state[name] for name in ("square_avg", "grad_avg", "momentum_buffer") if name in state),
            lr=self._number(p, group, "lr"), alpha=group["alpha"], eps=group["eps"], decay=group["weight_decay"],
            momentum=group["momentum"], centered=group["centered"], sign=-1 if group["maximize"] else 1,
        )  # fmt: skip


def normalise(
    F: Any,
    g: Any,
    p: Any,
    square: Any,
    *more: Any,
    lr: float,
    alpha: float,
    eps: float,
    decay: float,
    momentum: float,
    centered: bool,
    sign: int,
) -> None:
    """One step. `more` is the running mean, if it is to be subtracted, and the momentum, if there is any."""
    g = g if sign == 1 else -g
    if decay:
        g = g + decay * p
    square *= alpha
    square += (1 - alpha) * g * g
    below = square
    if centered:
        mean = more[0]
        mean += (1 - alpha) * (g - mean)
        below = square - mean * mean
    below = F.sqrt(below) + eps
    if momentum:
        v = more[-1]
        v *= momentum
        v += g / below
        p -= lr * v
    else:
        p -= lr * (g / below)
