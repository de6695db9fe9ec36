"""How a function joins the public surface: under which names, with `out=`, as method, in place. It must not know any op.

`@op(...)` on a function `f(input, ...)` makes all of its public forms at once; gradcore/__init__.py, the namespaces and
Tensor take them from `functions` and `methods`.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any, Final, Literal, TypeVar

from gradcore.ops.out import put_out
from gradcore.recorder.inplace import inplace as in_place
from gradcore.recorder.value import Value

C = TypeVar("C", bound=Callable[..., Any])

# Public functions by namespace ("" is gradcore itself, "nn.functional", "linalg", ...) and name; Tensor's methods by name.
functions: Final[dict[str, dict[str, Callable[..., Any]]]] = defaultdict(dict)
methods: Final[dict[str, Callable[..., Any]]] = {}

# NumPy's names of torch's parameters, which torch takes too.
NUMPY_NAMES: Final = {"axis": "dim", "keepdims": "keepdim", "x": "input", "x1": "input", "x2": "other", "self": "input"}


def op(
    *aliases: str,
    namespace: str = "",
    method: bool = True,
    function: bool = True,
    inplace: bool = False,
    out: bool | Literal["exact"] = False,
    node: str | None = None,
) -> Callable[[C], C]:
    """Make the decorated function public under its own name and `aliases`.

    `method` also as a Tensor method, `function` as a function of `namespace`, `inplace` also as the method with an
    underscore, `out` with torch's `out=` argument ("exact": of the result's dtype and no other). `node` is torch's
    node name for the result of a composite.
    """

    def publish(f: C) -> C:
        plain: Callable[..., Any] = _labelled(f, node) if node else f
        public = _with_out(plain, f, out == "exact") if out else _with_numpy_names(plain, f)
        for name in (f.__name__.rstrip("_"), *aliases):
            if function:
                functions[namespace][name] = public
            if method:
                methods[name] = public
            if inplace:
                methods[f"{name}_"] = in_place(plain, f"{name}_")
        return plain  # type: ignore[return-value]

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


def _parameters(f: Callable[..., Any]) -> frozenset[str]:
    code: CodeType = f.__code__  # type: ignore[attr-defined]
    return frozenset(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def _torch_names(keywords: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Keywords with NumPy's names replaced by torch's where the function knows only those."""
    if keywords.keys() <= known:
        return keywords
    return {k if k in known else NUMPY_NAMES.get(k, k): value for k, value in keywords.items()}


def _with_numpy_names(plain: Callable[..., Any], f: Callable[..., Any]) -> Callable[..., Any]:
    known = _parameters(f)
    if "dim" not in known:
        return plain

    @functools.wraps(f)
    def renaming(*args: Any, **keywords: Any) -> Any:
        return plain(*args, **_torch_names(keywords, known)) if keywords else plain(*args)

    return renaming


def _with_out(plain: Callable[..., Any], f: Callable[..., Any], exact: bool) -> Callable[..., Any]:
    known = _parameters(f)

    @functools.wraps(f)
    def with_out(*args: Any, out: Any = None, **keywords: Any) -> Any:
        if keywords:
            keywords = _torch_names(keywords, known)
        if out is None:
            return plain(*args, **keywords)
        return put_out(f.__name__, plain, out, args, keywords, exact=exact)

    return with_out
