"""torch.optim.swa_utils: averages of a model's parameters as it is trained. It must not know any layer but batch norms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

from gradcore.dtypes import int64
from gradcore.graph.modes import no_grad
from gradcore.nn.modules.batchnorm import _BatchNorm
from gradcore.nn.modules.module import Module
from gradcore.ops.creation import tensor
from gradcore.optim.optimizer import Optimizer
from gradcore.optim.scheduler import LRScheduler, for_each_group
from gradcore.tensor import Tensor

__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn",
    "update_bn",
]  # fmt: skip

Average = Callable[[Tensor, Tensor, Any], Tensor]
Averages = Callable[[list[Tensor], list[Tensor], Any], None]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """Return a function to the exponential moving average: `decay` of it and the rest of the current parameter."""
    if not 0 <= decay <= 1:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")

    @no_grad()
    def ema_update(ema_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        return ema_param * decay + current_param * (1 - decay)

    return ema_update


def get_swa_avg_fn() -> Average:
    """Return a function to the equal average of all parameters so far (Izmailov et al., 2018)."""

    @no_grad()
    def swa_update(averaged_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        moved: Tensor = averaged_param + (current_param - averaged_param) / (num_averaged + 1)
        return moved

    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Averages:
    """Return a function that moves several exponential averages on, in place."""
    return _in_place(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Averages:
    """Return a function that moves several equal averages on, in place."""
    return _in_place(get_swa_avg_fn())


def _in_place(average: Average) -> Averages:
    @no_grad()
    def update(averaged_param_list: list[Tensor], current_param_list: list[Tensor], num_averaged: Any) -> None:
        for averaged, current in zip(averaged_param_list, current_param_list, strict=True):
            averaged.copy_(average(averaged, current, num_averaged))

    return update


class AveragedModel(Module):
    """A copy of a model whose parameters are an average of that model's: `update_parameters(model)` after each step.

    The average is of equal weights, or `avg_fn(averaged, current, n_averaged)`, or what `multi_avg_fn` does to lists of
    parameters of one device and dtype. Buffers are averaged with `use_buffers`, else taken over.
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Averages | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=int64, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model with the averaged parameters computes."""
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Move the averages on by the parameters of `model`, which the first call takes over."""
        theirs: list[tuple[Tensor, Tensor]] = list(zip(self.module.buffers(), model.buffers(), strict=True))
        averaged: list[tuple[Tensor, Tensor]] = list(zip(self.module.parameters(), model.parameters(), strict=True))
        if self.use_buffers:
            averaged, theirs = averaged + theirs, []
        pairs = [(old.detach(), new.detach().to(old.device)) for old, new in averaged]
        if self.n_averaged.item() == 0:
            theirs += pairs
        else:
            groups: dict[Any, list[tuple[Tensor, Tensor]]] = {}
            for pair in pairs:
                groups.setdefault((pair[0].device, pair[0].dtype), []).append(pair)
            update = self.multi_avg_fn or _in_place(self.avg_fn or get_swa_avg_fn())
            for (device, _), group in groups.items():
                update([old for old, _ in group], [new for _, new in group], self.n_averaged.to(device))
        for mine, other in theirs:
            mine.copy_(other)
        self.n_averaged += 1


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running means and variances of a model's batch norms anew, from the inputs of one epoch.

    Of a batch that is a list or tuple, the input is the first.
    """
    momenta = {module: module.momentum for module in model.modules() if isinstance(module, _BatchNorm)}
    if not momenta:
        return
    was_training = model.training
    model.train()
    for module in momenta:
        module.reset_running_stats()
        module.momentum = None
    for batch in loader:
        first = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(first if device is None else first.to(device))
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Go from the learning rate there is to `swa_lr` in `anneal_epochs`, along a cosine or a line, and stay there."""

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        for rate, group in zip(for_each_group("swa_lr", optimizer, swa_lr), optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        if anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """How much of the way is behind after `step` epochs."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self) -> list[Any]:
        """The rates of this epoch, from those of the one before."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        moved = []
        for group in self.optimizer.param_groups:
            lr, end = group["lr"], group["swa_lr"]
            first = end if before == 1 else (lr - before * end) / (1 - before)
            moved.append(end * now + first * (1 - now))
        return moved
