"""L-BFGS: a quasi-Newton method with a short memory and, if wanted, a line search. No function is known, only closures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from gradcore.graph.modes import enable_grad, no_grad
from gradcore.ops.joining import cat
from gradcore.optim.line_search import Point, strong_wolfe
from gradcore.optim.optimizer import Optimizer, check, number, settings
from gradcore.tensor import Tensor

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Newton's method with the Hessian that the last `history_size` steps suggest (Liu and Nocedal, 1989).

    `step(closure)` makes up to `max_iter` of them, each along the line until the function has fallen enough with
    `line_search_fn="strong_wolfe"`, else by `lr`. The closure clears the gradients, computes the loss and its gradients,
    and returns the loss. There is one group of parameters only.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check(lr=lr)
        max_eval = max_iter * 5 // 4 if max_eval is None else max_eval
        super().__init__(params, settings(locals()))
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    # -- all parameters as one vector ---------------------------------------------------------------------------------

    def _gradient(self) -> Tensor:
        """The gradients of all parameters, one after the other."""
        parts = []
        for p in self.param_groups[0]["params"]:
            parts += [part.reshape(-1) for part in _real(p.new_zeros(p.shape) if p.grad is None else p.grad)]
        return cat(parts, 0)

    def _move_all(self, direction: Tensor, t: float) -> None:
        """Add `t` times a direction to the parameters."""
        start = 0
        for p in self.param_groups[0]["params"]:
            for part in _real(p):
                part.add_(direction[start : start + part.numel()].view(part.shape), alpha=t)
                start += part.numel()

    def _evaluate(self, closure: Callable[[], Any], first: list[Tensor], d: Tensor, t: float) -> Point:
        """The loss and its slope `t` along `d` from the parameters `first`, where they are afterwards."""
        self._move_all(d, t)
        loss = float(closure())
        gradient = self._gradient()
        for p, value in zip(self.param_groups[0]["params"], first, strict=True):
            p.copy_(value)
        return Point(t, loss, float(gradient.dot(d)), gradient)

    # -- a step -------------------------------------------------------------------------------------------------------

    @no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:
        """Go on from where the last step ended; return the loss before it."""
        closure = enable_grad()(closure)
        group = self.param_groups[0]
        params, lr = group["params"], number(group["lr"])
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")
        state = self.state[params[0]]
        for name in ("func_evals", "n_iter"):
            state.setdefault(name, 0)
        first_loss = closure()
        loss = float(first_loss)
        evaluations = 1
        state["func_evals"] += 1
        gradient = self._gradient()
        if _largest(gradient) <= group["tolerance_grad"]:
            return first_loss
        d, t = state.get("d"), state.get("t", 0.0)
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            d = self._direction(state, gradient, d, t, group["history_size"])
            state["prev_flat_grad"] = gradient.clone()
            state["prev_loss"] = before = loss
            t = min(1.0, 1.0 / float(gradient.abs().sum())) * lr if state["n_iter"] == 1 else lr
            slope = float(gradient.dot(d))
            if slope > -group["tolerance_change"]:
                break
            spent = 0
            if group["line_search_fn"] is not None:
                here = [p.clone() for p in params]
                found, spent = strong_wolfe(
                    partial(self._evaluate, closure, here, d), t, Point(0.0, loss, slope, gradient.clone()), _largest(d),
                    max_ls=group["max_eval"] - evaluations,
                )  # fmt: skip
                t, loss, gradient = found.t, found.loss, found.gradient
                self._move_all(d, t)
            else:
                self._move_all(d, t)
                if iteration < group["max_iter"]:
                    loss, gradient, spent = float(closure()), self._gradient(), 1
            evaluations += spent
            state["func_evals"] += spent
            if (
                evaluations >= group["max_eval"]
                or _largest(gradient) <= group["tolerance_grad"]
                or _largest(d * t) <= group["tolerance_change"]
                or abs(loss - before) < group["tolerance_change"]
            ):
                break
        state.update(d=d, t=t)
        return first_loss

    @staticmethod
    def _direction(state: dict[str, Any], gradient: Tensor, d: Any, t: float, memory: int) -> Tensor:
        """Minus the gradient times the inverse Hessian, by the two loops of Nocedal, 1980."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return -gradient
        changes, steps, inverses = state["old_dirs"], state["old_stps"], state["ro"]
        y, s = gradient - state["prev_flat_grad"], d * t
        ys = y.dot(s)
        if ys > 1e-10:
            if len(changes) == memory:
                for kept in (changes, steps, inverses):
                    kept.pop(0)
            changes.append(y)
            steps.append(s)
            inverses.append(1.0 / ys)
            state["H_diag"] = ys / y.dot(y)
        shares = []
        q = -gradient
        for y, s, inverse in zip(reversed(changes), reversed(steps), reversed(inverses), strict=True):
            shares.append(s.dot(q) * inverse)
            q = q - shares[-1] * y
        r = q * state["H_diag"]
        for y, s, inverse, share in zip(changes, steps, inverses, reversed(shares), strict=True):
            r = r + s * (share - y.dot(r) * inverse)
        return r  # type: ignore[no-any-return]


def _real(x: Tensor) -> tuple[Tensor, ...]:
    """The tensor, or its real and imaginary parts, which share its memory."""
    return (x.real, x.imag) if x.is_complex() else (x,)


def _largest(x: Tensor) -> float:
    return float(x.abs().max())
