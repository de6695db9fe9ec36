"""Short programs as users of torch write them, which once found a difference: run by torch and by gradcore."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.twin import Programs, attempt, same

torch = pytest.importorskip("torch")

program = PROGRAMS = Programs()


@program
def a_function_with_settings_among_its_arguments(lib: Any) -> Any:
    class Scaled(lib.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, k: float, x: Any, mode: Any, y: Any) -> Any:
            return x * y * k

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return None, g, None, g * 2

    x, seen = lib.ones(3, requires_grad=True), []
    y = Scaled.apply(3, x * 2, None, x)
    nodes = [type(node).__name__ for node, _ in y.grad_fn.next_functions]
    y.grad_fn.register_hook(lambda gi, go: seen.append((gi, go)) or (gi[0] * 3, *gi[1:]))
    y.sum().backward()
    (edge,) = lib.autograd.grad(Scaled.apply(0.5, lib.ones(3), None, x).sum(), x)
    return nodes, seen, x.grad, edge


@program
def a_diffusion_schedule(lib: Any) -> Any:
    betas = lib.linspace(1e-4, 0.02, 5)
    kept = lib.cumprod(1.0 - betas, axis=0)
    before = lib.nn.functional.pad(kept[:-1], (1, 0), value=1.0)
    t = lib.tensor([0, 3])
    x = lib.ones(2, 2, requires_grad=True)
    noisy = kept.gather(-1, t).sqrt().reshape(2, 1) * x + (1 - before).gather(axis=-1, index=t).reshape(2, 1)
    noisy.pow(2).mean().backward()
    return noisy, x.grad, x.cumsum(axis=1), attempt(lambda: lib.cumprod(betas))[1]


@program
def random_numbers_in_a_fork(lib: Any) -> Any:
    lib.random.manual_seed(3)
    with lib.random.fork_rng():
        inside = [lib.rand(2), lib.random.manual_seed(5) is lib.random.default_generator, lib.rand(2)]
    after = [lib.rand(2), lib.random.initial_seed()]
    state = lib.random.get_rng_state()
    with lib.random.fork_rng(enabled=False):
        drawn = lib.rand(1)
    lib.random.set_rng_state(state)
    return inside, after, drawn, lib.rand(1)


@program
def a_generator_that_averages_its_weights(lib: Any) -> Any:
    lib.manual_seed(1)
    nn, F = lib.nn, lib.nn.functional
    net = nn.Sequential(nn.Linear(3, 8, bias=False), nn.BatchNorm1d(8), nn.LeakyReLU(0.2), nn.Linear(8, 2))
    opt = lib.optim.Adam([{"params": net[0].parameters()}, {"params": net[3].parameters(), "lr": 1e-2}], lr=1e-3)
    average = lib.optim.swa_utils.AveragedModel(net, avg_fn=lib.optim.swa_utils.get_ema_avg_fn(0.8))
    data = lib.utils.data.TensorDataset(lib.randn(20, 3), lib.randint(0, 2, (20,)))
    losses = []
    for _ in range(2):
        for x, y in lib.utils.data.DataLoader(data, 8, shuffle=True):
            opt.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            lib.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            average.update_parameters(net)
            losses.append(loss.item())
    return losses, average(data[:4][0]), [p.sum() for p in average.parameters()], repr(data[0][1])


@program
def a_schedule_of_ones_own(lib: Any) -> Any:
    from importlib import import_module

    base = import_module(f"{lib.__name__}.optim.lr_scheduler")._LRScheduler
    asked = []

    class Warm(base):  # type: ignore[misc, valid-type]
        def get_lr(self) -> list[float]:
            asked.append(self._get_lr_called_within_step)
            return [each * min(1.0, (self.last_epoch + 1) / 3) for each in self.base_lrs]

    opt = lib.optim.SGD([lib.ones(2, requires_grad=True)], lr=0.5)
    schedule, rates = Warm(opt), []
    for _ in range(3):
        opt.step()
        schedule.step()
        rates.append(schedule.get_last_lr())
    step = lib.optim.lr_scheduler.CosineAnnealingWarmRestarts(opt, 2)
    return rates, schedule.get_lr(), asked, sorted(schedule.state_dict()), sorted(step.state_dict())


@program
def the_tangent_that_was_given(lib: Any) -> Any:
    fw = lib.autograd.forward_ad
    x, t = lib.ones(3, requires_grad=True), lib.arange(3.0).requires_grad_()
    with fw.dual_level():
        dual = fw.make_dual(x, t)
        tangent = fw.unpack_dual(dual).tangent
        (gradient,) = lib.autograd.grad((tangent * 2).sum(), t)
        product = dual * dual
        written = fw.make_dual(lib.ones(3), lib.ones(3)).mul_(4)
        return tangent is t, gradient, fw.unpack_dual(product).tangent is t, fw.unpack_dual(written).tangent


@program
def what_a_state_is_printed_as(lib: Any) -> Any:
    net = lib.nn.Sequential(lib.nn.BatchNorm1d(1), lib.nn.Linear(1, 1, bias=False))
    state = net.state_dict()
    state["1.weight"].zero_()
    return repr(state), type(state).__name__, list(state._metadata), repr(net.load_state_dict(state))


@program
def losses_that_broadcast_warn_on_the_users_line(lib: Any) -> Any:
    told = []
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        with pytest.warns(UserWarning, match="Using a target size") as caught:
            getattr(lib.nn.functional, name)(lib.ones(2), lib.ones(1))
        told.append([each.filename == __file__ for each in caught])
    return told


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_torch_and_gradcore_do_the_same(f: Callable[[Any], Any]) -> None:
    same(f, torch, rtol=1e-4)
