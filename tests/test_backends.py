"""Backends: the same names everywhere, loaded when needed, missed with a reason. It must not know Tensors."""

from __future__ import annotations

import ast
import inspect
import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module, metadata, util
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcore import backends
from gradcore.backends import numpy as host
from gradcore.backends import shared, special
from tests import double

ROOT = Path(__file__).resolve().parents[1]
HAS_CUPY = util.find_spec("cupy") is not None


# -- names and signatures ------------------------------------------------------------------------------------


def surface(module: ModuleType) -> dict[str, Any]:
    """What a backend offers: its names less imported modules and what is only for typing."""
    helpers = {
        "Any",
        "Callable",
        "AbstractContextManager",
        "annotations",
        "cast",
        "cache",
        "partial",
        "wraps",
    }
    return {
        name: value
        for name, value in ((name, getattr(module, name)) for name in dir(module))
        if not name.startswith("_") and name not in {*helpers, "nullcontext"} and not isinstance(value, ModuleType)
    }


def test_backends_offer_the_same_names() -> None:
    assert surface(host).keys() == surface(double.backend()).keys()


@pytest.mark.parametrize("name", sorted(surface(host)))
def test_signatures_agree(name: str) -> None:
    ours, theirs = surface(host)[name], surface(double.backend())[name]
    assert callable(ours) == callable(theirs)
    if all(inspect.isfunction(f) and f.__module__.startswith("gradcore") for f in (ours, theirs)):
        assert parameters(ours) == parameters(theirs)


def parameters(function: Any) -> list[Any]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def test_a_backend_states_what_it_is(strict_cuda: Any) -> None:
    for module, device_type in ((host, "cpu"), (strict_cuda.backend, "cuda")):
        assert module.device_type == device_type
        assert module.why_not() is None
        x = module.zeros(3, "f4")
        assert type(x) is module.Array
        assert module.device_of(x)[0] == device_type
        assert module.dtype("f4") == x.dtype


def test_what_gradcore_asks_of_a_backend_is_there() -> None:
    """Every `F.name` in gradcore is a backend's function or, in a rule, a primitive; also where no test passes."""
    from gradcore import primitives
    from gradcore.recorder import registry

    for family in iter_modules(primitives.__path__):
        import_module(f"gradcore.primitives.{family.name}")
    import_module("gradcore.transforms.crossings")  # has primitives of its own
    known = {*surface(host), *registry}
    asked = {
        node.attr: f"{path.name}:{node.lineno}"
        for path in (ROOT / "gradcore").rglob("*.py")
        if "nn" not in path.parts  # where F is nn.functional, as everywhere in torch's world
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "F"
    }
    assert {name: where for name, where in asked.items() if name not in known and name[0] != "_"} == {}


@pytest.mark.skipif(not HAS_CUPY, reason="needs CuPy, no GPU")
def test_the_real_cupy_has_every_name() -> None:
    code = "import gradcore.backends.cupy as c, sys; print(*sorted(n for n in vars(c) if n[0] != '_'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert surface(host).keys() <= set(done.stdout.split())


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep to themselves what they give back")
def test_freed_memory_stays_with_the_process() -> None:
    code = (
        "import gradcore, resource, numpy as np\n"
        "def work():\n"
        "    return [np.ones(1 << 21, 'u1') for _ in range(4)]\n"
        "work()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(10): work()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    clean = {name: value for name, value in os.environ.items() if "MALLOC" not in name and name != "GLIBC_TUNABLES"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2048, "8 MiB are 2048 pages"


# -- the double beside CuPy itself, as far as that goes without a GPU ----------------------------------------
# CuPy makes views without asking the driver, so its arrays can be laid over the host's memory.

LAYOUTS: dict[str, Callable[[Any, Any], Any]] = {
    "slice": lambda F, x: F.getitem(x, (slice(1, None), slice(None, None, 2))),
    "element": lambda F, x: F.getitem(x, (1, 2)),
    "new axis": lambda F, x: F.getitem(x, (None, ..., 0)),
    "backwards": lambda F, x: F.flip(x, 0),
    "transpose": lambda F, x: F.transpose(x),
    "swapaxes": lambda F, x: F.swapaxes(x, 0, 1),
    "reshape": lambda F, x: F.reshape(x, (2, -1)),
    "expand_dims": lambda F, x: F.expand_dims(x, (0, -1)),
    "moveaxis": lambda F, x: F.moveaxis(x, 0, -1),
    "squeeze": lambda F, x: F.squeeze(x[None], 0),
    "diagonal": lambda F, x: F.diagonal(x, 1),
    "broadcast": lambda F, x: F.broadcast_view(x, (5, 3, 4)),
    "bytes": lambda F, x: x.view("i8"),
    "imaginary": lambda F, x: F.imag(F.flat_storage(x).view("c16")),
    "real part": lambda F, x: F.real(x),
    "cast to itself": lambda F, x: F.astype(x, "f8"),
    "contiguous already": lambda F, x: F.ascontiguousarray(x),
    "strided": lambda F, x: F.strided(x[1:], (2, 2), (8, 16)),
    "as_strided": lambda F, x: F.as_strided(x[1:], (2, 3), (1, 2), 3),
    "windows": lambda F, x: F.sliding_window_view(x, (2, 2), (0, 1)),
    "flat storage": lambda F, x: F.flat_storage(F.transpose(x)[1:]),
    "view of views": lambda F, x: F.sliding_window_view(F.transpose(x)[1:], (2,), (1,))[..., 0],
}


@pytest.fixture
def both(strict_cuda: Any) -> Iterator[Callable[[Any], list[tuple[Any, Any]]]]:
    """The double's backend and, where CuPy is installed, CuPy's own, each with an array of the same values."""
    if not HAS_CUPY:
        yield lambda x: [(strict_cuda.backend, strict_cuda.array(x))]
        return
    doubled = {name: sys.modules.pop(name) for name in double.MODULES}
    sys.modules.pop(double.BACKEND)
    real, memory = import_module(double.BACKEND), import_module("cupy.cuda.memory")

    def arrays(x: Any) -> list[tuple[Any, Any]]:
        pointer = memory.MemoryPointer(memory.UnownedMemory(x.ctypes.data, x.nbytes, x, 0), 0)
        return [(strict_cuda.backend, strict_cuda.array(x)), (real, real.Array(x.shape, x.dtype, pointer))]

    yield arrays
    sys.modules.update(doubled)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_views_are_those_of_cupy(layout: str, both: Any) -> None:
    facts = []
    for F, x in both(np.arange(12.0).reshape(3, 4)):
        view = LAYOUTS[layout](F, x)
        assert F.storage(view) is x
        assert F.storage_offset(x) == 0
        flags = view.flags.c_contiguous, view.flags.f_contiguous
        place = F.storage_offset(view) if view.itemsize == 8 else F.address(view) - F.address(x)
        facts.append((view is x, F.is_view(view), view.shape, view.strides, str(view.dtype), place, flags))
    assert facts[0] == facts[-1]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda F, x: np.asarray(x),
        lambda F, x: F.matmul(x, np.ones((4, 2))),
        lambda F, x: F.matmul(x, [1, 2, 3, 4]),
        lambda F, x: F.getitem(x, (0, 0, 0)),
        lambda F, x: F.getitem(x, 3),
        lambda F, x: F.stack([x, [1, 2, 3, 4]]),
        lambda F, x: F.sum(x, 0, initial=0),
        lambda F, x: x.sum(where=True),
        lambda F, x: F.take(x, 0, mode="clip"),
        lambda F, x: F.setitem(x, 0, [1.0, 2.0, 3.0, 4.0]),
        lambda F, x: F.setitem(x, 0, np.ones(4)),
        lambda F, x: F.copyto(x, np.ones((3, 4))),
        lambda F, x: F.astype(x, object),
        lambda F, x: F.take_along_axis(x, [[0]], 1),
        lambda F, x: x.resize(3),
        lambda F, x: x.__index__(),
        lambda F, x: bool(x),
        lambda F, x: x.item(),
        lambda F, x: F.zeros(3, device=0),
        lambda F, x: hash(x),
        lambda F, x: F.reshape(x, (5, 5)),
        lambda F, x: F.broadcast_view(x, (3, 5)),
    ],
)
def test_what_cupy_refuses_the_double_refuses(wrong: Any, both: Any) -> None:
    for F, x in both(np.arange(12.0).reshape(3, 4)):
        with pytest.raises((TypeError, ValueError, IndexError, AttributeError)):
            wrong(F, x)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda F, x: x + np.ones(4),
        lambda F, x: np.ones(4) * x,
        lambda F, x: x - [1, 2, 3, 4],
        lambda F, x: x @ np.ones(4),
        lambda F, x: x.__iadd__(np.ones(4)),
        lambda F, x: F.add(x, [1, 2, 3, 4]),
        lambda F, x: F.where(x > 0, x, np.zeros(4)),
        lambda F, x: F.maximum(x, np.zeros(4)),
        lambda F, x: np.sum(x),
        lambda F, x: np.exp(x),
        lambda F, x: np.concatenate([x, x]),
        lambda F, x: F.concatenate([x, np.ones((3, 4))], 0),
        lambda F, x: F.getitem(x, [0, 1]),
        lambda F, x: F.getitem(x, np.array([0, 1])),
        lambda F, x: F.getitem(x, slice(F.argmax(x))),
        lambda F, x: F.take(x, [0, 1], 0),
        lambda F, x: F.sort([3, 1, 2]),
        lambda F, x: F.reshape(x, F.arange(2)),
        lambda F, x: range(F.sum(x)),
        pytest.param(
            lambda F, x: __import__("cupy").logical_and(x + 1j, x),
            marks=pytest.mark.skipif(not HAS_CUPY, reason="needs CuPy's table of loops"),
        ),
        lambda F, x: F.zeros(3, "O"),
        lambda F, x: setattr(x, "shape", (12,)),
        lambda F, x: x.flags.writeable,
    ],
)
def test_what_would_copy_or_fail_on_a_device_the_double_refuses(wrong: Any, strict_cuda: Any) -> None:
    with pytest.raises((TypeError, ValueError, IndexError, AttributeError)):
        wrong(strict_cuda.backend, strict_cuda.array(np.arange(12.0).reshape(3, 4)))


def test_the_double_does_as_a_device_does(strict_cuda: Any) -> None:
    F, host_of = strict_cuda.backend, strict_cuda.host
    x = strict_cuda.array(np.arange(4.0))
    assert F.sum(x).shape == ()
    assert np.isnan(host_of(F.empty((3,), "f4"))).all()
    assert list(host_of(F.getitem(x, strict_cuda.array(np.array([5, -1]))))) == [1, 3]
    places, values = strict_cuda.array(np.zeros(50, "i8")), strict_cuda.array(np.arange(50.0))
    winners = set()
    for _ in range(20):
        F.setitem(x, places, values)
        winners.add(float(host_of(x)[0]))
    assert len(winners) > 1
    assert strict_cuda.syncs == 0
    for wait in (bool, float, int, complex, repr, lambda x: x.item(), lambda x: x.get(), lambda x: x.tolist()):
        before = strict_cuda.syncs
        wait(F.sum(x))
        assert strict_cuda.syncs == before + 1
    assert strict_cuda.uploads == 0
    F.asarray([1.0, 2.0])
    assert strict_cuda.uploads == 1
    with F.on_device(1), pytest.raises(ValueError, match="same as the current device"):
        x.copy() + x


def test_the_double_leaves_no_trace() -> None:
    before = dict(backends.by_device), set(backends.by_type), sys.modules.get("cupy"), sys.modules.get(double.BACKEND)
    with suppress(KeyError), double.installed() as cuda:
        assert backends.of(cuda.array(np.ones(2))) is backends.for_device("cuda") is cuda.backend
        raise KeyError
    after = dict(backends.by_device), set(backends.by_type), sys.modules.get("cupy"), sys.modules.get(double.BACKEND)
    assert after == before


def test_the_double_invents_no_name() -> None:
    if not HAS_CUPY:
        pytest.skip("needs CuPy, no GPU")
    for name, module in double.MODULES.items():
        real = vars(module)["_real"]
        served = [n for n in vars(module) if not n.startswith("_")]
        if name not in ("cupyx.scipy", "cupyx.scipy.linalg"):  # which import cuBLAS
            assert [n for n in served if not hasattr(real, n)] == []
    real_array = vars(double.MODULES["cupy"])["_real"].ndarray
    assert [n for n in vars(double.ndarray) if not n.startswith("_") and not hasattr(real_array, n)] == []


# -- finding a backend ---------------------------------------------------------------------------------------


@pytest.fixture
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The registry as it was when gradcore was imported."""
    monkeypatch.setattr(backends, "by_device", {"cpu": host})
    monkeypatch.setattr(backends, "by_type", type(backends.by_type)({np.ndarray: host, np.generic: host}))
    monkeypatch.delitem(sys.modules, double.BACKEND, raising=False)
    yield monkeypatch
    sys.modules.pop(double.BACKEND, None)


def test_numpy_and_its_subclasses_are_at_home() -> None:
    class Special(np.ndarray):
        pass

    for x in (np.ones(2), np.float32(1), np.ones(2).view(Special), np.ma.array([1.0])):
        assert backends.of(x) is host
    assert backends.for_device("cpu") is host
    for stranger in ([1.0], 1.0, "x", None):
        with pytest.raises(TypeError, match="no backend handles"):
            backends.of(stranger)


def test_without_cupy_the_error_says_what_to_install(empty_registry: pytest.MonkeyPatch) -> None:
    empty_registry.setitem(sys.modules, "cupy", None)
    with pytest.raises(RuntimeError, match=r"CuPy is not installed.*gradcore\[cuda\].*gradcore\[cuda13\]"):
        backends.for_device("cuda")
    assert "CuPy is not installed" in str(backends.why_not("cuda"))
    assert "cuda" not in backends.by_device


def test_a_cupy_too_old_is_named_as_the_cause(empty_registry: pytest.MonkeyPatch) -> None:
    old = ModuleType("cupy")
    old.__version__ = "9.0.0"  # type: ignore[attr-defined]
    empty_registry.setitem(sys.modules, "cupy", old)
    empty_registry.setitem(sys.modules, "cupyx", ModuleType("cupyx"))
    with pytest.raises(RuntimeError, match=r"does not serve \(cannot import name.*14\.2 or later"):
        backends.for_device("cuda")


class NoDevice(RuntimeError):
    pass


@pytest.mark.parametrize(
    ("driver", "devices", "says"),
    [
        (0, None, "no CUDA driver was found.*Install NVIDIA's driver, for CUDA 13"),
        (11040, None, r"built for CUDA 13 and the driver supports CUDA 11 at most.*detected\)\. Install a newer driver$"),
        (12090, None, r"built for CUDA 13 and the driver supports CUDA 12 at most.*gradcore\[cuda\]\", or a newer driver$"),
        (13000, None, "finds no GPU.*nvidia-smi"),
        (13010, 0, "finds no GPU.*no devices"),
    ],
)
def test_why_there_is_no_gpu(
    driver: int, devices: int | None, says: str, strict_cuda: Any, empty_registry: pytest.MonkeyPatch
) -> None:
    def count() -> int:
        if devices is None:
            raise NoDevice("cudaErrorNoDevice: no CUDA-capable device is detected")
        return devices

    runtime = SimpleNamespace(
        getDeviceCount=count,
        CUDARuntimeError=NoDevice,
        runtimeGetVersion=lambda: 13000,
        driverGetVersion=lambda: driver,
    )
    empty_registry.setattr(strict_cuda.cupy.cuda, "runtime", runtime)
    empty_registry.setitem(sys.modules, double.BACKEND, strict_cuda.backend)
    with pytest.raises(RuntimeError, match=f"device 'cuda' cannot be used: .*{says}"):
        backends.for_device("cuda")
    assert "cuda" not in backends.by_device


def test_a_device_from_outside_is_found_by_its_entry_point(empty_registry: pytest.MonkeyPatch) -> None:
    class Array:
        pass

    module = ModuleType("far")
    vars(module).update(device_type="far", Array=Array, why_not=lambda: None, start=lambda: None)
    broken = SimpleNamespace(name="odd", load=lambda: 42)
    points = [SimpleNamespace(name="far", load=lambda: module), broken]
    empty_registry.setattr(metadata, "entry_points", lambda *, group: points if group == backends.ENTRY_POINTS else [])
    with pytest.raises(TypeError, match="no backend handles"):
        backends.of(Array())
    assert backends.for_device("far") is module
    assert backends.of(Array()) is module
    with pytest.raises(RuntimeError, match=r"'odd' .* names 42, not a module"):
        backends.for_device("odd")
    with pytest.raises(RuntimeError, match=r"'near' is unknown: expected one of cpu, cuda, far, odd.*entry-point"):
        backends.for_device("near")


def test_cupy_is_loaded_by_the_first_array_that_needs_it(empty_registry: pytest.MonkeyPatch, strict_cuda: Any) -> None:
    # `strict_cuda` put the double where `import cupy` finds it; the registry that it filled is another one.
    empty_registry.setattr(backends, "by_device", {"cpu": host})
    empty_registry.setattr(backends, "by_type", type(backends.by_type)({np.ndarray: host}))
    assert backends.of(strict_cuda.array(np.ones(2))) is strict_cuda.backend
    assert backends.by_device["cuda"] is strict_cuda.backend


def test_computing_on_the_host_loads_no_device_library() -> None:
    code = (
        "import sys, gradcore\n"
        "x = gradcore.ones(3, requires_grad=True)\n"
        "(x * x + 1).sum().backward()\n"
        "print(*{'cupy', 'cupyx', 'scipy', 'ml_dtypes', 'importlib.metadata'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_special_functions_do_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng().normal(size=(2, 3))
    monkeypatch.setitem(sys.modules, "scipy", None)
    for found in (special._scipy, special._or_else):
        found.cache_clear()
    try:
        mine = host.erf(x), host.erfc(x.astype("f4")), host.erf(np.array(0.5))
        with pytest.raises(ImportError, match="digamma needs SciPy: pip install scipy"):
            host.special("digamma", x)
    finally:
        special._or_else.cache_clear()
    assert mine[0].dtype == np.float64
    assert mine[1].dtype == np.float32
    np.testing.assert_allclose(mine[0][0, 0], np.vectorize(math.erf)(x)[0, 0], rtol=1e-15)
    assert abs(float(mine[2]) - 0.5204998778130465) < 1e-15


def test_shared_functions_know_no_array_library() -> None:
    modules = {value.__name__ for value in vars(shared).values() if isinstance(value, ModuleType)}
    assert modules.isdisjoint({"numpy", "cupy"})


def test_what_most_programs_never_use_is_imported_when_asked_for() -> None:
    late = {"gradcore.backends.lapack", "gradcore.backends.activations", "gradcore.backends.scans"}
    code = f"""import sys, gradcore
from gradcore.backends import numpy as host
late = {late!r}
assert not late & set(sys.modules), late & set(sys.modules)
host.cholesky, host.gelu, host.cumsum
assert late <= set(sys.modules)
assert {{"cholesky", "gelu", "cumsum"}} <= set(vars(host))"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_an_unknown_function_is_said_to_be_none() -> None:
    with pytest.raises(AttributeError, match=r"module 'gradcore\.backends\.numpy' has no attribute 'chol'"):
        getattr(host, "cho" + "l")
