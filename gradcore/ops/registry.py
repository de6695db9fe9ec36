"""How a function joins the public surface: under which names, with `out=`, as method, in place. It must not know any op.

`@op(...)` on a function `f(input, ...)` makes all of its public forms at once; gradcore/__init__.py, the namespaces and
Tensor take them from `functions` and `methods`.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from types import CodeType, FunctionType
from typing import Any, Final, Literal, TypeVar

from gradcore.ops.arguments import need_tensor, not_a_tensor
from gradcore.ops.out import put_out
from gradcore.recorder.inplace import inplace as in_place
from gradcore.recorder.steps import compiled
from gradcore.recorder.value import Value

Out = bool | Literal["exact", "apart", "dtype", "floating", "bool"]
C = TypeVar("C", bound=Callable[..., Any])

# Public functions by namespace ("" is gradcore itself, "nn.functional", "linalg", ...) and name; Tensor's methods by name.
functions: Final[dict[str, dict[str, Callable[..., Any]]]] = defaultdict(dict)
methods: Final[dict[str, Callable[..., Any]]] = {}

# Operators that users define (gradcore.library), by namespace: they are `gradcore.ops.<namespace>.<name>`.
namespaces: Final[dict[str, Any]] = {}

# NumPy's names of torch's parameters, which torch takes too.
NUMPY_NAMES: Final = {"axis": "dim", "keepdims": "keepdim", "a": "input", "x": "input", "x1": "input", "x2": "other"}


def op(
    *aliases: str,
    namespace: str = "",
    method: bool = True,
    function: bool = True,
    inplace: bool = False,
    out: Out = False,
    node: str | None = None,
) -> Callable[[C], C]:
    """Make the decorated function public under its own name and `aliases`.

    `method` also as a Tensor method, `function` as a function of `namespace`, `inplace` also as the method with an
    underscore, `out` with torch's `out=` argument ("exact": of the result's dtype and no other; "apart": sharing no memory
    with the arguments either; "dtype": its dtype is the one to compute in; "floating": and floating for numbers that are;
    "bool": bool or uint8). `node` is torch's node name for the result of a composite.
    """

    def publish(f: C) -> C:
        plain: Callable[..., Any] = _labelled(f, node) if node else f
        checked = namespace != "nn.functional" and f.__annotations__.get(next(iter(f.__code__.co_varnames), "")) == "Tensor"
        public, bound = _public(plain, f, out, checked), _public(plain, f, False)
        for name in (f.__name__.rstrip("_"), *aliases):
            if function:
                functions[namespace][name] = public
            if method:
                methods[name] = bound
            if inplace:
                methods[f"{name}_"] = in_place(plain, f"{name}_")
        return public  # type: ignore[return-value]

    return publish


def _labelled(f: Callable[..., Any], node: str) -> Callable[..., Any]:
    """`f` with the last node it records shown under torch's name for the whole."""
    name = node if node[-1].isdigit() else f"{node}Backward0"

    @functools.wraps(f)
    def labelled(*args: Any, **keywords: Any) -> Any:
        result = f(*args, **keywords)
        label(result, name, args)
        return result

    return labelled


def label(result: Any, name: str, inputs: Iterable[Any] = ()) -> None:
    """Show the node that made `result` as `name`, unless it is an input's."""
    if isinstance(result, Value):
        node: Any = result._node
        if node is not None and hasattr(node, "step") and all(getattr(x, "_node", None) is not node for x in inputs):
            node.step = node.step.relabelled(name)
    elif isinstance(result, tuple):
        for each in result:
            label(each, name, inputs)


# -- the public forms of a function ----------------------------------------------------------------------------------
# They take `out=` and NumPy's names besides what the function itself takes, and say which argument is no tensor. A plain
# `*args, **keywords` wrapper would cost more than some operations, so they are written out with the function's own
# parameters, at the first call.


def _public(plain: Callable[..., Any], f: Callable[..., Any], out: Out, checked: bool = False) -> Callable[..., Any]:
    """`plain`, whose parameters are those of `f`, with `out=` if wanted, and NumPy's names of `dim` and `keepdim`."""
    code: CodeType = f.__code__
    more = bool(out) or "dim" in _names(code)
    if code.co_flags & _VARKEYWORDS:
        return _wrapped(plain, f, out) if more else plain
    if not (more or checked):
        return plain
    namespace: dict[str, Any] = {"plain": plain, "out": out, "__name__": f.__module__, "_write": _write}
    public = FunctionType(_first_call.__code__.replace(co_name=f.__name__), namespace, f.__name__)
    namespace["public"] = public
    functools.update_wrapper(public, f)
    return public


_VARARGS, _VARKEYWORDS = 0x04, 0x08


def _names(code: CodeType) -> tuple[str, ...]:
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _first_call(*args: Any, **keywords: Any) -> Any:
    _write(public, plain, out)  # type: ignore[name-defined]  # noqa: F821
    return public(*args, **keywords)  # type: ignore[name-defined]  # noqa: F821


def _write(public: FunctionType, plain: Callable[..., Any], out: Out) -> None:
    """Give `public` its real code."""
    f: Any = public.__wrapped__  # type: ignore[attr-defined]
    code: CodeType = f.__code__
    names, told = _names(code), f.__annotations__
    first, rest = names[: code.co_argcount], names[code.co_argcount :]
    all_required = code.co_argcount - len(f.__defaults__ or ())
    others = bool(out) or "dim" in names
    # What must be given may be given under another name, an `input` as `a` and a `dim` as `axis`: from there on, what is
    # missing is found out later.
    renamed = [i for i, each in enumerate(first[:all_required]) if others and each in ("input", "dim")]
    required = min(renamed, default=all_required)
    many = f"*{code.co_varnames[len(names)]}" if code.co_flags & _VARARGS else ""
    signature = [*first[:required], *(f"{name}=None" for name in first[required:])]
    signature += [many or "*"] if many or rest or out else []
    signature += [*(f"{name}=None" for name in rest), *(["out=None"] if out else []), *(["**others"] if others else [])]
    given = ", ".join([*first, *([many] if many else []), *(f"{name}={name}" for name in rest)])
    values = f"{{{', '.join(f'{name!r}: {name}' for name in names)}}}, {many[1:] or '()'}"
    lines = [
        f"def {f.__name__}({', '.join(signature)}):",
        f"    if {'out is None and ' if out else ''}{'not others' if others else 'True'}:",
        "        try:",
        f"            return plain({given})",
        "        except Exception as error:",
        f"            refuse(error, {values})",
        "            raise",
        f"    return again({values}, {'others' if others else '{}'}, {'out' if out else 'None'})",
    ]
    made: dict[str, Any] = {}
    exec(compiled("\n".join(lines)), made)
    public.__globals__.update(
        again=functools.partial(_again, plain, f.__name__, first, out),
        refuse=functools.partial(_refuse, f.__name__.rstrip("_"), [x for x in first[:1] if told.get(x) == "Tensor"]),
    )
    public.__defaults__ = (_MISSING,) * (all_required - required) + (f.__defaults__ or ())
    public.__kwdefaults__ = {**(f.__kwdefaults__ or {}), **({"out": None} if out else {})}
    public.__code__ = made[f.__name__].__code__  # last: another thread may call it between these lines


def _refuse(name: str, tensors: Sequence[str], error: Exception, values: dict[str, Any], many: Sequence[Any]) -> None:
    """Raise TypeError for what is missing, what of `tensors` is none, and the argument that `error` says is none."""
    _check_given(name, values)
    for key in tensors:
        if not isinstance(values[key], Value) and not isinstance(error, (TypeError, NotImplementedError)):
            raise not_a_tensor(name, key, 1, values[key]) from None
    if isinstance(error, AttributeError) and not isinstance(error.obj, Value):
        for i, (key, value) in enumerate({**values, **{f"#{i}": x for i, x in enumerate(many)}}.items()):
            if error.obj is value or (isinstance(value, (list, tuple)) and any(error.obj is x for x in value)):
                raise not_a_tensor(name, key, i + 1, error.obj) from None


_MISSING: Final = object()


def _check_given(name: str, values: dict[str, Any]) -> None:
    missing = ", ".join(f"'{key}'" for key, value in values.items() if value is _MISSING)
    if missing:
        raise TypeError(f"{name}() missing required arguments: {missing}") from None


def named(function: C, name: str, namespace: str = "") -> C:
    """Publish a `function` that was made inside another, as an attribute of its namespace: there pickle finds it."""
    function.__name__ = function.__qualname__ = name
    function.__module__ = f"gradcore.{namespace}".rstrip(".")
    functions[namespace][name] = function
    return function


def of_tensor(method: C, name: str) -> C:
    """The function `name` that is a method of Tensors. Raises TypeError for anything else."""

    @functools.wraps(method)
    def function(input: Any, *args: Any, **keywords: Any) -> Any:
        if not isinstance(input, Value):
            raise not_a_tensor(name, "input", 1, input)
        return method(input, *args, **keywords)

    return named(function, name)  # type: ignore[return-value]


def _again(
    plain: Callable[..., Any], name: str, first: Sequence[str], rule: Out,
    values: dict[str, Any], many: Sequence[Any], others: dict[str, Any], out: Any,
) -> Any:  # fmt: skip
    for key, value in others.items():
        known = NUMPY_NAMES.get(key)
        if known not in values or (known in ("input", "other") and values[known] is not _MISSING):
            raise TypeError(f"{name}() got an unexpected keyword argument '{key}'")
        values[known] = value
    _check_given(name, values)
    args = (*(values.pop(key) for key in first), *many) if many else ()
    return plain(*args, **values) if out is None else _put(plain, name, rule, out, args, values)


def _put(
    plain: Callable[..., Any], name: str, rule: Out, out: Any, args: tuple[Any, ...], keywords: dict[str, Any]
) -> Any:
    if rule in ("dtype", "floating"):
        need_tensor(out, name, "out")
        need_tensor(keywords["input"], name)
    if rule == "floating" and keywords["input"].dtype.is_floating_point and not out.dtype.is_floating_point:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{out.dtype._title}' (out=)")
    if rule == "bool":
        need_tensor(out, name, "out")
        if out.dtype._title not in ("Bool", "Byte"):
            raise RuntimeError(f"{name} only supports bool tensor for result, got: {out.dtype._title} (out=)")
        return put_out(name, lambda *args, **keywords: plain(*args, **keywords).to(out.dtype), out, args, keywords)
    if rule in ("dtype", "floating") and keywords.get("dtype") is None:
        keywords = {**keywords, "dtype": out.dtype}
    return put_out(name, plain, out, args, keywords, exact=rule == "exact", apart=rule == "apart")


def _wrapped(plain: Callable[..., Any], f: Callable[..., Any], out: Out) -> Callable[..., Any]:
    """The public form of a function of any keywords."""
    rule = out

    @functools.wraps(f)
    def wrapped(*args: Any, out: Any = None, **keywords: Any) -> Any:
        keywords = {NUMPY_NAMES.get(key, key): value for key, value in keywords.items()}
        return plain(*args, **keywords) if out is None else _put(plain, f.__name__, rule, out, args, keywords)

    @functools.wraps(f)
    def without_out(*args: Any, **keywords: Any) -> Any:
        return plain(*args, **{NUMPY_NAMES.get(key, key): value for key, value in keywords.items()})

    return wrapped if out else without_out
