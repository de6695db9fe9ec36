"""torch's switches for programs that give the same bits every time. It must not know any operation.

On the CPU every operation does. On CUDA, sums and writes at places named several times come in a fixed order then, and the
few operations that have none raise RuntimeError, as in torch.
"""

from __future__ import annotations

from gradcore.backends.determinism import mode as _mode

_DEBUG = {"default": 0, "warn": 1, "error": 2}


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Let operations give the same bits for the same input, or raise RuntimeError (warn) where they cannot."""
    for name, given in (("'mode' (position 1)", mode), ("'warn_only'", warn_only)):
        if not isinstance(given, bool):
            raise TypeError(f"_set_deterministic_algorithms(): argument {name} must be bool, not {type(given).__name__}")
    _mode.enabled, _mode.warn_only = mode, warn_only


def are_deterministic_algorithms_enabled() -> bool:
    """Say whether `use_deterministic_algorithms` is on."""
    return _mode.enabled


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Say whether what is not deterministic warns only."""
    return _mode.warn_only


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """Choose 0 or "default" (off), 1 or "warn", 2 or "error". Raises RuntimeError for others."""
    if not isinstance(debug_mode, (int, str)):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    if isinstance(debug_mode, str) and debug_mode not in _DEBUG:
        raise RuntimeError(
            f"invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got {debug_mode}"
        )
    number = _DEBUG[debug_mode] if isinstance(debug_mode, str) else debug_mode
    if number not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, or 2, but got {number}")
    use_deterministic_algorithms(number > 0, warn_only=number == 1)


def get_deterministic_debug_mode() -> int:
    """Return 0, 1 or 2, see `set_deterministic_debug_mode`."""
    return 0 if not _mode.enabled else 1 if _mode.warn_only else 2
