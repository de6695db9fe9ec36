"""Adam and its kin: steps along a running mean of gradients, over a running size of them. No gradient's source is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gradcore.optim.optimizer import Group, Optimizer, check, check_betas, count, counter, number, settings
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
        super().__init__(params, settings(locals()))

    def _start(self, p: Tensor, group: Group) -> dict[str, Any]:
        zeros = [p.new_zeros(p.shape) for _ in range(3 if group["amsgrad"] else 2)]
        return {"step": counter(), **dict(zip(("exp_avg", "exp_avg_sq", "max_exp_avg_sq"), zeros, strict=False))}

    def _move(self, p: Tensor, gradient: Tensor, group: Group) -> None:
        state = self._state_of(p, group)
        t = count(state)
        lr, (beta1, beta2) = number(group["lr"]), group["betas"]
        averages = [state[name] for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if name in state]
        self._apply(
            adapt, group, gradient, p, *averages,
            size=lr / (1 - beta1**t), root=(1 - beta2**t) ** 0.5, beta1=beta1, beta2=beta2, eps=group["eps"],
            decay=0 if group["decoupled_weight_decay"] else group["weight_decay"],
            keep=1 - lr * group["weight_decay"] if group["decoupled_weight_decay"] else 1,
            sign=-1 if group["maximize"] else 1,
        )  # fmt: skip


def adapt(
    F: Any,
    g: Any,
    p: Any,
    mean: Any,
    square: Any,
    largest: Any = None,
    *,
    size: float,
    root: float,
    beta1: float,
    beta2: float,
    eps: float,
    decay: float,
    keep: float,
    sign: int,
) -> None:
    """One step of Adam. `size` and `root` correct the bias of the means; `keep` is what decoupled decay leaves of p."""
    g = g if sign == 1 else -g
    if keep != 1:
        p *= keep
    if decay:
        g = g + decay * p
    mean += (1 - beta1) * (g - mean)
    square *= beta2
    square += (1 - beta2) * g * g
    if largest is not None:
        largest[...] = F.maximum(largest, square)
        square = largest
    p -= size * (mean / (F.sqrt(square) / root + eps))


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
        super().__init__(params, settings(locals()))

    def _start(self, p: Tensor, group: Group) -> dict[str, Any]:
        return {"step": counter(), "exp_avg": p.new_zeros(p.shape), "exp_inf": p.new_zeros(p.shape)}

    def _move(self, p: Tensor, gradient: Tensor, group: Group) -> None:
        state = self._state_of(p, group)
        beta1, beta2 = group["betas"]
        self._apply(
            adapt_by_maximum, group, gradient, p, state["exp_avg"], state["exp_inf"],
            size=number(group["lr"]) / (1 - beta1 ** count(state)), beta1=beta1, beta2=beta2, eps=group["eps"],
            decay=group["weight_decay"], sign=-1 if group["maximize"] else 1,
        )  # fmt: skip


def adapt_by_maximum(
    F: Any,
    g: Any,
    p: Any,
    mean: Any,
    norm: Any,
    *,
    size: float,
    beta1: float,
    beta2: float,
    eps: float,
    decay: float,
    sign: int,
) -> None:
    """One step of Adamax."""
    g = g if sign == 1 else -g
    if decay:
        g = g + decay * p
    mean += (1 - beta1) * (g - mean)
    norm[...] = F.maximum(beta2 * norm, F.absolute(g) + eps)
    p -= size * (mean / norm)
