"""Adam and its kin: steps along a running mean of gradients, over a running size of them. No gradient's source is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gradcore.optim.optimizer import Group, Optimizer, check, check_betas, check_ways, number, settings
from gradcore.tensor import Tensor

__all__ = ["Adam", "AdamW", "Adamax"]


class Adam(Optimizer):
    """Steps along a running mean of gradients, over the root of the running mean of their squares.

    From Kingma and Ba, 2015; `amsgrad` takes the largest of these means so far (Reddi et al., 2018),
    `decoupled_weight_decay` shrinks the parameters themselves (Loshchilov and Hutter, 2019).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check(lr=lr, eps=eps)
        betas = (number(betas[0]), number(betas[1]))
        check_betas(betas)
        check(weight_decay=weight_decay)
        check_ways(foreach, fused, differentiable, lr, capturable)
        super().__init__(params, settings(locals()))

    def _start(self, p: Tensor, group: Group) -> dict[str, Any]:
        zeros = [p.new_zeros(p.shape) for _ in range(3 if group["amsgrad"] else 2)]
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
        return {"step": self._counter(p, group), **dict(zip(names, zeros, strict=False))}

    def _move(self, p: Tensor, gradient: Tensor, group: Group) -> None:
        state = self._state_of(p, group)
        t = self._count(state, group)
        beta1, beta2 = group["betas"]
        averages = [state[name] for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if name in state]
        self._apply(
            adapt, group, gradient, p, *averages,
            t=t, lr=self._number(p, group, "lr"), beta1=beta1, beta2=beta2, eps=group["eps"], decay=group["weight_decay"],
            decoupled=group["decoupled_weight_decay"], sign=-1 if group["maximize"] else 1,
        )  # fmt: skip


def adapt(
    F: Any,
    g: Any,
    p: Any,
    mean: Any,
    square: Any,
    largest: Any = None,
    *,
    t: Any,
    lr: Any,
    beta1: float,
    beta2: float,
    eps: float,
    decay: float,
    decoupled: bool,
    sign: int,
) -> None:
    """Step `t` of Adam."""
    g = g if sign == 1 else -g
    if decay and decoupled:
        p *= 1 - lr * decay
    elif decay:
        g = g + decay * p
    mean += (1 - beta1) * (g - mean)
    square *= beta2
    square += (1 - beta2) * g * g
    if largest is not None:
        largest[...] = F.maximum(largest, square)
        square = largest
    # The means began at 0, and so are too small.
    p -= (lr / (1 - beta1**t)) * (mean / (F.sqrt(square) / (1 - beta2**t) ** 0.5 + eps))


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
        )  # fmt: skip


class Adamax(Optimizer):
    """Adam with the running maximum of the gradients' sizes instead of a mean of squares (Kingma and Ba, 2015)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check(lr=lr, eps=eps)
        check_betas(betas)
        check(weight_decay=weight_decay)
        check_ways(foreach, None, lr=lr, capturable=capturable)
        super().__init__(params, settings(locals()))

    def _start(self, p: Tensor, group: Group) -> dict[str, Any]:
        return {"step": self._counter(p, group), "exp_avg": p.new_zeros(p.shape), "exp_inf": p.new_zeros(p.shape)}

    def _move(self, p: Tensor, gradient: Tensor, group: Group) -> None:
        state = self._state_of(p, group)
        beta1, beta2 = group["betas"]
        self._apply(
            adapt_by_maximum, group, gradient, p, state["exp_avg"], state["exp_inf"],
            t=self._count(state, group), lr=self._number(p, group, "lr"), beta1=beta1, beta2=beta2, eps=group["eps"],
            decay=group["weight_decay"], sign=-1 if group["maximize"] else 1,
        )  # fmt: skip


def adapt_by_maximum(
    F: Any,
    g: Any,
    p: Any,
    mean: Any,
    norm: Any,
    *,
    t: Any,
    lr: Any,
    beta1: float,
    beta2: float,
    eps: float,
    decay: float,
    sign: int,
) -> None:
    """Step `t` of Adamax."""
    g = g if sign == 1 else -g
    if decay:
        g = g + decay * p
    mean += (1 - beta1) * (g - mean)
    norm[...] = F.maximum(beta2 * norm, F.absolute(g) + eps)
    p -= (lr / (1 - beta1**t)) * (mean / norm)
