"""Optimizers on the strict double: one kernel for all parameters, the numbers of the host. Not how kernels are written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcore as gc
from tests import double
from tests.double import kernels as pretended

ROOT = Path(__file__).resolve().parents[1]
rng = np.random.default_rng()
DEMANDED = os.environ.get("CI_KERNELS", "0") not in ("", "0")
needs_a_compiler = pytest.mark.skipif(pretended.COMPILER is None, reason="needs g++")

RULES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "maximize": True}),
    ("AdamW", {"lr": 0.1}),
    ("Adamax", {"lr": 0.1, "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.7, "centered": True}),
    ("RMSprop", {"weight_decay": 0.1}),
    ("Adagrad", {"lr_decay": 0.1}),
    ("Adadelta", {"weight_decay": 0.1}),
    ("NAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.1, "betas": (0.5, 0.9)}),
    ("RAdam", {"lr": 0.1, "betas": (0.5, 0.99), "decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("Rprop", {"lr": 0.1}),
    ("ASGD", {"t0": 1.0}),
]
CAPTURABLE = [
    (name, {**settings, "fused" if name == "Adagrad" else "capturable": True}) for name, settings in RULES if name != "SGD"
]
LAUNCHES = {"NAdam": 3, "ASGD": 4}  # of a step: the others count in one, and move in one
SHAPES = [(3, 4), (), (5000,), (0,), (7,)]


def trained(name: str, settings: dict[str, Any], values: Any, device: str, dtype: Any = gc.float64, steps: int = 4) -> Any:
    """Parameters and state after a few steps along gradients that change."""
    params = [gc.tensor(v, device=device, dtype=dtype, requires_grad=True) for v in values]
    optimizer = getattr(gc.optim, name)(params, **settings)
    for step in range(steps):
        for p, v in zip(params, values, strict=True):
            p.grad = gc.tensor(np.cos(v + step) - 0.3, device=device, dtype=dtype)
        optimizer.step()
    state = [each for p in params for _, each in sorted(optimizer.state[p].items()) if isinstance(each, gc.Tensor)]
    return [each.detach().cpu().numpy() for each in (*params, *state)]


def close(ours: Any, expected: Any, tolerance: float) -> None:
    for mine, other in zip(ours, expected, strict=True):
        assert (mine.shape, mine.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance)


@needs_a_compiler
@pytest.mark.parametrize("dtype", [gc.float64, gc.float32], ids=str)
@pytest.mark.parametrize(("name", "settings"), RULES)
def test_a_device_goes_where_the_host_goes(name: str, settings: dict[str, Any], dtype: Any, strict_cuda: Any) -> None:
    values = [rng.normal(size=shape) for shape in SHAPES]
    before = len(pretended.runs)
    there = trained(name, settings, values, "cuda", dtype)
    assert pretended.runs[before:] == ["gradcore_rule"] * 4
    close(there, trained(name, settings, values, "cpu", dtype), 1e-12 if dtype == gc.float64 else 1e-5)


@needs_a_compiler
@pytest.mark.parametrize(("name", "settings"), CAPTURABLE)
def test_a_step_that_can_be_captured_counts_on_the_device(name: str, settings: dict[str, Any], strict_cuda: Any) -> None:
    values = [rng.normal(size=shape) for shape in SHAPES]
    plain = trained(name, settings, values, "cpu")
    before = len(pretended.runs)
    given = {"lr": 0.01, **settings}
    if name != "Rprop":
        given["lr"] = gc.tensor(given["lr"], device="cuda", dtype=gc.float64)
    there = trained(name, given, values, "cuda", steps=8)
    assert pretended.runs[before:] == ["gradcore_rule"] * 8 * LAUNCHES.get(name, 2)
    # The counts of a device are of single precision, those of the host are numbers in between.
    close(there, trained(name, {"lr": 0.01, **settings}, values, "cpu", steps=8), 1e-6 if name in LAUNCHES else 1e-12)
    assert len(there) == len(plain)


@needs_a_compiler
def test_nothing_waits_for_the_device(strict_cuda: Any) -> None:
    for name, settings in RULES:
        params = [gc.tensor(rng.normal(size=3), device="cuda", requires_grad=True) for _ in range(2)]
        optimizer = getattr(gc.optim, name)(params, **settings)
        for p in params:
            p.grad = gc.ones(3, dtype=gc.float64, device="cuda")
        optimizer.step()
        with strict_cuda.never_waits():
            optimizer.step()


@needs_a_compiler
def test_parameters_of_many_sizes_dtypes_and_layouts(strict_cuda: Any) -> None:
    """More than one launch can hold, two dtypes, a gradient that lies otherwise, a parameter that does, complex ones."""
    sizes = [*range(1, 120), 2048, 2049, 6000]
    values = [rng.normal(size=n) for n in sizes]
    before = len(pretended.runs)
    close(trained("AdamW", {}, values, "cuda", steps=1), trained("AdamW", {}, values, "cpu", steps=1), 1e-12)
    assert pretended.runs[before:] == ["gradcore_rule"] * 2

    def program(device: str) -> list[Any]:
        generator = np.random.default_rng(3)
        a, b, c, d = (generator.normal(size=(4, 6)) for _ in range(4))
        params = [
            gc.tensor(a, device=device, dtype=gc.float32),
            gc.tensor(b, device=device),
            gc.tensor(c, device=device).t().detach(),
            gc.tensor(c + 1j * d, device=device),
            gc.tensor(c - 1j * d, device=device).t().detach(),
            gc.tensor(d, device=device, dtype=gc.bfloat16),
            gc.tensor(d, device=device, dtype=gc.float16),
        ]
        optimizer = gc.optim.Adam([p.requires_grad_() for p in params], lr=0.1, fused=True)
        for _ in range(3):
            for p in params:
                p.grad = (p.detach() * 2 - 1).t().contiguous().t()
            optimizer.step()
        return [p.detach().to(dtype=gc.complex128 if p.is_complex() else gc.float64).cpu().numpy() for p in params]

    for i, (mine, other) in enumerate(zip(program("cuda"), program("cpu"), strict=True)):
        tolerance = 1e-5 if i == 0 else 0.02 if i > 4 else 1e-12
        np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance)


@needs_a_compiler
def test_settings_of_groups_are_kept_apart(strict_cuda: Any) -> None:
    start = rng.normal(size=5)
    params = [gc.tensor(start, device=device, requires_grad=True) for device in ("cuda", "cuda", "cpu")]
    optimizer = gc.optim.SGD([{"params": params[:1], "lr": 1.0}, {"params": params[1:]}], lr=0.5)
    for p in params:
        p.grad = gc.ones(5, dtype=gc.float64, device=p.device)
    version = params[0]._version
    optimizer.step()
    found = [p.detach().cpu().numpy() for p in params]
    np.testing.assert_allclose(found, [start - 1.0, start - 0.5, start - 0.5])
    assert params[0]._version > version


@needs_a_compiler
def test_a_graph_that_saved_a_parameter_sees_that_it_moved(strict_cuda: Any) -> None:
    p = gc.tensor([1.0, 2.0], device="cuda", requires_grad=True)
    loss = (p * p).sum()
    p.grad = gc.ones(2, device="cuda")
    gc.optim.SGD([p], lr=0.5).step()
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation.*SGD\.step"):
        loss.backward()


@pytest.mark.parametrize("library", ["gradcore", pytest.param("torch", marks=pytest.mark.oracle)])
def test_ways_that_exclude_each_other(library: str) -> None:
    T = pytest.importorskip(library)
    p = [T.nn.Parameter(T.ones(2))]
    for name in ("SGD", "Adam", "AdamW", "Adagrad"):
        make = getattr(T.optim, name)
        with pytest.raises(RuntimeError, match="`fused` and `foreach` cannot be `True` together"):
            make(p, fused=True, foreach=True)
        with pytest.raises(RuntimeError, match="`fused` does not support `differentiable`"):
            make(p, fused=True, differentiable=True)
    with pytest.raises(ValueError, match="lr as a Tensor is not supported for capturable=False and foreach=True"):
        T.optim.Adam(p, lr=T.tensor(0.1), foreach=True)
    assert T.optim.SGD(p, lr=0.1, fused=True).param_groups[0]["fused"] is True


def test_state_that_counts_on_a_device_is_loaded(strict_cuda: Any) -> None:
    values = [rng.normal(size=3)]
    made = []
    for capturable in (True, False):
        params = [gc.tensor(values[0], device="cuda", requires_grad=True)]
        made.append(gc.optim.Adam(params, capturable=capturable))
        params[0].grad = gc.ones(3, dtype=gc.float64, device="cuda")
        made[-1].step()
    saved = made[0].state_dict()
    saved["state"][0] = {**saved["state"][0], "step": gc.tensor(1.0)}  # as from a file
    for there, other in (made, made[::-1]):
        there.load_state_dict(other.state_dict())
        (state,) = there.state.values()
        assert state["step"].is_cuda == there.param_groups[0]["capturable"]
        assert state["step"].item() == 1


# -- NVRTC -------------------------------------------------------------------------------------------------------------

COMPILE = """
import json, sys
from cupy._core import core
from cupy.cuda import compiler
options = core.assemble_cupy_compiler_options(()) + ("-ftz=true", "--device-as-default-execution-space", "-arch=sm_75")
texts = json.load(sys.stdin)
for text in texts:
    assert len(compiler._NVRTCProgram(text, "rule.cu", method="cubin").compile(options)[0]) > 500
print("built", len(texts))
"""


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources of all kernels that rules become, for every dtype."""
    rules: Any = double.parts()["gradcore.backends.kernels.rules"]
    found: list[str] = []
    make: Callable[..., Any] = rules.kernel

    def kernel(char: str, *rest: Any) -> Any:
        found.extend(text for each in "efd" if (text := rules.Kernel(each, *rest).text) not in found)
        return make(char, *rest)

    monkeypatch.setattr(rules, "kernel", kernel)
    return found


@needs_a_compiler
@pytest.mark.slow
@pytest.mark.oracle
def test_what_rules_become_compiles(texts: list[str], strict_cuda: Any) -> None:
    for name, settings in RULES:
        trained(name, settings, [rng.normal(size=3)], "cuda", steps=1)
    for name, settings in CAPTURABLE:
        trained(name, settings, [rng.normal(size=3)], "cuda", steps=1)
    ask = "from cupy.cuda import compiler; from cupy_backends.cuda.libs import nvrtc; print(nvrtc.getVersion())"
    if subprocess.run([sys.executable, "-c", ask], capture_output=True, check=False).returncode and not DEMANDED:
        pytest.skip('needs CuPy and NVRTC, no GPU: pip install -e ".[kernels]"')
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], cwd=ROOT, input=json.dumps(texts), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-1]) == len(texts) >= 3 * 20
