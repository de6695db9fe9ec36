"""The pretended modules `cupy` and `cupyx`, of the pretended functions. It must not know gradcore.

A name is served when NumPy (for `cupyx.scipy`, SciPy) and CuPy both have it.
"""

from __future__ import annotations

import math
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tests.double import functions, graphs, kernels, queues
from tests.double.arrays import ndarray
from tests.double.functions import NARROW, Function, Ufunc, imported, words
from tests.double.machine import Device


class Namespace(ModuleType):
    """A pretended module: what it was given, and any function that NumPy or SciPy and CuPy both have."""

    def __init__(self, name: str, host: Any, /, **own: Any) -> None:
        super().__init__(name)
        self.__dict__.update(own, _host=host, _real=imported(name), __path__=[])

    def __getattr__(self, name: str) -> Any:
        real = self.__dict__.get("_real")
        if name.startswith("__") or not hasattr(self._host, name):
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}' (or the double cannot serve it)")
        if (real is not None and not hasattr(real, name)) or name in MISSING:
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        host, theirs = getattr(self._host, name), getattr(real, name, None)
        served: Any = host
        if isinstance(host, np.ufunc) and name not in NARROW and (theirs is None or hasattr(theirs, "types")):
            served = Ufunc(name, host, theirs)
        elif callable(host) and not isinstance(host, type):
            served = Function(name, host, theirs)
        setattr(self, name, served)
        return served


MISSING = words(
    "vecdot matvec vecmat unstack einsum_path insert geomspace spacing nanquantile nanpercentile seterr "
    "errstate vector_norm matrix_norm multi_dot svdvals"
)


class Generator:
    """cupy.random.Generator, by NumPy's: other numbers, the same distributions."""

    def __init__(self, seed: Any = None) -> None:
        self._host = np.random.default_rng(seed)

    @graphs.replayed
    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> ndarray:
        return ndarray(np.asarray(self._host.random(size, dtype)))

    @graphs.replayed
    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> ndarray:
        return ndarray(np.asarray(self._host.standard_normal(size, dtype)))

    @graphs.replayed
    def integers(
        self, low: Any, high: Any = None, size: Any = None, dtype: Any = np.int64, endpoint: bool = False
    ) -> ndarray:
        return ndarray(np.asarray(self._host.integers(low, high, size, dtype, endpoint)))

    @graphs.replayed
    def poisson(self, lam: ndarray, size: Any = None, dtype: Any = np.int64) -> ndarray:
        return ndarray(np.asarray(self._host.poisson(lam._host, size).astype(dtype)))


def _each(scalar: Any) -> Any:
    """A function of numbers as one of arrays, where there is no SciPy; float32 stays float32."""
    function = np.vectorize(scalar, "d")
    return lambda x: function(x).astype(np.result_type(x, np.float32))


def _modules() -> dict[str, ModuleType]:
    cuda = Namespace(
        "cupy.cuda",
        SimpleNamespace(),
        Device=Device,
        runtime=queues.runtime,
        memory=SimpleNamespace(OutOfMemoryError=queues.OutOfMemoryError),
        Stream=queues.Stream,
        ExternalStream=queues.ExternalStream,
        Event=queues.Event,
        is_available=lambda: True,
        get_current_stream=queues.get_current_stream,
        get_elapsed_time=queues.get_elapsed_time,
        get_allocator=queues.get_allocator,
        set_allocator=queues.set_allocator,
        MemoryPool=graphs.MemoryPool,
        using_allocator=graphs.using_allocator,
        nvtx=queues.nvtx,
    )
    scipy = {name: imported(f"scipy.{name}") or SimpleNamespace() for name in ("special", "linalg")}
    if imported("scipy") is None:
        scipy["special"] = SimpleNamespace(erf=_each(math.erf), erfc=_each(math.erfc))
    found: dict[str, ModuleType] = {"cupy.cuda": cuda}
    tricks = Namespace("cupy.lib.stride_tricks", np.lib.stride_tricks, as_strided=functions.as_strided)
    found["cupy.lib"] = Namespace("cupy.lib", SimpleNamespace(), stride_tricks=tricks)
    found["cupy.lib.stride_tricks"] = tricks
    found["cupy.linalg"] = Namespace("cupy.linalg", np.linalg)
    found["cupy.fft"] = Namespace("cupy.fft", np.fft)
    found["cupy.random"] = Namespace("cupy.random", SimpleNamespace(), default_rng=Generator, Generator=Generator)
    found["cupy"] = Namespace(
        "cupy",
        np,
        **{name.rpartition(".")[2]: module for name, module in found.items() if name.count(".") == 1},
        ndarray=ndarray,
        ElementwiseKernel=kernels.ElementwiseKernel,
        RawKernel=kernels.RawKernel,
        generic=np.generic,
        array=graphs.replayed(functions.array),
        asarray=graphs.replayed(functions.asarray),
        empty=functions.garbage,
        empty_like=graphs.replayed(functions.empty_like),
        broadcast_to=graphs.replayed(functions.broadcast_to),
        where=graphs.replayed(functions.where),
        take=graphs.replayed(functions.take),
        take_along_axis=graphs.replayed(functions.take_along_axis),
        put_along_axis=graphs.replayed(functions.put_along_axis),
        repeat=graphs.replayed(functions.repeat),
        argsort=graphs.replayed(functions.argsort),
        from_dlpack=functions.from_dlpack,
        is_available=lambda: True,
        get_default_memory_pool=lambda: queues.pool,
        get_default_pinned_memory_pool=lambda: SimpleNamespace(free_all_blocks=lambda: None),
    )
    special = Namespace("cupyx.scipy.special", scipy["special"])
    linalg = Namespace("cupyx.scipy.linalg", scipy["linalg"])
    found["cupyx.scipy.special"], found["cupyx.scipy.linalg"] = special, linalg
    found["cupyx.scipy"] = Namespace("cupyx.scipy", SimpleNamespace(), special=special, linalg=linalg)
    found["cupyx"] = Namespace(
        "cupyx",
        SimpleNamespace(),
        scipy=found["cupyx.scipy"],
        errstate=functions.errstate,
        empty_pinned=queues.empty_pinned,
        scatter_add=graphs.replayed(functions.scatter("scatter_add", np.add)),
        scatter_max=graphs.replayed(functions.scatter("scatter_max", np.maximum)),
        scatter_min=graphs.replayed(functions.scatter("scatter_min", np.minimum)),
    )
    return found


MODULES = _modules()
