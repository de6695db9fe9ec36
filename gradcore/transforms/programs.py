"""Functions of plain arrays as functions of Tensors: what they are given, and what NumPy and CuPy do not ask about.

It must not know any operation or transform.

Most of NumPy's functions ask their arguments what to do. Those that make arrays do not (`np.array` of traced numbers would
want plain ones, `np.zeros` makes what cannot hold traced ones), nor do most of CuPy's. While a function of plain arrays
runs, the names of these in their modules are bound to functions that look at their arguments first, and then bound back.
"""

from __future__ import annotations

import dis
import functools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

from gradcore.backends import by_type
from gradcore.backends import numpy as host
from gradcore.recorder.value import Value, wrap
from gradcore.transforms import trees, writes  # noqa: F401
from gradcore.transforms.ndarray_methods import np
from gradcore.transforms.traced import Traced, stacked

Function = Callable[..., Any]


def program(function: Function) -> Function:
    """`function`, of plain arrays, as a function of Tensors."""

    @functools.wraps(function)
    def of_tensors(*args: Any, **keywords: Any) -> Any:
        given = trees.mapped(lambda x: Traced(x) if isinstance(x, Value) else x, args)
        with dispatching(args):
            result = function(*given, **keywords)
        return trees.mapped(tensor_of, result)

    return of_tensors


def seen(x: Value) -> Any:
    """A Tensor with a history as whoever called sees it: traced inside a program, itself outside, where it came from."""
    return Traced(x) if getattr(_running, "programs", 0) else x


def tensor_of(x: Any) -> Any:
    """The Tensor that a traced array is of; anything else as it is."""
    if isinstance(x, Traced):
        return x._tensor
    if isinstance(x, host.Array) and x.dtype.kind == "O":
        return stacked(x.tolist())
    return x


# -- names bound anew -------------------------------------------------------------------------------------------------

_lock = threading.Lock()
_bound: dict[str, list[tuple[Any, str, Any]]] = {"numpy": [], "cupy": []}
_depth = dict.fromkeys(_bound, 0)
_running = threading.local()


@contextmanager
def dispatching(args: Any) -> Iterator[None]:
    """A block in which the functions that do not ask their arguments do so, in this thread."""
    cuda = any(isinstance(x, Value) and x.is_cuda for x in trees.leaves_of(args))  # type: ignore[attr-defined]
    library, before = "cupy" if cuda else "numpy", getattr(_running, "programs", 0)
    with _lock:
        _depth[library] += 1
        if _depth[library] == 1:
            _bind_library(library)
    _running.programs = before + 1
    try:
        yield
    finally:
        _running.programs = before
        with _lock:
            _depth[library] -= 1
            while _bound[library] and not _depth[library]:
                module, name, value = _bound[library].pop()
                setattr(module, name, value)


def _bind_library(library: str) -> None:
    if library == "numpy":
        _bind(library, np, MAKERS, _maker)
        _bind(library, np, CONVERTERS, _converter)
        _bind(library, np, SEQUENCES, _of_sequences)
        _bind(library, np.linalg, ["norm", "det", "inv", "solve", "eigvals", "eigvalsh"], _of_sequences)
        _bind(library, np.vectorize, ["__call__"], _vectorized)
        return
    for ours, theirs in ((np, "cupy"), (np.linalg, "cupy.linalg"), (np.fft, "cupy.fft")):
        module = sys.modules.get(theirs)
        if module is not None:
            makers = [name for name in MAKERS if not name.endswith("_like")]
            _bind(library, module, makers, _maker)
            _bind(library, module, CONVERTERS, _converter)
            names = {name for name in dir(ours) if name[0] != "_"} - {*makers, *CONVERTERS}
            _bind(library, module, names, functools.partial(_like_numpys, ours))


def _bind(library: str, module: Any, names: Iterable[str], made: Callable[[str, Function], Any]) -> None:
    """Bind names of functions in a module to what `made` makes of them."""
    for name in names:
        original: Any = getattr(module, name, None)
        is_function = callable(original) and not isinstance(original, type)
        if is_function:
            _bound[library].append((module, name, original))
            setattr(module, name, made(name, original))


def _asked_for(name: str) -> bool:
    """Whether the program itself calls the function `name`, and no library on its way, compiled code least of all."""
    if not getattr(_running, "programs", 0):
        return False
    caller = sys._getframe(2)
    if caller.f_globals.get("__name__", "").partition(".")[0] in LIBRARIES:
        return False
    return _called(caller.f_code, caller.f_lasti) == name


LIBRARIES = frozenset(("numpy", "scipy", "cupy", "cupyx", "gradcore", "matplotlib", "pandas", "sklearn"))


@functools.lru_cache(4096)
def _called(code: CodeType, at: int) -> str | None:
    """The name that is called at an offset of the code: the last one loaded where the expression of the call begins."""
    done = [each for each in dis.get_instructions(code) if each.offset <= at and each.positions is not None]
    begins = [each.positions and (each.positions.lineno, each.positions.col_offset) for each in done]
    for each, begin in zip(reversed(done), reversed(begins), strict=True):
        if begin == begins[-1] and each.opname.startswith("LOAD_") and isinstance(each.argval, str):
            return each.argval
    return None


MAKERS = "zeros ones empty full eye identity zeros_like ones_like empty_like full_like".split()
SEQUENCES = "sum prod max min mean std var median average quantile percentile nanmean nansum".split()
CONVERTERS = "array asarray asanyarray ascontiguousarray asfortranarray asarray_chkfinite copy".split()


@functools.cache
def _of_sequences(name: str, original: Function) -> Function:
    """A function that takes sequences: of those of traced numbers NumPy would make an array of objects."""

    @functools.wraps(original)
    def function(a: Any, *args: Any, **keywords: Any) -> Any:
        return original(Traced(stacked(a)) if type(a) in (list, tuple) and _holds(a) else a, *args, **keywords)

    return function


@functools.cache
def _maker(name: str, original: Function) -> Function:
    """A function that makes arrays: those of floating numbers may come to hold traced ones."""

    @functools.wraps(original)
    def make(*args: Any, **keywords: Any) -> Any:
        made = original(*args, **keywords)
        return Traced(wrap(made)) if _floating(made) and _asked_for(name) else made

    return make


def _floating(x: Any) -> bool:
    return type(x) in by_type and x.dtype.kind in "fc"


@functools.cache
def _converter(name: str, original: Function) -> Function:
    """A function that makes an array of what it is given."""
    copies = name in ("array", "copy")

    @functools.wraps(original)
    def convert(a: Any, dtype: Any = None, *args: Any, **keywords: Any) -> Any:
        if (isinstance(a, Traced) or (type(a) in (list, tuple) and _holds(a))) and _asked_for(name):
            made = a if isinstance(a, Traced) else Traced(stacked(a))
            if (dtype is not None and not isinstance(dtype, str)) or dtype in _NAMES:
                made = made if made.dtype == dtype else made.astype(dtype)
            made = made.copy() if copies and keywords.get("copy", True) else made
            missing = keywords.get("ndmin", 0) - made.ndim
            return made.reshape((1,) * missing + made.shape) if missing > 0 else made
        made = original(a, *(() if dtype is None else (dtype,)), *args, **keywords)
        return Traced(wrap(made)) if made is not a and _floating(made) and _asked_for(name) else made

    return convert


_NAMES = frozenset("float float32 float64 complex complex64 complex128 double single d f D F f4 f8 c8 c16".split())


def _holds(xs: Any) -> bool:
    """Whether nested sequences hold something traced."""
    for x in xs:
        if isinstance(x, Traced) or (type(x) in (list, tuple) and _holds(x)):
            return True
        if isinstance(x, host.Array) and x.dtype.kind == "O":
            return True
    return False


@functools.cache
def _vectorized(name: str, original: Function) -> Function:
    """np.vectorize's call: the function of each element, or of each part that a signature says."""

    @functools.wraps(original)
    def call(self: Any, *args: Any, **keywords: Any) -> Any:
        if not any(isinstance(x, Traced) for x in (*args, *keywords.values())):
            return original(self, *args, **keywords)
        inner = self._in_and_out_core_dims[0] if self._in_and_out_core_dims is not None else [()] * len(args)
        arrays = [x if isinstance(x, Traced) else np.asarray(x) for x in args]
        outer = [x.shape[: x.ndim - len(core)] for x, core in zip(arrays, inner, strict=True)]
        shape = np.broadcast_shapes(*outer)
        rows = [np.broadcast_to(x, (*shape, *x.shape[len(each) :])) for x, each in zip(arrays, outer, strict=True)]
        made = [self.pyfunc(*(x[place] for x in rows), **keywords) for place in np.ndindex(*shape)]
        several = bool(made) and isinstance(made[0], tuple)
        columns = zip(*made, strict=True) if several else [made]
        joined = [np.stack([np.asarray(x) for x in column]) for column in columns]
        whole = [x.reshape((*shape, *x.shape[1:])) for x in joined]
        return tuple(whole) if several else whole[0]

    return call


@functools.cache
def _like_numpys(namespace: Any, name: str, original: Function) -> Any:
    """A function of CuPy's that goes NumPy's way with traced arrays."""
    return _LikeNumpys(original, getattr(namespace, name))


class _LikeNumpys:
    """A function, or a ufunc with its methods, of CuPy's, beside NumPy's of the same name."""

    def __init__(self, original: Any, counterpart: Any, method: str = "__call__") -> None:
        self.__wrapped__, self._counterpart, self._method = original, counterpart, method

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        traced = next((x for x in trees.leaves_of([args, keywords]) if isinstance(x, Traced)), None)
        if traced is None:
            return self.__wrapped__(*args, **keywords)
        if isinstance(self._counterpart, np.ufunc):
            return traced.by_ufunc(self._counterpart, self._method, *args, **keywords)
        return traced.__array_function__(self._counterpart, (), args, keywords)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.__wrapped__, name)
        if name in ("reduce", "accumulate", "outer", "reduceat", "at"):
            return _LikeNumpys(found, self._counterpart, name)
        return found
