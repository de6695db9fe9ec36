"""Rprop, by the signs of gradients alone, and averaged gradient descent. No gradient's source is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gradcore.optim.optimizer import Group, Optimizer, check, number, settings
from gradcore.tensor import Tensor

__all__ = ["ASGD", "Rprop"]


class Rprop(Optimizer):
    """Steps that grow while a gradient keeps its sign and shrink when it changes (Riedmiller and Braun, 1993)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check(lr=lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, settings(locals()))

    def _start(self, p: Tensor, group: Group) -> dict[str, Any]:
        lr = number(group["lr"])
        first = p.new_full(p.shape, complex(lr, lr) if p.is_complex() else lr)
        return {"step": self._counter(p, group), "prev": p.new_zeros(p.shape), "step_size": first}

    def _move(self, p: Tensor, gradient: Tensor, group: Group) -> None:
        state = self._state_of(p, group)
        self._count(state, group)
        self._apply(
            by_sign, group, gradient, p, state["prev"], state["step_size"],
            etas=group["etas"], bounds=group["step_sizes"], sign=-1 if group["maximize"] else 1,
        )  # fmt: skip


def by_sign(
    F: Any, g: Any, p: Any, before: Any, size: Any, *, etas: tuple[float, float], bounds: tuple[float, float], sign: int
) -> None:
    """One step of Rprop. Where the sign has changed, there is none."""
    g = g if sign == 1 else -g
    kept = F.sign(g * before)
    size *= 1 + (etas[1] - 1) * (kept > 0) + (etas[0] - 1) * (kept < 0)
    size[...] = F.clip(size, *bounds)
    g = g * (kept >= 0)
    p -= F.sign(g) * size
    before[...] = g


class ASGD(Optimizer):
    """Gradient descent with shrinking steps that keeps the mean of the parameters from step `t0` on (Polyak, 1992).

    The mean of a parameter is `state[p]["ax"]`.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check(lr=lr, weight_decay=weight_decay)
        super().__init__(params, settings(locals()))

    def _start(self, p: Tensor, group: Group) -> dict[str, Any]:
        numbers = {"step": 0.0, "eta": float(number(group["lr"])), "mu": 1.0}
        return {**{name: self._counter(p, group, x) for name, x in numbers.items()}, "ax": p.new_zeros(p.shape)}

    def _move(self, p: Tensor, gradient: Tensor, group: Group) -> None:
        state = self._state_of(p, group)
        t, lambd, eta, mu = self._count(state, group), group["lambd"], state["eta"], state["mu"]
        there = t is state["step"]
        self._apply(
            average, group, gradient, p, state["ax"],
            size=eta if there else eta.item(), share=mu if there else mu.item(), lambd=lambd, decay=group["weight_decay"],
            sign=-1 if group["maximize"] else 1,
        )  # fmt: skip
        self._changed(eta, shrink, t=t, lr=self._number(p, group, "lr"), lambd=lambd, alpha=group["alpha"])
        self._changed(mu, narrow, t=t, t0=group["t0"])


def shrink(F: Any, size: Any, *, t: Any, lr: Any, lambd: float, alpha: float) -> None:
    """Make `size` the size of the step after step `t`."""
    size[...] = lr / (1 + lambd * lr * t) ** alpha


def narrow(F: Any, share: Any, *, t: Any, t0: float) -> None:
    """Make `share` the share of the step after step `t` in the mean."""
    share[...] = 1 / F.maximum(t - t0, 1.0)


def average(
    F: Any, g: Any, p: Any, mean: Any, *, size: Any, share: Any, lambd: float, decay: float, sign: int
) -> None:
    """One step of averaged descent."""
    g = g if sign == 1 else -g
    if decay:
        g = g + decay * p
    p *= 1 - lambd * size
    p -= size * g
    mean += share * (p - mean)
