"""Devices: what a device string means, which one is the default; knows backends by name, not what they do."""

from __future__ import annotations

import operator
import threading
from types import ModuleType
from typing import Any, NoReturn, final

from gradcore import backends

# torch's own list: a program may name a device that it then decides not to use.
_TYPES = (
    *(
        "cpu",
        "cuda",
        "ipu",
        "xpu",
        "mkldnn",
        "opengl",
        "opencl",
        "ideep",
        "hip",
        "ve",
        "fpga",
        "maia",
        "xla",
        "lazy",
    ),
    *("vulkan", "mps", "meta", "hpu", "mtia", "privateuseone"),
)


@final
class device:
    """Where arrays live: `device("cuda:1")`, `device("cuda", 1)`, `device(1)`, `device(other)`.

    `index` is None for the current device of that type. In a `with` it is the block's default device.
    Raises RuntimeError for a string that names no device, TypeError for other arguments. Whether the machine
    has the device is found out only when it is used.
    """

    __module__ = "gradcore"
    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __new__(cls, type: str | int | device, index: int | None = None) -> device:
        if isinstance(type, device):
            if index is not None:
                raise TypeError("device(): argument 'type' (position 1) must be str, not device")
            return type
        if isinstance(type, str):
            kind, written = _split(type)
            if index is None:
                return _make(kind, written)
            if written is not None:
                raise RuntimeError(
                    f"type (string) must not include an index because index was passed explicitly: {type}"
                )
            return _make(kind, _checked(index))
        if index is None and hasattr(type, "__index__") and not isinstance(type, bool):
            return _make("cuda", _checked(type))
        raise TypeError(
            "device() takes a string such as 'cuda:1', a type and an index, an index or a device, "
            f"but got ({_names(type, index)})"
        )

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"attribute {name!r} of a device is not writable; make another device")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"attribute {name!r} of a device is not writable; make another device")

    def __reduce__(self) -> tuple[Any, ...]:
        return device, ((self.type,) if self.index is None else (self.type, self.index))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and self.type == other.type and self.index == other.index

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"

    def __enter__(self) -> device:
        _default.outside.append(_default.device)
        _default.device = self
        return self

    def __exit__(self, *error: object) -> None:
        _default.device = _default.outside.pop()


def _make(type: str, index: int | None) -> device:
    self = object.__new__(device)
    object.__setattr__(self, "type", type)
    object.__setattr__(self, "index", index)
    return self


def _split(text: str) -> tuple[str, int | None]:
    if not text:
        raise RuntimeError("Device string must not be empty")
    kind, colon, index = text.partition(":")
    number = index.isascii() and index.isdecimal() and (index == "0" or index[0] != "0")
    if not text.isascii() or not kind.replace("_", "a").isalpha() or bool(colon) != number:
        raise RuntimeError(f"Invalid device string: {text!r}; write it as 'cpu', 'cuda' or 'cuda:1'")
    if kind not in _TYPES and (reason := backends.why_not(kind)) is not None:
        raise RuntimeError(
            f"Expected one of {', '.join(_TYPES)} device type at start of device string: {kind} ({reason})"
        )
    return kind, int(index) if number else None


def _checked(index: object) -> int:
    if isinstance(index, bool) or not hasattr(index, "__index__"):
        raise TypeError(f"device(): argument 'index' (position 2) must be int, not {type(index).__name__}")
    if (number := operator.index(index)) < 0:
        raise RuntimeError("Device index must not be negative")
    return number


def _names(*arguments: object) -> str:
    return ", ".join(type(each).__name__ for each in arguments if each is not None)


# -- The default ---------------------------------------------------------------------------------------------

_CPU = _make("cpu", None)


class _Default(threading.local):
    def __init__(self) -> None:
        self.device = _CPU
        self.outside: list[device] = []  # what the open blocks of `with device(...)` will restore


_default = _Default()


def get_default_device() -> device:
    """Return the device of tensors created without one."""
    return _default.device


def set_default_device(device: device | str | int | None) -> None:
    """Set this thread's default device, until a surrounding `with device(...)` ends; None is the CPU."""
    _default.device = _CPU if device is None else parse(device)


def parse(value: device | str | int | None) -> device:
    """Return the device meant by a `device=` argument; None is the default device."""
    if value is None:
        return get_default_device()
    return value if isinstance(value, device) else device(value)


def backend(value: device | str | int | None = None) -> ModuleType:
    """Return the backend module that serves a device. Raises RuntimeError, saying why, if none does."""
    module: ModuleType = backends.for_device(parse(value).type)
    return module
