"""What torch's documentation says of grad modes, anomalies, profiles and checkpoints, as programs that torch runs too."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from tests.twin import Programs, attempt, same

torch = pytest.importorskip("torch")

program = PROGRAMS = Programs()


def part(lib: Any, name: str) -> Any:
    return import_module(f"{lib.__name__}.{name}")


def numbers(lib: Any, *shape: int, seed: int = 0, grad: bool = False) -> Any:
    values = np.random.default_rng(seed).normal(size=shape)
    return lib.tensor(values.tolist(), dtype=lib.float64, requires_grad=grad)


# -- modes ------------------------------------------------------------------------------------------------------------


@program
def grad_modes(lib: Any) -> Any:
    x = lib.tensor([1.0], requires_grad=True)
    found = []
    with lib.no_grad():
        y = x * 2
        with lib.enable_grad():
            found.append((x * 2).requires_grad)

    @lib.no_grad()
    def doubler(x: Any) -> Any:
        return x * 2

    @lib.enable_grad()
    def tripler(x: Any) -> Any:
        return x * 3

    @lib.no_grad
    def bare(x: Any) -> Any:
        return x * 4

    with lib.no_grad():
        found += [tripler(x).requires_grad, lib.nn.Parameter(lib.rand(2)).requires_grad]
        factory = lib.ones(2, requires_grad=True).requires_grad
    for mode in (False, True):
        with lib.set_grad_enabled(mode):
            found.append((x * 2).requires_grad)
    lib.set_grad_enabled(False)
    found.append((x * 2).requires_grad)
    lib.set_grad_enabled(True)
    return found, y.requires_grad, doubler(x).requires_grad, bare(x).requires_grad, factory, (x * 2).requires_grad


@program
def inference_mode(lib: Any) -> Any:
    x = lib.ones(1, 2, 3, requires_grad=True)
    with lib.inference_mode():
        y = x * x
        with lib.inference_mode(mode=False):
            normal = (x * 2).requires_grad, lib.is_inference_mode_enabled()

    @lib.inference_mode()
    def func(x: Any) -> Any:
        return x * x

    @lib.inference_mode
    def bare(x: Any) -> Any:
        return x * x

    out, z = func(x), bare(x)
    return [
        y.requires_grad, attempt(lambda: y._version), out.requires_grad, out.is_inference(), z.is_inference(), normal,
        attempt(lambda: out.requires_grad_()), attempt(lambda: out.add_(1)), attempt(lambda: x * out),
        (out.clone() * x).requires_grad,
    ]  # fmt: skip


@program
def anomalies(lib: Any) -> Any:
    class MyFunc(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, inp: Any) -> Any:
            return inp.clone()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            raise RuntimeError("Some error in backward")

    x = lib.ones(2, requires_grad=True)

    def run_fn(a: Any) -> Any:
        return MyFunc.apply(a).sum()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with lib.autograd.detect_anomaly():
            failed = attempt(run_fn(x).backward)
            nan = attempt((x.detach().requires_grad_() * 0).sqrt().mul(0).sum().backward)
            inside = lib.is_anomaly_enabled()
        with lib.autograd.detect_anomaly(check_nan=False):
            y = lib.zeros(2, requires_grad=True)
            (y.sqrt() * 0).sum().backward()
        with lib.autograd.set_detect_anomaly(False):
            off = lib.is_anomaly_enabled()
    return failed, nan, inside, off, y.grad.isnan().tolist(), lib.is_anomaly_enabled()


# -- the profiler -----------------------------------------------------------------------------------------------------


@program
def the_profiler_names_what_ran(lib: Any) -> Any:
    P = part(lib, "autograd.profiler")
    x = lib.randn((1, 1), requires_grad=True)
    with P.profile() as prof:
        with P.record_function("label-z"):
            z = x**3 * 2
        z.backward()
    names = {event.key for event in prof.key_averages()}
    with P.profile(enabled=False) as off:
        x * 2
    table = prof.key_averages().table(sort_by="self_cpu_time_total")
    return [
        [name in names for name in ("aten::pow", "label-z", "aten::mul")],
        [title in table for title in ("Self CPU %", "CPU total", "# of Calls", "label-z", "Self CPU time total")],
        off is None, prof.total_average().count >= 3, isinstance(prof.self_cpu_time_total, float),
        P.profile().table(), len(P.profile().key_averages()), str(P.profile()),
    ]  # fmt: skip


# -- checkpoints ------------------------------------------------------------------------------------------------------


@program
def checkpoints_run_again_and_stop_early(lib: Any) -> Any:
    C = part(lib, "utils.checkpoint")
    found = []
    for how in (contextlib.nullcontext(), C.set_checkpoint_early_stop(False), C.set_checkpoint_early_stop(True)):
        log: list[str] = []

        def fn(x: Any, log: Any = log) -> Any:
            log.append("in")
            y = x.sin().exp()
            log.append("out")
            return y

        x = numbers(lib, 3, grad=True)
        with how:
            out = C.checkpoint(fn, x, use_reentrant=False)
        out.sum().backward()
        found.append([log, x.grad])
    return found


@program
def checkpoints_keep_random_numbers_and_are_checked(lib: Any) -> Any:
    C = part(lib, "utils.checkpoint")
    found = []
    for preserve in (True, False):
        lib.manual_seed(0)
        x = numbers(lib, 5, grad=True)
        out = C.checkpoint(lambda x: x * lib.rand(5).double(), x, use_reentrant=False, preserve_rng_state=preserve)
        lib.rand(3)
        out.sum().backward()
        found.append(bool((x.grad * x).sub(out).abs().max() < 1e-12))
    turn = [0]

    def changing(x: Any) -> Any:
        turn[0] += 1
        return (x.exp() if turn[0] % 2 else x[:1].exp()).sin()

    def dispatch(check: str) -> Any:
        out = C.checkpoint(changing, x, use_reentrant=False, determinism_check=check)
        return out.sum().backward()

    turn[0] = 0
    wrong = attempt(lambda: dispatch("default"))[:2]
    return found, wrong[1], attempt(lambda: dispatch("maybe"))


@program
def checkpoints_take_contexts_and_sequences(lib: Any) -> Any:
    C = part(lib, "utils.checkpoint")
    log: list[str] = []

    @contextlib.contextmanager
    def note(name: str) -> Any:
        log.append(name)
        yield

    x = numbers(lib, 2, 3, grad=True)
    out = C.checkpoint(lambda x: x.exp(), x, use_reentrant=False, context_fn=lambda: (note("first"), note("second")))
    out.sum().backward()
    model = lib.nn.Sequential(*(lib.nn.Tanh() for _ in range(5)))
    y = C.checkpoint_sequential(model, 2, x, use_reentrant=False)
    whole = lib.autograd.grad(model(x).sum(), x)
    return [
        log, x.grad, lib.autograd.grad(y.sum(), x), whole,
        attempt(lambda: C.checkpoint_sequential(model, 2, x, use_reentrant=False, other=3)),
        [type(each).__name__ for each in C.noop_context_fn()],
    ]  # fmt: skip


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_does_as_torch(f: Callable[[Any], Any]) -> None:
    same(f, torch)
