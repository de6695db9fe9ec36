"""torch.optim.swa_utils: averaged models and their learning rates, beside torch's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.twin import attempt, same

torch = pytest.importorskip("torch")


def model_of(lib: Any, start: float = 0.0) -> Any:
    nn = lib.nn
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    with lib.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(lib.linspace(start, start + 1 + i, p.numel()).view(p.shape))
    return net


def averages(lib: Any) -> list[dict[str, Any]]:
    swa = lib.optim.swa_utils
    return [
        {}, {"use_buffers": True}, {"avg_fn": swa.get_ema_avg_fn(0.9)}, {"multi_avg_fn": swa.get_ema_multi_avg_fn(0.5)},
        {"avg_fn": swa.get_swa_avg_fn()}, {"multi_avg_fn": swa.get_swa_multi_avg_fn()},
        {"avg_fn": lambda averaged, current, n: averaged + current * (n + 1)},
        {"multi_avg_fn": swa.get_ema_multi_avg_fn(), "use_buffers": True},
    ]  # fmt: skip


@pytest.mark.parametrize("which", range(8))
def test_averaged_models(which: int) -> None:
    def program(lib: Any) -> Any:
        net, told = model_of(lib), []
        made = lib.optim.swa_utils.AveragedModel(net, **averages(lib)[which])
        opt = lib.optim.SGD(net.parameters(), lr=1e-3)
        x = lib.arange(8.0).view(4, 2).sin()
        for _ in range(3):
            opt.zero_grad()
            net(x).pow(2).sum().backward()
            opt.step()
            made.update_parameters(net)
            told.append([*made.parameters(), *made.buffers()])
        lib.optim.swa_utils.update_bn([[x], (x * 2, None), x * 3], made)
        return told, made(x), list(made.state_dict()), made.n_averaged, made.training, made.module[1].momentum

    same(program, torch, rtol=1e-4)


def test_rates_go_to_swa_lr_and_stay() -> None:
    def program(lib: Any) -> Any:
        told = []
        for how in ({}, {"anneal_epochs": 0}, {"anneal_strategy": "linear", "anneal_epochs": 4}):
            net = model_of(lib)
            groups = [{"params": net[0].parameters(), "lr": 0.5}, {"params": net[2].parameters()}]
            opt = lib.optim.SGD(groups, lr=0.1)
            schedule = lib.optim.swa_utils.SWALR(opt, [0.05, 0.2], **how)
            for _ in range(6):
                opt.step()
                schedule.step()
                told.append(schedule.get_last_lr())
            state = schedule.state_dict()
            schedule.load_state_dict(state)
            opt.step()
            schedule.step()
            told += [schedule.get_last_lr(), state["anneal_epochs"]]
        return told

    same(program, torch)


def test_refusals() -> None:
    def program(lib: Any) -> Any:
        swa, net = lib.optim.swa_utils, model_of(lib)
        opt = lib.optim.SGD(net.parameters(), lr=0.1)
        return [
            attempt(lambda: swa.get_ema_avg_fn(1.5)), attempt(lambda: swa.get_ema_multi_avg_fn(-1)),
            attempt(lambda: swa.AveragedModel(net, avg_fn=max, multi_avg_fn=max)),
            attempt(lambda: swa.SWALR(opt, 0.1, anneal_strategy="exp")), attempt(lambda: swa.SWALR(opt, 0.1, -1)),
            attempt(lambda: swa.SWALR(opt, [0.1, 0.2])), attempt(lambda: swa.update_bn([], lib.nn.Linear(1, 1))),
        ]  # fmt: skip

    same(program, torch)
