"""Which line of the user's led here, and warnings that name it, however deep they arise. It must not know any operation."""

from __future__ import annotations

import sys
import warnings
from typing import Any, Final


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn of what the user's line did that called gradcore."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and is_ours(frame):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def warn_once(message: str) -> None:
    """Warn of this for the first time in the process, and from then on only if `always` is true."""
    if always[0] or message not in _told:
        _told.add(message)
        warn(message)


# Whether torch's warnings are wanted each time (`set_warn_always`).
always: Final = [False]
_told: Final[set[str]] = set()


def user_line() -> str:
    """The file and line of the caller outside gradcore."""
    frame: Any = sys._getframe(0)
    while frame is not None and is_ours(frame):
        frame = frame.f_back
    return "?" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def is_ours(frame: Any) -> bool:
    """Whether a frame runs code of gradcore's."""
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0] == "gradcore" or bool(frame.f_code.co_filename == "<gradcore>")
