"""NAdam and RAdam: Adam with Nesterov's momentum, and Adam that waits for enough steps. No gradient's source is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gradcore.optim.optimizer import Group, Optimizer, check, check_betas, settings
from gradcore.tensor import Tensor

__all__ = ["NAdam", "RAdam"]


class _WithMeans(Optimizer):
    """What keeps running means of gradients and of their squares."""

    def _start(self, p: Tensor, group: Group) -> dict[str, Any]:
        return {"step": self._counter(p, group), "exp_avg": p.new_zeros(p.shape), "exp_avg_sq": p.new_zeros(p.shape)}

    def _shared(self, p: Tensor, group: Group) -> dict[str, Any]:
        """The numbers of a step that both have."""
        beta1, beta2 = group["betas"]
        return {
            "lr": self._number(p, group, "lr"), "beta1": beta1, "beta2": beta2, "eps": group["eps"],
            "decay": group["weight_decay"], "decoupled": group["decoupled_weight_decay"],
            "sign": -1 if group["maximize"] else 1,
        }  # fmt: skip


class NAdam(_WithMeans):
    """Adam with Nesterov's momentum (Dozat, 2016)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check(lr=lr, eps=eps)
        check_betas(betas)
        check(weight_decay=weight_decay, momentum_decay=momentum_decay)
        super().__init__(params, settings(locals()))

    def _start(self, p: Tensor, group: Group) -> dict[str, Any]:
        return {**super()._start(p, group), "mu_product": self._counter(p, group, 1.0)}

    def _move(self, p: Tensor, gradient: Tensor, group: Group) -> None:
        state, slowing = self._state_of(p, group), group["momentum_decay"]
        t = self._count(state, group)
        product = self._changed(state["mu_product"], take_in, t=t, beta1=group["betas"][0], slowing=slowing)
        self._apply(
            look_ahead, group, gradient, p, state["exp_avg"], state["exp_avg_sq"],
            t=t, product=product, slowing=slowing, **self._shared(p, group),
        )  # fmt: skip


def _momentum(t: Any, beta1: float, slowing: float) -> Any:
    """The momentum of step `t` of NAdam."""
    return beta1 * (1.0 - 0.5 * 0.96 ** (t * slowing))


def take_in(F: Any, product: Any, *, t: Any, beta1: float, slowing: float) -> None:
    """Multiply the product of all momenta before step `t` by its own."""
    product *= _momentum(t, beta1, slowing)


def _averaged(
    g: Any, p: Any, mean: Any, square: Any, *, lr: Any, beta1: float, beta2: float, decay: float, decoupled: bool, sign: int
) -> Any:
    """Take the gradient into the running means, and return it with what the weight decay adds."""
    g = g if sign == 1 else -g
    if decay and decoupled:
        p *= 1 - lr * decay
    elif decay:
        g = g + decay * p
    mean += (1 - beta1) * (g - mean)
    square *= beta2
    square += (1 - beta2) * g * g
    return g


def look_ahead(
    F: Any,
    g: Any,
    p: Any,
    mean: Any,
    square: Any,
    *,
    t: Any,
    product: Any,
    slowing: float,
    lr: Any,
    beta1: float,
    beta2: float,
    eps: float,
    **rest: Any,
) -> None:
    """Step `t` of NAdam: a part along the gradient, a part along the mean."""
    g = _averaged(g, p, mean, square, lr=lr, beta1=beta1, beta2=beta2, **rest)
    now, later = _momentum(t, beta1, slowing), _momentum(t + 1, beta1, slowing)
    below = F.sqrt(square / (1 - beta2**t)) + eps
    p -= (lr * (1.0 - now) / (1.0 - product)) * (g / below)
    p -= (lr * later / (1.0 - product * later)) * (mean / below)


class RAdam(_WithMeans):
    """Adam that scales by the squares only when enough of them are known (Liu et al., 2020)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check(lr=lr, eps=eps)
        check_betas(betas)
        check(weight_decay=weight_decay)
        super().__init__(params, settings(locals()))

    def _move(self, p: Tensor, gradient: Tensor, group: Group) -> None:
        state = self._state_of(p, group)
        self._apply(
            wait, group, gradient, p, state["exp_avg"], state["exp_avg_sq"],
            t=self._count(state, group), **self._shared(p, group),
        )  # fmt: skip


def wait(
    F: Any, g: Any, p: Any, mean: Any, square: Any, *, t: Any, lr: Any, beta1: float, beta2: float, eps: float, **rest: Any
) -> None:
    """Step `t` of RAdam, scaled by the squares once their mean is long enough."""
    _averaged(g, p, mean, square, lr=lr, beta1=beta1, beta2=beta2, **rest)
    correction = 1 - beta2**t
    most = 2 / (1 - beta2) - 1  # the length of the mean, after many steps and now
    length = most - 2 * t * beta2**t / correction
    enough = 1.0 * (length > 5.0)
    length, most = enough * length + (1 - enough) * 5.0, max(most, 5.0)  # at 2 and at 4 there is nothing to divide by
    root = ((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length) * correction) ** 0.5
    size = lr / (1 - beta1**t) * (enough * root + (1 - enough))
    p -= size * (mean / ((F.sqrt(square) + eps) * enough + (1 - enough)))
