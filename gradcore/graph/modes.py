"""Grad modes of each thread, as context managers and decorators. It must not know any value or array.

A mode that is on everywhere by default costs an operation one truth test of an empty set.
"""

from __future__ import annotations

import functools
import inspect
import threading
import warnings
from collections.abc import Callable, Generator
from threading import get_ident
from typing import Any, ClassVar, Self, TypeVar, overload

C = TypeVar("C", bound=Callable[..., Any])

# The threads in which nothing is recorded, and those that make inference tensors.
grad_off: set[int] = set()
inference: set[int] = set()

# Non-empty while any thread needs the recorder's general path for every operation.
unusual: list[object] = []

# Told of every node that the general path records, in any thread; who adds to it adds to `unusual`, too.
noticing: list[Callable[[Any], None]] = []

# By thread, what runs an operation in the general path's stead, to look at it: it gets the primitive, the inputs and a
# function that runs it, and is taken out meanwhile.
watchers: dict[int, Callable[[Any, Any, Callable[[], Any]], Any]] = {}

# By thread, what gives an operation's results in its forward's stead: it gets the primitive, its kernel, the arrays, the
# static parameters and a function that computes them. Who adds to it adds to `unusual`, too.
forwards: dict[int, Callable[[Any, Any, Any, dict[str, Any], Callable[[], Any]], Any]] = {}


class _Cleanup(threading.local):
    """Forgets a thread's modes when the thread ends, since the system reuses thread numbers."""

    def __init__(self) -> None:
        self.forget = _Forget(get_ident())


class _Forget:
    def __init__(self, ident: int) -> None:
        self.ident = ident

    def __del__(self) -> None:
        grad_off.discard(self.ident)
        if self.ident in inference:
            inference.discard(self.ident)
            unusual.remove(inference)


_cleanup = _Cleanup()


def is_grad_enabled() -> bool:
    """Whether operations of this thread are recorded."""
    return get_ident() not in grad_off


def is_inference_mode_enabled() -> bool:
    """Whether inference mode is on in this thread."""
    return get_ident() in inference


def _set(grad: bool, infer: bool) -> None:
    ident = get_ident()
    if infer and ident not in inference:
        _ = _cleanup.forget
        inference.add(ident)
        unusual.append(inference)
    elif not infer and ident in inference:
        inference.discard(ident)
        unusual.remove(inference)
    if grad:
        grad_off.discard(ident)
    else:
        _ = _cleanup.forget
        off = grad_off
        off |= {ident}  # last, by an operator, after which Python looks for no signal: Ctrl-C leaves no mode on


class _Mode:
    """A grad mode for a `with` block or, as a decorator, for every call of a function or step of a generator."""

    grad: bool
    infer: bool = False
    bare: ClassVar[bool] = False

    def __init_subclass__(cls, bare: bool = False) -> None:
        cls.bare = bare

    @overload
    def __new__(cls, function: C) -> C: ...  # type: ignore[misc]  # a bare decorator gives back a function
    @overload
    def __new__(cls, function: Any = None, **keywords: Any) -> Self: ...
    def __new__(cls, function: Any = None, **keywords: Any) -> Any:
        self = super().__new__(cls)
        function = keywords.get("mode", function)
        if cls.bare and callable(function):
            self.__init__()  # type: ignore[misc]
            return self(function)
        return self

    def __enter__(self) -> None:
        ident = get_ident()
        self._saved = (ident not in grad_off, ident in inference)
        _set(self.grad, self.infer)

    def __exit__(self, *exception: object) -> None:
        try:
            _set(*self._saved)
        except BaseException:  # Ctrl-C
            _set(*self._saved)
            raise

    def clone(self) -> Self:
        """A fresh context of the same mode: one object cannot be entered twice at a time."""
        other = object.__new__(type(self))
        other.grad, other.infer = self.grad, self.infer
        return other

    def __call__(self, function: C) -> C:
        """Decorate `function` so that its body runs in this mode."""
        if inspect.isclass(function):
            warnings.warn(
                "Decorating classes is deprecated and gives a function: decorate the methods, or `__init__` alone",
                FutureWarning,
                stacklevel=2,
            )
        if inspect.isgeneratorfunction(function):
            return self._generator(function)  # type: ignore[return-value]

        @functools.wraps(function)
        def in_mode(*args: Any, **keywords: Any) -> Any:
            with self.clone():
                return function(*args, **keywords)

        return in_mode  # type: ignore[return-value]

    def _generator(self, function: Callable[..., Generator[Any, Any, Any]]) -> Callable[..., Generator[Any, Any, Any]]:
        @functools.wraps(function)
        def in_mode(*args: Any, **keywords: Any) -> Generator[Any, Any, Any]:
            generator = function(*args, **keywords)
            try:
                with self.clone():
                    value = next(generator)
                while True:
                    try:
                        sent = yield value
                    except GeneratorExit:
                        with self.clone():
                            generator.close()
                        raise
                    except BaseException as error:
                        with self.clone():
                            value = generator.throw(error)
                    else:
                        with self.clone():
                            value = generator.send(sent)
            except StopIteration as stop:
                return stop.value

        return in_mode


class no_grad(_Mode, bare=True):
    """Do not record: results of operations inside have `requires_grad=False`."""

    def __init__(self, function: Any = None) -> None:
        self.grad, self.infer = False, is_inference_mode_enabled()


class enable_grad(_Mode, bare=True):
    """Record, also inside `no_grad`."""

    def __init__(self, function: Any = None) -> None:
        self.grad, self.infer = True, is_inference_mode_enabled()


class set_grad_enabled(_Mode):
    """Switch recording on or off at once, and back on leaving if used in a `with` statement."""

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool):
            raise TypeError(f"set_grad_enabled(): argument 'enabled' (position 1) must be bool, not {type(mode).__name__}")
        self._before = (is_grad_enabled(), is_inference_mode_enabled())
        self.grad, self.infer = mode, self._before[1]
        _set(self.grad, self.infer)

    def __enter__(self) -> None:
        self._saved = getattr(self, "_before", (is_grad_enabled(), is_inference_mode_enabled()))
        _set(self.grad, self.infer)

    def __call__(self, function: C) -> C:
        _set(*self._before)
        return super().__call__(function)

    def __repr__(self) -> str:
        return f"set_grad_enabled(mode={self.grad})"


class inference_mode(_Mode, bare=True):
    """Do not record, and mark results as inference tensors, which may never take part in recording."""

    def __init__(self, mode: Any = True) -> None:
        on = mode if isinstance(mode, bool) else True
        self.grad, self.infer = not on, on
