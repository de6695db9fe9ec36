"""Schedules of the learning rate beside torch's: the same rates and momenta, step by step, and their states."""

from __future__ import annotations

import random
from typing import Any

import pytest

import gradcore
from gradcore import optim
from tests.twin import same

torch = pytest.importorskip("torch")

SCHEDULES = [
    "LambdaLR(o, lambda t: 0.9**t)",
    "LambdaLR(o, [lambda t: 1 / (t + 1), lambda t: t])",
    "MultiplicativeLR(o, lambda t: 0.9)",
    "StepLR(o, 3)",
    "StepLR(o, 4, gamma=0.5)",
    "MultiStepLR(o, [2, 5, 5, 9], gamma=0.3)",
    "ConstantLR(o, factor=0.25, total_iters=4)",
    "LinearLR(o, start_factor=0.1, end_factor=0.7, total_iters=7)",
    "ExponentialLR(o, 0.8)",
    "PolynomialLR(o, total_iters=8, power=2.0)",
    "CosineAnnealingLR(o, T_max=6, eta_min=0.01)",
    "CosineAnnealingWarmRestarts(o, 3, 2, eta_min=0.001)",
    "CyclicLR(o, 0.1, 0.5, step_size_up=3)",
    "CyclicLR(o, [0.1, 0.2], [0.5, 1.0], 2, 4, mode='triangular2', base_momentum=[0.7, 0.6])",
    "CyclicLR(o, 0.1, 0.5, 4, mode='exp_range', gamma=0.9, cycle_momentum=False)",
    "CyclicLR(o, 0.1, 0.5, 4, scale_fn=lambda t: 1 / (1 + t), scale_mode='iterations')",
    "OneCycleLR(o, 0.5, total_steps=25)",
    "OneCycleLR(o, [0.5, 1.0], epochs=5, steps_per_epoch=5, anneal_strategy='linear', three_phase=True)",
    "OneCycleLR(o, 0.5, total_steps=25, cycle_momentum=False, div_factor=10.0)",
    "SequentialLR(o, [s.ConstantLR(o, factor=0.1, total_iters=2), s.ExponentialLR(o, 0.9)], [5])",
    "SequentialLR(o, [s.LinearLR(o, 0.1), s.CosineAnnealingLR(o, 6), s.StepLR(o, 2)], [4, 9])",
    "ChainedScheduler([s.ConstantLR(o, factor=0.1, total_iters=3), s.ExponentialLR(o, 0.9)])",
]


OPTIMIZERS = [
    "SGD([{'params': p}, {'params': q, 'lr': 0.3}], lr=0.2, momentum=0.9)",
    "Adam([{'params': p}, {'params': q}])",
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("code", SCHEDULES)
def test_schedules(code: str, optimizer: str) -> None:
    def program(T: Any) -> Any:
        p, q = (T.ones(2, requires_grad=True) for _ in range(2))
        o = eval(f"optim.{optimizer}", {"optim": T.optim, "p": p, "q": q})
        schedule = eval(f"s.{code}", {"s": T.optim.lr_scheduler, "o": o})
        seen = [schedule.get_last_lr()]
        for _ in range(24):
            o.step()
            schedule.step()
            settings = [[g["lr"], g.get("momentum"), g.get("betas")] for g in o.param_groups]
            seen.append([schedule.get_last_lr(), settings])
        return seen

    same(program, torch, rtol=1e-12)


@pytest.mark.parametrize("code", SCHEDULES)
def test_a_schedule_goes_on_from_its_state(code: str) -> None:
    if "[lambda" in code or "[0.5" in code:
        pytest.skip("for two groups")

    def make() -> tuple[Any, Any]:
        o = optim.SGD([gradcore.ones(2, requires_grad=True)], lr=0.2, momentum=0.9)
        return o, eval(f"s.{code}", {"s": optim.lr_scheduler, "o": o})

    (first, one), (second, other) = make(), make()
    for _ in range(7):
        first.step()
        one.step()
    second.load_state_dict(first.state_dict())
    second.step()
    other.load_state_dict(one.state_dict())
    for _ in range(6):
        first.step()
        one.step()
        other.step()
        assert one.get_last_lr() == other.get_last_lr()
        assert second.param_groups[0]["lr"] == first.param_groups[0]["lr"]


@pytest.mark.parametrize("settings", [
    {}, {"mode": "max", "patience": 1}, {"patience": 0, "cooldown": 2, "min_lr": 0.01}, {"threshold": 0.1, "patience": 2},
    {"threshold_mode": "abs", "threshold": 0.2, "patience": 1}, {"threshold_mode": "abs", "mode": "max", "patience": 0},
])  # fmt: skip
def test_plateaus(settings: dict[str, Any]) -> None:
    metrics = [random.uniform(-1, 1) + 1 / (i + 1) for i in range(40)]

    def program(T: Any) -> Any:
        o = T.optim.SGD([T.ones(2, requires_grad=True)], lr=1.0)
        schedule = T.optim.lr_scheduler.ReduceLROnPlateau(o, **settings)
        seen = []
        for metric in metrics:
            schedule.step(T.tensor(metric))
            seen.append([schedule.get_last_lr()[0], schedule.num_bad_epochs, schedule.best])
        return seen

    same(program, torch, rtol=1e-6)


def test_a_schedule_before_the_optimizer_warns() -> None:
    o = optim.SGD([gradcore.ones(2, requires_grad=True)], lr=1.0)
    schedule = optim.lr_scheduler.StepLR(o, 2)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        schedule.step()
