"""Copies and pickles of Tensors, by Python's protocols. It must not know any derivative."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from gradcore.backends import of
from gradcore.ops import creation
from gradcore.ops.registry import methods

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def __copy__(self: Tensor) -> Tensor:
    """A leaf that shares this tensor's memory, without its gradient."""
    return _made(self, self._array, _attributes(self))


def __deepcopy__(self: Tensor, memo: dict[Any, Any]) -> Tensor:
    """A leaf with memory and a gradient of its own. Tensors that share memory are copied to ones that do, by one `memo`.

    Raises RuntimeError for a tensor with a history.
    """
    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment. "
            f"This one of shape {list(self._array.shape)} was made by {self.grad_fn}; copy it with "
            ".detach().clone()"
        )
    if id(self) in memo:
        return memo[id(self)]  # type: ignore[no-any-return]
    out = _made(self, _copied(self, memo.setdefault("gradcore", {})), {})
    memo[id(self)] = out
    out.__dict__.update(deepcopy(_attributes(self), memo))
    if self.grad is not None:
        out._grad = deepcopy(self.grad, memo)
    return out


def _copied(x: Tensor, blocks: dict[int, list[tuple[Any, Any]]]) -> Any:
    """A copy of the array of `x`, within a copy of what it is a view of; in the same layout if that leaves no gaps."""
    array, view = x._array, None if x._meta is None else x._meta.view
    F, whole = of(array), array if view is None else view.original
    if hasattr(F, "interpreter"):  # arrays of a transform have no layout
        return F.owned(array)
    made = blocks.setdefault(id(F.storage(whole)), [])  # of one storage, which these keep
    found = next((pair for pair in made if _within(F, array, pair[0])), None)
    if found is None:
        found = whole, F.astype(whole, whole.dtype, copy=True)
        made.append(found)
    whole, block = found
    if block.strides != whole.strides or min(array.strides, default=0) < 0:
        return F.owned(array)
    strides = [s // array.itemsize for s in array.strides]
    start = F.address(array) - F.address(whole)
    return F.as_strided(block.view(array.dtype), array.shape, strides, start // array.itemsize)


def _within(F: Any, part: Any, whole: Any) -> bool:
    """Whether the memory of `part` is among that of `whole`."""
    start = int(F.address(part) - F.address(whole))
    return start >= 0 and start + _extent(part) <= _extent(whole)


def _extent(array: Any) -> int:
    """The bytes from the first element to the end of the last."""
    steps = sum((n - 1) * step for n, step in zip(array.shape, array.strides, strict=True))
    return int(array.itemsize + steps) if array.size else 0


def __reduce_ex__(self: Tensor, protocol: Any) -> Any:
    """The elements on the host, the device, whether a gradient is wanted, and attributes; no gradient and no history."""
    host = of(self._array).to_host(self._array)
    return _unpickled, (type(self), host, str(self.device), self.requires_grad), _attributes(self) or None


def _unpickled(cls: Any, host: Any, device: str, requires_grad: bool) -> Any:
    return creation.as_tensor(host, device=device).as_subclass(cls).requires_grad_(requires_grad)


def _attributes(x: Tensor) -> dict[str, Any]:
    own = ("_cut", "_grad_dtype", "_hooks", "_leaf", "_stop_retaining")
    return {name: value for name, value in x.__dict__.items() if name not in own}


def _made(like: Tensor, array: Any, attributes: dict[str, Any]) -> Tensor:
    out = creation.finished(array).as_subclass(type(like))
    out.__dict__.update(attributes)
    return out.requires_grad_(like.requires_grad)  # type: ignore[no-any-return]


for _method in (__copy__, __deepcopy__, __reduce_ex__):
    methods[_method.__name__] = _method
