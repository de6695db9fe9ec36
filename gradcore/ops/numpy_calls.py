"""NumPy's calls on Tensors, carried out by gradcore's operations: arguments by rule, errors. It must not know any
derivative.

`numpy_functions` and `numpy_ufuncs` say which operation answers which function. A function they do not know is refused:
with a TypeError where a gradient or a copy from a device would be lost in silence; constants on the host go to NumPy
itself, as torch lets them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from inspect import Parameter, Signature, signature
from typing import Any, Final

from gradcore import dtypes, ops
from gradcore.backends import by_type, of
from gradcore.backends import numpy as host
from gradcore.ops import arguments, numpy_functions, numpy_samples, numpy_selecting, numpy_ufuncs
from gradcore.ops.out import put_out
from gradcore.recorder.record import SCALARS, operand
from gradcore.recorder.transfer import transfer
from gradcore.recorder.value import Value, wrap

_TABLES: Final = (numpy_samples, numpy_selecting)  # importing them fills the table of numpy_functions

# -- ufuncs -----------------------------------------------------------------------------------------------------------


def ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """What `ufunc.method(*inputs, **keywords)` is for Tensors; NotImplemented if an input is of a foreign class."""
    name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    into = keywords.pop("out", ())
    into = into if isinstance(into, tuple) else (into,)
    if not all(known_type(type(x)) for x in (*inputs, *into) if hasattr(type(x), "__array_ufunc__")):
        return NotImplemented
    if not any(isinstance(x, Value) for x in inputs):
        raise TypeError(f"np.{name}() of arrays cannot write into a Tensor; convert them with gradcore.as_tensor")
    found = _operation(ufunc, method)
    if found is None:
        return _unknown(ufunc if method == "__call__" else getattr(ufunc, method), name, inputs, {**keywords, "out": into})
    if method != "reduce" and keywords.pop("where", True) is not True:
        raise TypeError(f"np.{name}(): where= is not supported on tensors; use np.where on the result")
    for each in ("order", "subok", "casting"):
        keywords.pop(each, None)
    dtype = keywords.pop("dtype", None)
    if "where" in keywords and keywords["where"] is not True:
        keywords["where"] = _tensor(keywords["where"], [x for x in inputs if isinstance(x, Value)])
    given = inputs if method not in ("reduce", "accumulate", "reduceat") else inputs[:1]
    operands = _as_tensors(given, numbers=found not in numpy_ufuncs.OPERATORS.values())
    operands = [arguments.converted(x, dtype, name) if isinstance(x, Value) else x for x in operands]
    return _into(name, into, found, [*operands, *inputs[len(given) :]], keywords)


def kernel(kernel: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """What a function of elements of CuPy's is for Tensors: NumPy's of the same name. Raises TypeError if there is none."""
    return ufunc(counterpart(kernel), "__call__", args, keywords)


def counterpart(kernel: Any) -> Any:
    """The ufunc of NumPy's that has the name of a function of elements of CuPy's."""
    found = getattr(sys.modules["numpy"], str(kernel.name).removeprefix("cupy_"), None)
    if not hasattr(found, "nin"):
        raise TypeError(f"cupy's {kernel.name} does not take tensors; functions that NumPy has too do, or take raw arrays")
    return found


def _operation(ufunc: Any, method: str) -> Callable[..., Any] | None:
    """The operation that answers a ufunc of NumPy's or SciPy's, or a method of it."""
    name = ufunc.__name__
    if method != "__call__":
        table = numpy_ufuncs.METHODS.get(method, {})
        return numpy_ufuncs.outer(_operation(ufunc, "__call__")) if method == "outer" else table.get(name)
    for module, namespace in (("numpy", ""), ("scipy.special", "special"), ("scipy.special._ufuncs", "special")):
        if getattr(sys.modules.get(module), name, None) is ufunc:
            if name in numpy_ufuncs.OPERATORS:
                return numpy_ufuncs.OPERATORS[name]
            return _found(namespace, numpy_ufuncs.NAMES.get(name, name))
    return None


def _found(namespace: str, name: Any) -> Callable[..., Any] | None:
    if not isinstance(name, str):
        return name  # type: ignore[no-any-return]
    try:
        return ops.function(namespace, name)  # type: ignore[no-any-return]
    except AttributeError:
        return None


# -- functions --------------------------------------------------------------------------------------------------------

# NumPy's parameters that are arrays, and those that are sequences of arrays.
ARRAYS: Final = frozenset(
    "a ary arr array b v x y z x1 x2 m p A f t val xp fp bins weights condition element test_elements values a1 a2 "
    "fweights aweights prepend append ar indices filt base seq_of_zeros ar1 ar2".split()
)
SEQUENCES: Final = frozenset(("arrays", "tup", "condlist", "choicelist", "choices", "keys"))
# torch's names for NumPy's parameters.
RENAMED: Final = {"axis": "dim", "axes": "dim", "keepdims": "keepdim", "axis1": "dim1", "axis2": "dim2"}
# Parameters that say how NumPy computes, not what: whatever they are, the result is right.
HOW: Final = frozenset(("kind", "optimize", "subok", "stable", "casting", "overwrite_input", "device", "assume_unique",
                        "copy"))  # fmt: skip
# Products, whose factors torch wants of one dtype.
PRODUCTS: Final = frozenset(
    "dot inner vdot tensordot einsum cross kron linalg.solve linalg.multi_dot linalg.tensorsolve linalg.matmul "
    "linalg.vecdot linalg.tensordot linalg.cross interp".split()
)
# Functions that look at nothing but the dtypes of arrays.
ABOUT_DTYPES: Final = frozenset(("result_type", "can_cast"))
# Functions that show the values of arrays.
SHOWN: Final = frozenset(("array2string", "array_repr", "array_str"))


def function(function: Any, types: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """What the NumPy function is for Tensors; NotImplemented if an argument is of a foreign class."""
    if not all(map(known_type, types)):
        return NotImplemented
    namespace = function.__module__.removeprefix("numpy").lstrip(".")
    name = f"{namespace}.{function.__name__}".lstrip(".")
    known = numpy_functions.known(name)
    answer = None if known is None else _found(namespace, known)
    if answer is None or (name == "broadcast_arrays" and any(x is None or type(x) is str for x in args)):
        return _unknown(function, name, args, keywords)
    own = not isinstance(known, str)  # written in NumPy's spelling
    into = keywords.pop("out", None)
    order = _parameters(answer) if own else None
    if order is None or all(each.kind is not Parameter.VAR_POSITIONAL for each in order.parameters.values()):
        order = _parameters(function) or order
    positional, named = _bound(name, order, args, {each: x for each, x in keywords.items() if each not in HOW})
    into = named.pop("out", into)
    tensors = [x for x in _leaves([*positional, *named.values()]) if isinstance(x, Value)]
    positional = [_converted(x, tensors, each) for each, x in zip(_names(order), positional, strict=False)]
    named = {each: _converted(x, tensors, each) for each, x in named.items()}
    if name in PRODUCTS:
        positional, named = _of_one_dtype(positional), dict(zip(named, _of_one_dtype(named.values()), strict=True))
    if not own:
        first = [each for each in named if each in ARRAYS or each in SEQUENCES or each in numpy_functions.PLACED]
        positional += [named.pop(each) for each in first]
        named = {RENAMED.get(each, each): x for each, x in named.items()}
    accepted = _parameters(answer)
    if accepted is not None and all(each.kind is not Parameter.VAR_KEYWORD for each in accepted.parameters.values()):
        for each in named:
            if each not in accepted.parameters:
                each = {new: old for old, new in RENAMED.items() if old != "axes"}.get(each, each)
                raise TypeError(f"np.{name}(): the argument '{each}' is not supported on tensors")
    return _into(name, () if into is None else into, answer, positional, named)


@cache
def _parameters(function: Any) -> Signature | None:
    try:
        return signature(function)
    except ValueError:  # one of NumPy's in C that does not tell
        return None


def _names(order: Signature | None) -> Iterator[str]:
    """The names of the parameters that arguments by position go to; of `*args` any number."""
    for each in order.parameters.values() if order else ():
        yield each.name
        while each.kind is Parameter.VAR_POSITIONAL:
            yield each.name
    while True:
        yield ""


def _bound(
    name: str, order: Signature | None, args: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments that were really given, by name where the names are known."""
    if order is None:
        return list(args), keywords
    try:
        bound = order.bind(*args, **keywords)
    except TypeError as error:
        raise TypeError(f"np.{name}(): {error}") from None
    if any(each.kind is Parameter.VAR_POSITIONAL for each in order.parameters.values()):
        return list(bound.args), bound.kwargs
    given = {}
    for each, value in bound.arguments.items():
        parameter = order.parameters[each]
        if parameter.kind is Parameter.VAR_KEYWORD:
            given.update(value)
        elif each not in HOW and not _same(value, parameter.default) and not (each == "order" and value in ("K", "A")):
            given[each] = value
    return [], given


def _same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and type(value) in (*SCALARS, str) and value == default)


# -- arguments --------------------------------------------------------------------------------------------------------


def known_type(kind: type) -> bool:
    """Whether instances of a class are Tensors or arrays of a backend."""
    if issubclass(kind, Value):
        return True
    try:
        return by_type[kind] is not None
    except TypeError:
        return False


def _leaves(xs: Any) -> Iterator[Any]:
    for x in xs:
        if type(x) in (list, tuple):
            yield from _leaves(x)
        else:
            yield x


def _as_tensors(xs: Any, *, numbers: bool) -> list[Any]:
    tensors = [x for x in xs if isinstance(x, Value)]
    return [x if type(x) in SCALARS and not numbers else _tensor(x, tensors) for x in map(_plain, xs)]


def _plain(x: Any) -> Any:
    return operand(x) if isinstance(x, host.generic) else x


def _tensor(x: Any, tensors: list[Any]) -> Any:
    """`x`, an array, a number or nested sequences of numbers, as a Tensor among `tensors`."""
    if isinstance(x, Value):
        return x
    if type(x) in SCALARS:
        dtype = dtypes.promote(tuple(each._array.dtype for each in tensors), (), (type(x),))
        return wrap(host.asarray(x, dtype))
    if type(x) not in (list, tuple):
        made = operand(x)
        return x if made is NotImplemented else made
    if any(isinstance(each, Value) for each in _leaves(x)):
        rows = [_tensor(each, tensors) for each in x]
        return ops.function("", "stack")(rows)
    made = wrap(host.asarray(x))
    F = of(tensors[0]._array) if tensors else host
    return made if F is host else transfer(made, F, F.device_of(tensors[0]._array)[1])


def _converted(x: Any, tensors: list[Any], name: str) -> Any:
    """The argument of the parameter `name` as operations take it."""
    x = _plain(x)
    if name in ARRAYS:
        return x if x is None else _tensor(x, tensors)
    if name in SEQUENCES:
        return [_tensor(_plain(each), tensors) for each in x]
    return x if isinstance(x, (Value, type)) or type(x) not in by_type else wrap(x)


def _of_one_dtype(xs: Any) -> list[Any]:
    """The arguments, the Tensors in their common dtype."""
    tensors = [x for x in _leaves(xs) if isinstance(x, Value)]
    if len({x._array.dtype for x in tensors}) < 2:
        return list(xs)
    wanted = dtypes.promote(tuple(x._array.dtype for x in tensors), (), ())

    def converted(x: Any) -> Any:
        if type(x) in (list, tuple):
            return type(x)(map(converted, x))
        return arguments.converted(x, dtypes.of(wanted), "") if isinstance(x, Value) else x

    return list(map(converted, xs))


# -- results ----------------------------------------------------------------------------------------------------------


def _into(name: str, into: Any, f: Callable[..., Any], args: list[Any], keywords: dict[str, Any]) -> Any:
    """What `f` returns, written into the Tensors `into` if there are any."""
    outs = tuple(x for x in (into if isinstance(into, tuple) else (into,)) if x is not None)
    if not outs:
        return f(*args, **keywords)
    if not all(isinstance(x, Value) for x in outs):
        raise TypeError(
            f"np.{name}(): a result of tensors cannot be written into {type(outs[0]).__module__}."
            f"{type(outs[0]).__name__} (out=, or an operator such as +=), where its history would be lost; take the result "
            "as a new tensor (a = a + t), or use t.detach().numpy()"
        )
    return put_out(name, f, outs if len(outs) > 1 else outs[0], tuple(args), keywords)


def _unknown(function: Any, name: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Let NumPy compute with constants on the host; refuse the rest. Raises TypeError."""
    if name in ABOUT_DTYPES:
        return function(*(x._array.dtype if isinstance(x, Value) else x for x in args), **keywords)
    if name in SHOWN:
        shown = ops.method("numpy")
        return function(*(shown(x, force=True) if isinstance(x, Value) else x for x in args), **keywords)
    given = [x for x in _leaves([*args, *keywords.values()]) if isinstance(x, Value)]
    if not all(type(x._array) is host.Array and x._node is None for x in given):
        raise TypeError(
            f"np.{name}() is not supported on tensors that require grad or are not on the CPU; compute with arrays and "
            "without gradients: t.detach().numpy(), after .cpu() for a CUDA tensor"
        )
    keywords = {key: x for key, x in keywords.items() if x != ()}
    return function(*map(_array, args), **{key: _array(x) for key, x in keywords.items()})


def _array(x: Any) -> Any:
    if type(x) in (list, tuple):
        return type(x)(map(_array, x))
    return x._array if isinstance(x, Value) else x
