"""Convolutions through cuDNN: on the pretended frontend, beside the host's numbers. It must not know how they are planned.

Where NVIDIA's frontend is installed, it judges the graphs itself; where there is a GPU and cuDNN, all of it runs there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcore as gc
from gradcore import cuda
from gradcore.nn import functional as F
from tests import double
from tests.double import cudnn as pretended

ROOT = Path(__file__).resolve().parents[1]
rng = np.random.default_rng()

# Shapes of images and kernels, and torch's arguments.
CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "one axis": ((2, 3, 9), (4, 3, 3), {"padding": 1}),
    "one axis, far apart": ((2, 4, 12), (6, 2, 3), {"stride": 2, "dilation": 2, "padding": 3, "groups": 2}),
    "two axes": ((2, 3, 6, 7), (4, 3, 3, 2), {}),
    "two axes, uneven": ((2, 4, 7, 8), (6, 2, 3, 2), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}),
    "cells left over": ((1, 2, 8, 8), (2, 2, 3, 3), {"stride": 2}),
    "depthwise": ((2, 3, 5, 5), (3, 1, 3, 3), {"padding": 1, "groups": 3}),
    "three axes": ((1, 2, 4, 5, 4), (3, 2, 2, 3, 2), {"padding": (1, 0, 1), "stride": (1, 2, 1)}),
}


@pytest.fixture
def fake(strict_cuda: Any) -> Iterator[Any]:
    """The switch, over the pretended frontend."""
    with pretended.installed(pretended.library()) as switch:
        yield switch


def convolved(x: Any, w: Any, options: dict[str, Any]) -> Any:
    return (F.conv1d, F.conv2d, F.conv3d)[x.ndim - 3](x, w, **options)


def derivatives(name: str, device: str, dtype: Any = gc.float64, seed: int = 0) -> list[Any]:
    """The convolution, its gradients, and those of a function of these."""
    x_shape, w_shape, options = CASES[name]
    generator = np.random.default_rng(seed)
    x, w = (gc.tensor(generator.normal(size=s), dtype=dtype, device=device, requires_grad=True) for s in (x_shape, w_shape))
    y = convolved(x, w, options)
    seen = gc.tensor(generator.normal(size=tuple(y.shape)), dtype=dtype, device=device)
    first = gc.autograd.grad((y * seen).sum() + (y * y).sum(), (x, w), create_graph=True)
    second = gc.autograd.grad((first[0] * first[0]).sum() + (first[1] ** 3).sum(), (x, w))
    return [t.detach().cpu().numpy().astype("f8") for t in (y, *first, *second)]


def close(ours: Any, expected: Any, tolerance: float) -> None:
    for mine, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance * max(1.0, np.abs(other).max()))


@pytest.mark.parametrize("name", CASES)
def test_convolutions_and_their_derivatives_are_the_hosts(name: str, fake: Any) -> None:
    close(derivatives(name, "cuda"), derivatives(name, "cpu"), 1e-10)
    assert {way for way, _ in pretended.runs} == {"forward", "transposed", "kernel"}


@pytest.mark.parametrize(("dtype", "tolerance"), [(gc.float32, 1e-4), (gc.float16, 0.1)], ids=str)
def test_dtypes(dtype: Any, tolerance: float, fake: Any) -> None:
    close(derivatives("two axes", "cuda", dtype)[:3], derivatives("two axes", "cpu")[:3], tolerance)
    assert len(pretended.runs) > 3


def test_transposed_convolutions_are_the_same_three(fake: Any) -> None:
    def run(device: str) -> list[Any]:
        generator = np.random.default_rng(5)
        x, w = (
            gc.tensor(generator.normal(size=s), device=device, requires_grad=True) for s in ((2, 4, 5), (4, 3, 3))
        )
        y = F.conv_transpose1d(x, w, stride=2, padding=1, output_padding=1)
        (y**2).sum().backward()
        return [t.detach().cpu().numpy() for t in (y, x.grad, w.grad)]

    close(run("cuda"), run("cpu"), 1e-10)
    assert pretended.runs[0][0] == "transposed"


# -- plans ----------------------------------------------------------------------------------------------------------------


def once(dtype: Any = gc.float32, size: int = 6) -> Any:
    x, w = (gc.tensor(rng.normal(size=s), dtype=dtype, device="cuda") for s in ((2, 3, size, 7), (4, 3, 3, 2)))
    return F.conv2d(x, w)


def test_a_plan_is_made_once_for_its_sizes_and_settings(fake: Any) -> None:
    for _ in range(3):
        once()
    assert len(pretended.planned) == 1
    once(size=8)
    once(gc.float64)
    with fake.flags(enabled=True, deterministic=True):
        once()
    assert len(pretended.planned) == 4
    assert len(pretended.runs) == 6


def test_settings_choose_the_way(fake: Any) -> None:
    once()
    with fake.flags(enabled=True, allow_tf32=False):
        once()
        once(gc.float64)  # which tensor cores do not round
        with fake.flags(enabled=True, allow_tf32=False, deterministic=True):
            once()
        gc.use_deterministic_algorithms(True)
        try:
            once()
        finally:
            gc.use_deterministic_algorithms(False)
    assert [way for _, way in pretended.runs] == ["tensor cores", "scattered", "tensor cores", "plain", "plain"]
    fake.enabled = False
    try:
        once()
    finally:
        fake.enabled = True
    assert len(pretended.runs) == 5


def test_the_fastest_way_is_found_by_trying(fake: Any, strict_cuda: Any) -> None:
    with fake.flags(enabled=True, benchmark=True):
        once()
        tried = [way for _, way in pretended.runs]
        assert set(tried) == {"tensor cores", "scattered", "plain"}
        before = len(tried)
        with strict_cuda.never_waits():
            x, w = gc.ones(2, 3, 6, 7, device="cuda"), gc.ones(4, 3, 3, 2, device="cuda")
            F.conv2d(x, w)
        assert pretended.runs[before:] == [("forward", "scattered")]
        with fake.flags(enabled=True, benchmark=True, deterministic=True):
            once()
            assert pretended.runs[-1] == ("forward", "plain")
    with fake.flags(enabled=True, benchmark=True, benchmark_limit=1):
        once(size=9)
        assert pretended.runs[-1] == ("forward", "tensor cores")


def test_what_cudnn_does_not_serve_is_computed_without(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = gc.tensor(rng.normal(size=(1, 2, 5, 5)) + 0j, device="cuda")
    F.conv2d(x, x[:, :, :3, :3])  # complex
    F.conv2d(gc.ones(0, 2, 5, 5, device="cuda"), gc.ones(1, 2, 3, 3, device="cuda"))
    F.conv1d(gc.ones(1, 2, 6, device="cuda"), gc.ones(1, 2, 4, device="cuda"), padding="same")  # unequal sides
    assert pretended.planned == []
    monkeypatch.setattr(pretended, "WAYS", [])
    expected = derivatives("two axes", "cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        close(derivatives("two axes", "cuda"), expected, 1e-10)
    asked = len(pretended.planned)
    assert asked > 0
    derivatives("two axes", "cuda")
    assert len(pretended.planned) == asked  # it is not asked again
    assert pretended.runs == []


def test_a_library_that_fails_is_told_of_and_left_aside(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def build_operation_graph(self: Any) -> None:
        raise RuntimeError("CUDNN_STATUS_NOT_INITIALIZED")

    monkeypatch.setattr(pretended.pygraph, "build_operation_graph", build_operation_graph)
    with pytest.warns(RuntimeWarning, match=r"cuDNN fails to plan .*computed without \(CUDNN_STATUS_NOT_INITIALIZED"):
        found = once()
    assert found.shape == (2, 4, 4, 6)
    once()  # in silence


def test_no_room_to_work_in_names_the_operation(fake: Any) -> None:
    from tests.double import queues

    x, w = gc.ones(2, 3, 6, 7, device="cuda"), gc.ones(4, 3, 3, 2, device="cuda")
    queues.pool.set_limit(size=queues.pool.used_bytes() + 2048)
    with pytest.raises(cuda.OutOfMemoryError, match=r"CUDA out of memory.*convolve got float32\[2, 3, 6, 7\]"):
        F.conv2d(x, w)
    queues.pool.set_limit(size=0)
    assert F.conv2d(x, w).sum().item() == 18 * 2 * 4 * 4 * 6


def test_streams_and_captures(fake: Any, strict_cuda: Any) -> None:
    x, w = (gc.tensor(rng.normal(size=s), device="cuda", requires_grad=True) for s in ((2, 3, 6, 7), (4, 3, 3, 2)))

    def step(x: Any) -> Any:
        w.grad = None
        y = F.conv2d(x, w)
        (y * y).sum().backward()
        return y, w.grad

    graphed = cuda.graphed_step(step, warmup=1)
    for _ in range(4):
        with gc.no_grad():
            x.mul_(1.1)
        found = [t.detach()._array._host.copy() for t in graphed(x)]
        here, there = (t.detach().cpu().requires_grad_() for t in (x, w))
        y = F.conv2d(here, there)
        (y * y).sum().backward()
        close(found, [y.detach().numpy(), there.grad.numpy()], 1e-10)
    side = cuda.Stream()
    side.wait_stream(cuda.current_stream())
    with cuda.stream(side):
        F.conv2d(x, w)
    with cuda.device(1):
        F.conv2d(gc.ones(1, 1, 3, 3, device="cuda"), gc.ones(1, 1, 2, 2, device="cuda"))


# -- the switch -----------------------------------------------------------------------------------------------------------


def test_where_there_is_none(strict_cuda: Any) -> None:
    with pretended.installed(None) as switch:
        assert switch.is_available() is False
        assert switch.version() is None
        assert switch.why_not().startswith("nvidia-cudnn-frontend is not installed: pip install")
        assert once().shape == (2, 4, 4, 6)
    with pretended.installed(pretended.library(RuntimeError("Unable to find symbol cudnnGetVersion"))) as switch:
        assert "finds no cuDNN that serves (Unable to find symbol" in switch.why_not()
        assert once().shape == (2, 4, 4, 6)
    assert pretended.runs == []


def test_the_switch_is_where_torch_has_it_with_torchs_defaults(fake: Any) -> None:
    assert gc.backends.cudnn is fake
    assert (fake.enabled, fake.benchmark, fake.deterministic, fake.allow_tf32) == (True, False, False, True)
    with fake.flags():
        inside = fake.enabled, fake.benchmark, fake.benchmark_limit, fake.deterministic, fake.allow_tf32
    assert inside == (False, False, 10, False, True)
    assert fake.enabled is True
    assert (fake.is_available(), fake.version()) == (True, 91002)
    with pytest.raises(AttributeError, match="has no attribute 'mkldnn'"):
        _ = gc.backends.mkldnn


# -- the frontend itself --------------------------------------------------------------------------------------------------

SHIM = """
extern "C" unsigned long cudnnGetVersion() { return 91002; }
extern "C" unsigned long cudnnGetCudartVersion() { return 12090; }
extern "C" int cudnnCreate(void** handle) { *handle = (void*)1; return 0; }
"""
# Attention's graphs depend on the device.
RUNTIME = """
extern "C" int cudaGetDevice(int* device) { *device = 0; return 0; }
extern "C" const char* cudaGetErrorString(int) { return "none"; }
extern "C" int cudaGetDeviceProperties(void* found, int) {
    for (int i = 0; i < 700; i++) ((char*)found)[i] = 0;
    ((int*)found)[90] = 9;
    return 0;
}
"""

JUDGED = """
import cudnn
from tests import double
from tests.test_cudnn import asked as convolutions
from tests.test_cudnn_attention import asked as attention

packed = double.parts()["gradcore.backends.plans"].packed
graph = None
for each in (*convolutions(), *attention()):
    try:
        graph, ends = each.described(cudnn, 1)
        graph.validate()
    except RuntimeError as error:
        if "libcudart" not in str(error) or not hasattr(each, "queries"):
            raise
        print("beside another runtime", error)
        break
    if hasattr(each, "first"):
        assert [list(end.get_dim()) for end in ends] == [list(each.first), list(each.second), list(each.result)], each
    assert [list(end.get_stride()) for end in ends] == [packed(end.get_dim()) for end in ends], each
    for name in ("build_operation_graph create_execution_plans deselect_numeric_notes check_support build_plans execute "
                 "execute_plan_at_index build_plan_at_index get_workspace_size get_workspace_size_plan_at_index "
                 "get_execution_plan_count").split():
        assert callable(getattr(graph, name)), name
for name in "set_stream create_handle backend_version cudnnGraphNotSupportedError".split():
    assert callable(getattr(cudnn, name)), name
cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK
notes = cudnn.numerical_note
notes.NONDETERMINISTIC, notes.DOWN_CONVERT_INPUTS, notes.TENSOR_CORE
print("judged", cudnn.__version__)
"""


def asked() -> list[Any]:
    """What the cases ask of cuDNN, in every way and dtype."""
    found = []
    parts = double.parts()
    with pretended.installed(pretended.library()), double.installed():
        for name in CASES:
            for dtype in (gc.float16, gc.bfloat16, gc.float32, gc.float64):
                derivatives(name, "cuda", dtype)
        found = [key[2] for key in parts["gradcore.backends.plans"].known.plans]
    assert {each.way for each in found} == {"forward", "transposed", "kernel"}
    assert {each.dtype for each in found} == set(parts["gradcore.backends.convolutions"].TYPES)
    return found


@pytest.mark.oracle
def test_the_frontend_takes_the_graphs(tmp_path: Path) -> None:
    """Its own checks need no GPU, only a library that has a version."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    ask = [sys.executable, "-c", "import importlib.util as u; raise SystemExit(u.find_spec('cudnn') is None)"]
    if subprocess.run(ask, check=False).returncode:
        if os.environ.get("CI_KERNELS", "0") not in ("", "0"):
            pytest.fail('CI_KERNELS is set: pip install -e ".[kernels]"')
        pytest.skip('needs nvidia-cudnn-frontend, no GPU: pip install -e ".[kernels]"')
    (tmp_path / "shim.cpp").write_text(SHIM)
    (tmp_path / "runtime.cpp").write_text(RUNTIME)
    for text, made in (("shim", "libcudnn.so.9"), ("runtime", "libcudart.so.13")):
        subprocess.run(["g++", "-shared", "-fPIC", tmp_path / f"{text}.cpp", "-o", tmp_path / made], check=True)
    env = {**os.environ, "LD_LIBRARY_PATH": f"{tmp_path}:{os.environ.get('LD_LIBRARY_PATH', '')}", "PYTHONPATH": str(ROOT)}
    env["PYTHONPATH"] += os.pathsep + os.environ.get("PYTHONPATH", "")
    done = subprocess.run([sys.executable, "-c", JUDGED], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "judged" in done.stdout


@pytest.mark.cuda
@pytest.mark.parametrize("name", CASES)
def test_on_a_gpu(name: str) -> None:
    from gradcore.backends import cudnn

    if not cudnn.is_available():
        pytest.skip(str(cudnn.why_not()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with cudnn.flags(enabled=True, allow_tf32=False):
            close(derivatives(name, "cuda", gc.float32)[:3], derivatives(name, "cpu")[:3], 1e-4)
        close(derivatives(name, "cuda", gc.float16)[:3], derivatives(name, "cpu")[:3], 0.1)
        with cudnn.flags(enabled=True, benchmark=True):
            close(derivatives(name, "cuda", gc.float32)[:3], derivatives(name, "cpu")[:3], 0.1)
    known = __import__("sys").modules["gradcore.backends.plans"].known
    assert any(known.plans.values()), "cuDNN served nothing"
