"""Find the backend of an array or of a device type; must not import CuPy, SciPy or ml_dtypes.

A backend is a module of flat, NumPy-spelled functions over one kind of array (see numpy.py and cupy.py, which
offer the same names). NumPy's is loaded here, every other one when an array or a device first asks for it.
"""
from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

if __name__ == "backends":
    raise ImportError(
        "the folder backends/ is the package gradcore.backends: write `import gradcore.backends` instead"
    )

from gradcore.backends import numpy

__all__ = ["by_type", "captures", "cuda_streams", "for_device", "numpy", "of", "register", "why_not"]

ENTRY_POINTS = "gradcore.backends"
_BUILT_IN = {"cpu": "gradcore.backends.numpy", "cuda": "gradcore.backends.cupy"}
_LAZY_TYPES = {"cupy.ndarray": "cuda"}


# The captures of CUDA graphs that go on, see streams.py: what such a graph could not do again asks here.
captures: list[Any] = []


class _ByType(dict[type, ModuleType]):
    """Array type -> backend; a type met for the first time is found through its bases, then remembered."""

    def __missing__(self, array_type: type) -> ModuleType:
        for base in array_type.__mro__:
            lazy = _LAZY_TYPES.get(f"{base.__module__}.{base.__qualname__}")
            if base in self or lazy is not None:
                module = self[base] if base in self else for_device(str(lazy))
                self[array_type] = module
                return module
        raise TypeError(
            f"no backend handles {array_type.__module__}.{array_type.__qualname__}: expected a NumPy or CuPy "
            "array, or a type given to gradcore.backends.register"
        )


by_type = _ByType()
by_device: dict[str, ModuleType] = {}


def of(array: Any) -> ModuleType:
    """Return the backend whose array `array` is; NumPy scalars count as NumPy. Raise TypeError if none is."""
    return by_type[type(array)]


def register(array_type: type, module: ModuleType) -> None:
    """Make `module` the backend of `array_type` and of the device type `module.device_type`."""
    by_type[array_type] = module
    by_device[module.device_type] = module


def for_device(device_type: str) -> ModuleType:
    """Return the backend of "cpu", "cuda" or an out-of-tree device type.

    Raise RuntimeError that says what is missing and how to get it.
    """
    module = by_device.get(device_type)
    if module is None:
        module = _load(device_type)
        reason = module.why_not()
        if reason is not None:
            raise RuntimeError(f"device '{device_type}' cannot be used: {reason}")
        module.start()
        register(module.Array, module)
    return module


def cuda_streams() -> ModuleType:
    """Return the module of streams, events and page-locked memory. Raise RuntimeError where there is no CUDA."""
    for_device("cuda")
    return import_module("gradcore.backends.streams")


def why_not(device_type: str) -> str | None:
    """Return the sentence that says why `device_type` cannot be used here, or None where it can."""
    try:
        for_device(device_type)
    except RuntimeError as error:
        return str(error)
    return None


def _load(device_type: str) -> ModuleType:
    if device_type in _BUILT_IN:
        try:
            return import_module(_BUILT_IN[device_type])
        except (ImportError, AttributeError) as error:
            raise RuntimeError(_import_failure(device_type, error)) from error
    # importlib.metadata is slow to import and few programs have an out-of-tree device
    from importlib.metadata import entry_points

    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if device_type not in found:
        known = ", ".join(sorted({*_BUILT_IN, *by_device, *found}))
        raise RuntimeError(
            f"device type '{device_type}' is unknown: expected one of {known}; other packages add theirs "
            f"through the entry-point group '{ENTRY_POINTS}'"
        )
    module = found[device_type].load()
    if not isinstance(module, ModuleType):
        raise RuntimeError(f"entry point '{device_type}' of '{ENTRY_POINTS}' names {module!r}, not a module")
    return module


def __getattr__(name: str) -> ModuleType:
    if name == "cudnn":  # torch.backends.cudnn, where few look
        return import_module("gradcore.backends.cudnn")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def _import_failure(device_type: str, error: Exception) -> str:
    missing = isinstance(error, ModuleNotFoundError) and error.name == "cupy"
    reason = "CuPy is not installed" if missing else f"the CuPy installed here does not serve ({error})"
    return (
        f"device '{device_type}' cannot be used: {reason}. Install CuPy 14.2 or later with "
        'pip install "gradcore[cuda]" (CUDA 12) or pip install "gradcore[cuda13]" (CUDA 13)'
    )


numpy.start()
register(numpy.Array, numpy)
by_type[numpy.generic] = numpy
