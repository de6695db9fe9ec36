"""Views that nobody knows to be views: torch's `*_copy` functions, in new memory, and `unsafe_split` and its like.

It must not know any derivative: the results keep the history of the views.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradcore.backends import of
from gradcore.graph import Output, modes
from gradcore.ops.arguments import need_tensor
from gradcore.ops.complex_numbers import view_as_complex, view_as_real
from gradcore.ops.registry import op
from gradcore.recorder.value import meta, wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def _apart(view: Any, renamed: Callable[[str], str], copied: bool) -> Any:
    """What a view operation returned, as if it were no view, and recorded under another name."""
    if isinstance(view, (tuple, list)):
        return tuple(_apart(each, renamed, copied) for each in view)
    out = wrap(of(view._array).owned(view._array) if copied else view._array, view._node)
    if modes.is_inference_mode_enabled() if copied else view.is_inference():
        meta(out).inference = True
    node: Any = out._node.node if isinstance(out._node, Output) else out._node
    if node is not None:
        node.step = node.step.relabelled(renamed(node.name()))
    return out


# -- copies -----------------------------------------------------------------------------------------------------------


def _slice(input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    return input[(slice(None),) * (dim % input.dim()) + (slice(start, end, step),)]


_VIEWS: dict[str, Callable[..., Any]] = {
    "alias": lambda input: input.view_as(input),
    "detach": lambda input: input.detach(),
    "slice": _slice,
    "view_as_complex": view_as_complex,
    "view_as_real": view_as_real,
}


def _copy(name: str) -> Any:
    """The function `<name>_copy` of the view operation `name`."""

    def renamed(node: str) -> str:
        return node if node.endswith("_copy") else f"{'AliasBackward0' if name == 'alias' else node}_copy"

    def copy(input: Tensor, *args: Any, **keywords: Any) -> Any:
        need_tensor(input, copy.__name__)
        view = _VIEWS[name](input, *args, **keywords) if name in _VIEWS else getattr(input, name)(*args, **keywords)
        return _apart(view, renamed, True)

    copy.__name__ = copy.__qualname__ = f"{name}_copy"
    copy.__doc__ = f"Return what `{name}` returns, in memory of its own."
    return op(method=False, out=True)(copy)


alias_copy = _copy("alias")
as_strided_copy = _copy("as_strided")
detach_copy = _copy("detach")
diagonal_copy = _copy("diagonal")
expand_copy = _copy("expand")
permute_copy = _copy("permute")
select_copy = _copy("select")
slice_copy = _copy("slice")
split_copy = _copy("split")
split_with_sizes_copy = _copy("split_with_sizes")
squeeze_copy = _copy("squeeze")
t_copy = _copy("t")
transpose_copy = _copy("transpose")
unbind_copy = _copy("unbind")
unfold_copy = _copy("unfold")
unsqueeze_copy = _copy("unsqueeze")
view_as_complex_copy = _copy("view_as_complex")
view_as_real_copy = _copy("view_as_real")
view_copy = _copy("view")


# -- parts in the same memory -----------------------------------------------------------------------------------------


def _unsafe(node: str) -> str:
    return node if node.startswith("Unsafe") else f"Unsafe{node}"


@op()
def unsafe_split(input: Tensor, split_size: int, dim: int = 0) -> Any:
    """Return what `split` returns, which autograd lets one overwrite: right if nobody reads `input` or the others then."""
    need_tensor(input, "unsafe_split")
    if not isinstance(split_size, int):
        raise TypeError(f"unsafe_split(): argument 'split_size' (position 1) must be int, not {type(split_size).__name__}")
    return _apart(input.split(split_size, dim), _unsafe, False)


@op()
def unsafe_split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> Any:
    """Return what `split_with_sizes` returns, which autograd lets one overwrite, as `unsafe_split`."""
    need_tensor(input, "unsafe_split_with_sizes")
    return _apart(input.split_with_sizes(split_sizes, dim), _unsafe, False)


@op()
def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> Any:
    """Return what `chunk` returns, which autograd lets one overwrite, as `unsafe_split`."""
    need_tensor(input, "unsafe_chunk")
    return _apart(input.chunk(chunks, dim), _unsafe, False)
