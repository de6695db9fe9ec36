"""Training without torch: on the strict double of a device, from file to file, and the transformer of examples/."""

from __future__ import annotations

import io
import math
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcore as gc
from gradcore import nn, optim

ROOT = Path(__file__).resolve().parents[1]


def network(device: str) -> Any:
    """Layers of many kinds, with the same weights on any device."""
    gc.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.LayerNorm(36),
        nn.Linear(36, 8), nn.GELU(), nn.Unflatten(1, (2, 4)), nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True),
        nn.GRU(4, 3, batch_first=True),
    ).double()  # fmt: skip
    return net.to(device)


def data(device: str) -> tuple[Any, Any]:
    """Images and what they are."""
    rng = np.random.default_rng(1)
    return gc.tensor(rng.normal(size=(5, 1, 6, 6)), device=device), gc.tensor(rng.integers(0, 3, 5), device=device)


def steps(net: Any, make: Any, x: Any, y: Any, count: int = 3) -> list[Any]:
    """Losses of a few steps."""
    optimizer = make(net.parameters())
    schedule = optim.lr_scheduler.StepLR(optimizer, 2)
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(net(x)[0][:, -1], y)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
    return losses


OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "Adam": lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    "Adamax": lambda p: optim.Adamax(p, lr=0.01),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.01),
    "Adadelta": lambda p: optim.Adadelta(p),
    "NAdam": lambda p: optim.NAdam(p),
    "RAdam": lambda p: optim.RAdam(p, betas=(0.5, 0.6)),
    "Rprop": lambda p: optim.Rprop(p),
    "ASGD": lambda p: optim.ASGD(p, t0=1.0),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_on_a_device_gives_the_cpus_numbers_and_never_waits(name: str, strict_cuda: Any) -> None:
    net, images = network("cuda"), data("cuda")
    with strict_cuda.never_waits():
        there = steps(net, OPTIMIZERS[name], *images)
    here = steps(network("cpu"), OPTIMIZERS[name], *data("cpu"))
    for a, b in zip(there, here, strict=True):
        np.testing.assert_allclose(strict_cuda.host(a._array), b.numpy(), rtol=1e-7)


def test_files_know_no_devices(strict_cuda: Any) -> None:
    net = network("cuda")
    for format in ("safetensors", "npz"):
        file = io.BytesIO()
        gc.save(net.state_dict(), file, format=format)
        file.seek(0)
        loaded = gc.load(file)
        assert {str(x.device) for x in loaded.values()} == {"cpu"}
        file.seek(0)
        assert {str(x.device) for x in gc.load(file, map_location="cuda").values()} == {"cuda:0"}
        net.load_state_dict(loaded)
    assert {str(x.device) for x in net.state_dict().values()} == {"cuda:0"}


def test_large_parameters_are_updated_in_parts_as_small_ones_are_whole() -> None:
    gc.manual_seed(2)
    values, gradient = gc.randn(100_003), gc.randn(100_003)
    for make in OPTIMIZERS.values():
        whole, parts = values.clone().requires_grad_(), [x.clone().requires_grad_() for x in values.split(1000)]
        whole.grad = gradient
        for part, g in zip(parts, gradient.split(1000), strict=True):
            part.grad = g
        for optimizer in (make([whole]), make(parts)):
            optimizer.step()
            optimizer.step()
        assert whole.tolist() == gc.cat(parts).tolist()


def test_a_step_leaves_gradients_and_numpys_warnings_as_they_are() -> None:
    p = gc.tensor([1.0, -2.0, 0.0], requires_grad=True)
    p.grad = gc.tensor([0.0, math.inf, math.nan])
    for make in OPTIMIZERS.values():
        with np.errstate(all="raise"):
            make([p]).step()
            with pytest.raises(FloatingPointError):
                np.ones(1) / 0
    np.testing.assert_array_equal(p.grad.numpy(), np.array([0.0, math.inf, math.nan], np.float32))


def test_steps_in_several_threads() -> None:
    nets = [network("cpu") for _ in range(4)]
    losses: list[Any] = [None] * 4

    def work(i: int) -> None:
        losses[i] = [float(x) for x in steps(nets[i], OPTIMIZERS["Adam"], *data("cpu"))]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert losses == [losses[0]] * 4


def test_importing_gradcore_imports_no_network() -> None:
    code = """
import sys, gradcore
def loaded(): return [m for m in sys.modules if m.startswith(("gradcore.nn", "gradcore.optim", "gradcore.serialization"))]
assert not loaded(), loaded()
gradcore.nn, gradcore.optim, gradcore.save, gradcore.load
assert loaded()
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_transformer_learns_to_write(tmp_path: Path) -> None:
    weights = tmp_path / "made/weights.safetensors"
    code = f"""
import sys
sys.path.insert(0, ".")
import runpy
runpy.run_path("examples/transformer.py")["main"](["--steps", "120", "--length", "12", "--out", {str(weights)!r}])
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loss = float(re.search(r"not trained on: ([\d.]+)", done.stdout)[1])  # type: ignore[index]
    assert loss < 2.8  # guessing gives 4.63, the letters' frequencies 3.3
    assert "The for statement" in done.stdout
    saved = gc.load(weights)
    assert saved["letter.weight"].shape[1] == 64
    assert "later" not in saved


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--steps", "0"], "--steps must be at least 1"), (["--prompt", "\u3042"], "letters that the text has not")],
)
def test_the_transformer_says_what_is_wrong(arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "examples/transformer.py", *arguments], cwd=ROOT, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr
