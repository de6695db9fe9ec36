"""torch.backends.cudnn: whether convolutions and attention go through cuDNN, and how. It must not know any array.

They do where NVIDIA's frontend for Python and cuDNN itself are installed (the extra `cudnn`); what cuDNN does not serve, and
everything where it is not, is computed as products of matrices. `enabled = False` switches it off.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

enabled = True
benchmark = False  # whether the fastest way is found by trying
benchmark_limit = 10  # how many are tried, 0 for all
deterministic = False  # whether only such ways serve as give the same bits every time
allow_tf32 = True  # whether float32 may be multiplied with 10 bits of mantissa


@cache
def found() -> ModuleType | str:
    """Return the frontend, or the sentence that says why there is none."""
    try:
        library = import_module("cudnn")
        library.backend_version()
    except ModuleNotFoundError:
        return 'nvidia-cudnn-frontend is not installed: pip install "gradcore[cudnn]" (CUDA 12) or "gradcore[cudnn13]"'
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return f"nvidia-cudnn-frontend finds no cuDNN that serves ({error}): install nvidia-cudnn-cu12 or nvidia-cudnn-cu13"
    return library


def why_not() -> str | None:
    """Return the sentence that says why cuDNN cannot be used, or None where it can."""
    library = found()
    return library if isinstance(library, str) else None


def is_available() -> bool:
    """Say whether cuDNN and its frontend are installed."""
    return why_not() is None


def version() -> int | None:
    """Return the version of cuDNN as a number, 91002 for 9.10.2; None where there is none."""
    library = found()
    return None if isinstance(library, str) else int(library.backend_version())


@contextmanager
def flags(
    enabled: bool = False,
    benchmark: bool = False,
    benchmark_limit: int = 10,
    deterministic: bool = False,
    allow_tf32: bool = True,
) -> Iterator[None]:
    """In a `with` block, other settings; those that are not given have torch's defaults, with which cuDNN is off."""
    given: dict[str, Any] = {
        "enabled": enabled, "benchmark": benchmark, "benchmark_limit": benchmark_limit, "deterministic": deterministic,
        "allow_tf32": allow_tf32,
    }
    before = {name: globals()[name] for name in given}
    globals().update(given)
    try:
        yield
    finally:
        globals().update(before)
