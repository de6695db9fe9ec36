"""Where a graph was cut: a mode that notes what made each constant, and on which line. It must not know any operation.

The answer is in `tensor.why_no_grad()`, and in the error of a backward pass that finds no history.
"""

from __future__ import annotations

import functools
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from gradcore import dtypes
from gradcore.autograd.anomaly_mode import user_frames
from gradcore.graph import modes
from gradcore.recorder.errors import Cut
from gradcore.recorder.value import Value
from gradcore.tensor import Tensor

# What takes values out of the graph without an operation that could be watched.
_READS = ("item", "tolist", "numpy", "__float__", "__int__", "__array__")
_ALIASES = ("detach", "data")


class note_cuts:
    """Note in a `with` block of this thread what made each tensor that has no history; for debugging, since it is slow.

    Raises RuntimeError while something else, a profiler say, watches operations.
    """

    def __init__(self) -> None:
        self._left: list[Cut] = []

    def __enter__(self) -> None:
        self._thread = threading.get_ident()
        if self._thread in modes.watchers:
            raise RuntimeError("note_cuts: this thread's operations are being watched already, by a profiler or another")
        with _changing:
            _noting[self._thread] = self
            if len(_noting) == 1:
                _wrap_methods()
        modes.unusual.append(self)
        modes.watchers[self._thread] = self._operation

    def __exit__(self, *exception: object) -> None:
        modes.watchers.pop(self._thread, None)
        modes.unusual.remove(self)
        with _changing:
            del _noting[self._thread]
            if not _noting:
                _restore_methods()

    def _operation(self, op: Any, inputs: Sequence[Any], run: Callable[[], Any]) -> Any:
        try:
            results = run()
        finally:
            modes.watchers[self._thread] = self._operation
        for result in results if isinstance(results, tuple) else (results,):
            if isinstance(result, Value) and result._node is None:
                result.__dict__["_cut"] = self._of_operation(op, inputs, result)
        return results

    def _of_operation(self, op: Any, inputs: Sequence[Any], result: Value) -> Cut:
        given = [x for x in inputs if isinstance(x, Value)]
        if all(x._node is None for x in given):
            return Cut("", "", tuple(self.of(x) for x in given))
        if not modes.is_grad_enabled():
            return Cut(f"{op.name} was computed in no_grad or inference mode", _line())
        dtype = dtypes.of(result._array.dtype)
        if not (dtype.is_floating_point or dtype.is_complex):
            return Cut(f"{op.name} gives {dtype}, which has no derivative", _line())
        return Cut(f"{op.name} has no derivative in what requires grad", _line())

    def of(self, x: Value) -> Cut:
        """What is known of where the constant `x` came from."""
        noted: Cut | None = x.__dict__.get("_cut")
        if noted is None:
            told = f"a tensor of shape {list(x._array.shape)} that was made without requires_grad=True"
            noted = x.__dict__["_cut"] = Cut(told, "", tuple(self._left))
        return noted

    def reads(self, x: Value, name: str) -> None:
        """Note that the method `name` took the values of `x` out of the graph."""
        if x._node is not None:
            self._left.append(Cut(f"{_call(name)} took values out of the graph", _line()))

    def aliases(self, x: Value, name: str, alias: Value) -> None:
        """Note that `alias` is what the method or property `name` made of `x`."""
        noted = self.of(x) if x._node is None else Cut(f"{_call(name)} of {_made(x)}", _line())
        alias.__dict__["_cut"] = noted


_noting: dict[int, note_cuts] = {}
_changing = threading.Lock()


def _call(name: str) -> str:
    """How the method `name` is called, and whether an operation does so: `.long()` detaches, say."""
    functions = {"data": ".data", "__float__": "float()", "__int__": "int()", "__array__": "numpy.asarray()"}
    stack, above = traceback.extract_stack(), user_frames()
    by_user = len(above) < len(stack) and stack[len(above)].name == "noted"
    return functions.get(name, f".{name}()") + ("" if by_user else ", which an operation calls,")


def _made(x: Any) -> str:
    return f"a leaf of shape {list(x.shape)}" if x.grad_fn is None else f"what {x.grad_fn.name()} made"


def _line() -> str:
    frames = user_frames()
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


# -- methods that are watched while anybody notes ---------------------------------------------------------------------

_originals: dict[str, Any] = {}


def _wrap_methods() -> None:
    for name in (*_READS, *_ALIASES):
        getattr(Tensor, name)  # which loads those that come later
        original = _originals[name] = vars(Tensor)[name]
        setattr(Tensor, name, _noted(name, original))


def _restore_methods() -> None:
    while _originals:
        setattr(Tensor, *_originals.popitem())


def _noted(name: str, original: Any) -> Any:
    call: Any = original.fget if isinstance(original, property) else original

    @functools.wraps(call)
    def noted(self: Any, *args: Any, **keywords: Any) -> Any:
        result = call(self, *args, **keywords)
        noting = _noting.get(threading.get_ident())
        if noting is not None and name in _ALIASES:
            noting.aliases(self, name, result)
        elif noting is not None:
            noting.reads(self, name)
        return result

    return property(noted, original.fset, doc=original.__doc__) if isinstance(original, property) else noted
