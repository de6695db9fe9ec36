"""Adagrad and Adadelta: steps scaled by all gradients so far. No gradient's source is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gradcore.optim.optimizer import Group, Optimizer, check, check_ways, settings
from gradcore.tensor import Tensor

__all__ = ["Adadelta", "Adagrad"]


class Adagrad(Optimizer):
    """Steps along the gradient over the root of the sum of all its squares so far (Duchi et al., 2011)."""

    _counting = "fused"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check(
            lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, initial_accumulator_value=initial_accumulator_value, eps=eps
        )
        check_ways(foreach, fused, differentiable)
        super().__init__(params, settings(locals()))
        for group in self.param_groups:
            for p in group["params"]:
                self._state_of(p, group)

    def _start(self, p: Tensor, group: Group) -> dict[str, Any]:
        start = group["initial_accumulator_value"]
        total = p.new_full(p.shape, complex(start, start) if p.is_complex() else start)
        return {"step": self._counter(p, group), "sum": total}

    def _move(self, p: Tensor, gradient: Tensor, group: Group) -> None:
        state = self._state_of(p, group)
        t, lr_decay = self._count(state, group), group["lr_decay"]
        if not lr_decay:
            t = 1  # the same for all steps
        self._apply(
            accumulate, group, gradient, p, state["sum"],
            t=t, lr=self._number(p, group, "lr"), lr_decay=lr_decay, eps=group["eps"], decay=group["weight_decay"],
            sign=-1 if group["maximize"] else 1,
        )  # fmt: skip


def accumulate(
    F: Any, g: Any, p: Any, total: Any, *, t: Any, lr: Any, lr_decay: float, eps: float, decay: float, sign: int
) -> None:
    """Step `t` of Adagrad."""
    g = g if sign == 1 else -g
    if decay:
        g = g + decay * p
    total += g * g
    p -= (lr / (1 + (t - 1) * lr_decay)) * (g / (F.sqrt(total) + eps))


class Adadelta(Optimizer):
    """Steps as large as the running size of the steps before, along gradients over their running size (Zeiler, 2012)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check(lr=lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check(eps=eps, weight_decay=weight_decay)
        super().__init__(params, settings(locals()))

    def _start(self, p: Tensor, group: Group) -> dict[str, Any]:
        return {"step": self._counter(p, group), "square_avg": p.new_zeros(p.shape), "acc_delta": p.new_zeros(p.shape)}

    def _move(self, p: Tensor, gradient: Tensor, group: Group) -> None:
        state = self._state_of(p, group)
        self._count(state, group)
        self._apply(
            follow, group, gradient, p, state["square_avg"], state["acc_delta"],
            lr=self._number(p, group, "lr"), rho=group["rho"], eps=group["eps"], decay=group["weight_decay"],
            sign=-1 if group["maximize"] else 1,
        )  # fmt: skip


def follow(
    F: Any, g: Any, p: Any, square: Any, steps: Any, *, lr: float, rho: float, eps: float, decay: float, sign: int
) -> None:
    """One step of Adadelta."""
    g = g if sign == 1 else -g
    if decay:
        g = g + decay * p
    square *= rho
    square += (1 - rho) * g * g
    step = F.sqrt(steps + eps) / F.sqrt(square + eps) * g
    steps *= rho
    steps += (1 - rho) * step * step
    p -= lr * step
