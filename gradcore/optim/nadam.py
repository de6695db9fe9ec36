"""NAdam and RAdam: Adam with Nesterov's momentum, and Adam that waits for enough steps. No gradient's source is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gradcore.optim.optimizer import Group, Optimizer, check, check_betas, count, counter, number, settings
from gradcore.tensor import Tensor

__all__ = ["NAdam", "RAdam"]


class _WithMeans(Optimizer):
    """What keeps running means of gradients and of their squares."""

    _capturable = False

    def _start(self, p: Tensor, group: Group) -> dict[str, Any]:
        return {"step": counter(), "exp_avg": p.new_zeros(p.shape), "exp_avg_sq": p.new_zeros(p.shape)}

    @staticmethod
    def _shared(group: Group) -> dict[str, Any]:
        """The numbers of a step that both have."""
        decoupled, decay = group["decoupled_weight_decay"], group["weight_decay"]
        beta1, beta2 = group["betas"]
        return {
            "beta1": beta1, "beta2": beta2, "eps": group["eps"], "decay": 0 if decoupled else decay,
            "keep": 1 - number(group["lr"]) * decay if decoupled else 1, "sign": -1 if group["maximize"] else 1,
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
        return {**super()._start(p, group), "mu_product": counter() + 1}

    def _move(self, p: Tensor, gradient: Tensor, group: Group) -> None:
        state = self._state_of(p, group)
        t, lr, (beta1, beta2) = count(state), number(group["lr"]), group["betas"]
        mu, mu_next = (beta1 * (1.0 - 0.5 * 0.96 ** (at * group["momentum_decay"])) for at in (t, t + 1))
        product = state["mu_product"]._array
        product *= mu
        so_far = float(product)
        self._apply(
            look_ahead, group, gradient, p, state["exp_avg"], state["exp_avg_sq"],
            now=lr * (1.0 - mu) / (1.0 - so_far), later=lr * mu_next / (1.0 - so_far * mu_next),
            correction=1 - beta2**t, **self._shared(group),
        )  # fmt: skip


def _averaged(
    g: Any, p: Any, mean: Any, square: Any, beta1: float, beta2: float, decay: float, keep: float, sign: int
) -> Any:
    """Take the gradient into the running means, and return it with what the weight decay adds."""
    g = g if sign == 1 else -g
    if keep != 1:
        p *= keep
    if decay:
        g = g + decay * p
    mean += (1 - beta1) * (g - mean)
    square *= beta2
    square += (1 - beta2) * g * g
    return g


def look_ahead(
    F: Any, g: Any, p: Any, mean: Any, square: Any, *, now: float, later: float, correction: float, eps: float, **means: Any
) -> None:
    """One step of NAdam: a part along the gradient, a part along the mean."""
    g = _averaged(g, p, mean, square, **means)
    below = F.sqrt(square / correction) + eps
    p -= now * (g / below)
    p -= later * (mean / below)


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
        t, (beta1, beta2) = count(state), group["betas"]
        correction = 1 - beta2**t
        most = 2 / (1 - beta2) - 1  # the length of the mean, after many steps and now
        length = most - 2 * t * beta2**t / correction
        root = None
        if length > 5.0:
            rectified = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
            root = (rectified * correction) ** 0.5
        self._apply(
            wait, group, gradient, p, state["exp_avg"], state["exp_avg_sq"],
            size=number(group["lr"]) / (1 - beta1**t), root=root, **self._shared(group),
        )  # fmt: skip


def wait(
    F: Any, g: Any, p: Any, mean: Any, square: Any, *, size: float, root: float | None, eps: float, **means: Any
) -> None:
    """One step of RAdam, scaled by `root` over the squares' root unless that is None."""
    _averaged(g, p, mean, square, **means)
    p -= size * mean if root is None else (size * root) * (mean / (F.sqrt(square) + eps))
