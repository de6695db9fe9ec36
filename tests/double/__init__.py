"""A strict stand-in for CuPy and a GPU: `device="cuda"` runs anywhere. It must know only gradcore's backends.

`with installed() as cuda:` gives gradcore a device "cuda" of arrays that obey CuPy's rules and break where
CuPy's would (see arrays.py and functions.py); `cuda.syncs` counts the waits for the device and `cuda.uploads`
the copies to it. Tests take the fixture `strict_cuda`. Where CuPy is installed, names, signatures and the
dtypes of ufuncs are CuPy's own.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from tests.double import cublas, kernels, methods, queues
from tests.double.arrays import ndarray
from tests.double.machine import Ledger, ledger

MODULES = methods.MODULES

BACKEND = "gradcore.backends.cupy"
KERNELS = [
    f"gradcore.backends.kernels.{name}"
    for name in "launch dropout activations attention losses columns normalization rules scatter softmax windows".split()
]
# The modules that import CuPy, in the order of their imports.
PARTS = (
    *(f"gradcore.backends.{name}" for name in "cuda streams graphs transfers cusolver cublas plans convolutions".split()),
    *KERNELS,
    *(f"gradcore.backends.{name}" for name in "attention writes".split()),
    BACKEND,
)


class Cuda:
    """What a test sees of the double: the backend over it, the pretended `cupy`, and the ledger."""

    def __init__(self, backend: ModuleType) -> None:
        self.backend = backend
        self.cupy: Any = MODULES["cupy"]
        self.ndarray = ndarray
        self.ledger: Ledger = ledger

    @property
    def syncs(self) -> int:
        """How often the host waited for the device."""
        return len(ledger.syncs)

    @property
    def uploads(self) -> int:
        """How many host arrays or lists were copied to the device."""
        return len(ledger.uploads)

    def array(self, x: Any) -> ndarray:
        """A device array of a host array, not counted."""
        return ndarray(_host_copy(x))

    @staticmethod
    def host(x: Any) -> Any:
        """The host array of a device array, not counted."""
        return x._host.copy()

    @contextmanager
    def never_waits(self, but_for: Collection[str] = ()) -> Iterator[None]:
        """Fail if the block waits for the device, `but_for` these functions, or copies to it; say where."""
        syncs, uploads = len(ledger.syncs), len(ledger.uploads)
        yield
        waits = [entry for entry in ledger.syncs[syncs:] if entry.split()[0] not in but_for]
        assert waits == [], "waits for the device"
        assert ledger.uploads[uploads:] == [], "copies from the host"


def _host_copy(x: Any) -> Any:
    import numpy as np

    return np.array(x, order="C")


@contextmanager
def _in_place_of(modules: dict[str, ModuleType | None]) -> Iterator[None]:
    """Let `import` find these modules in the block, and load anew those that are None."""
    before = {name: sys.modules.get(name) for name in modules}
    _replace(modules)
    try:
        yield
    finally:
        _replace(before)


def _replace(modules: dict[str, ModuleType | None]) -> None:
    for name, module in modules.items():
        if module is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = module


@cache
def parts() -> dict[str, ModuleType]:
    """The backend over the double: one for the whole process, so that cached kernels stay true."""
    with _in_place_of({**MODULES, **dict.fromkeys(PARTS)}), _unbound(PARTS):
        found = {name: import_module(name) for name in PARTS}
        found["gradcore.backends.cublas"].library = lambda: cublas.library
        found[BACKEND].start()
        found[KERNELS[0]].SERVED &= kernels.SERVED
    return found


@contextmanager
def _unbound(names: Collection[str]) -> Iterator[None]:
    """Let packages forget these modules in the block: `from package import module` looks there before it imports."""
    places = [(vars(import_module(package)), part) for package, _, part in (name.rpartition(".") for name in names)]
    known = [(place, part, place.pop(part)) for place, part in places if part in place]
    try:
        yield
    finally:
        for place, part in places:
            place.pop(part, None)
        for place, part, module in known:
            place[part] = module


def backend() -> ModuleType:
    """`backends/cupy.py` over the double."""
    return parts()[BACKEND]


@contextmanager
def installed() -> Iterator[Cuda]:
    """Let gradcore have a device "cuda" in the block, with fresh counts."""
    from gradcore import backends

    module = backend()
    by_device, by_type = backends.by_device, backends.by_type
    device, kinds = by_device.get("cuda"), set(by_type)
    ledger.clear()
    with _in_place_of({**MODULES, **parts()}):
        backends.register(ndarray, module)
        try:
            yield Cuda(module)
        finally:
            queues.forget()
            by_device["cuda"] = device
            if device is None:
                del by_device["cuda"]
            for kind in set(by_type) - kinds:
                del by_type[kind]
