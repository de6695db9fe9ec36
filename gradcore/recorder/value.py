"""The value that is recorded: an array, where it came from, and what is rare about it. It must not know any operation.

`Tensor` (gradcore/tensor.py) is this plus notation; it names itself here with `adopt`, so that results of primitives are
Tensors although nothing below tensor.py imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from gradcore.backends import of

if TYPE_CHECKING:
    from gradcore.graph.node import Target
    from gradcore.graph.versions import Own
    from gradcore.recorder.views import View

V = TypeVar("V", bound="type[Value]")


class Value:
    """An array and its history.

    `_node` is None for a constant, a Leaf, or the Node or Output that made it: "requires grad" is "is not None". `_meta`
    is None for all but views, inference tensors and detached aliases. `_grad` is unset until there is a gradient.
    """

    __slots__ = ("__dict__", "__weakref__", "_array", "_grad", "_meta", "_node")

    _array: Any
    _node: Target | None
    _meta: Meta | None
    _grad: Value | None


class Meta:
    """What is rare about a value.

    `view` says which other value it is a view of, `aliases` the latest change of history among the views of this one,
    `inference` that it was made in inference mode, `retains` that it is a non-leaf that keeps its gradient, `versions` is
    its own counter if it is an alias by `.data`, or was given another array by it.
    """

    __slots__ = ("aliases", "inference", "retains", "versions", "view")

    def __init__(self) -> None:
        self.view: View | None = None
        self.aliases: list[int] | None = None
        self.inference = False
        self.retains = False
        self.versions: Own | None = None


# The class of results; and the classes whose instances operations take without a second look.
plain: set[type] = {Value}
result_type: list[type] = [Value]


def adopt(cls: V) -> V:
    """Make `cls` the class of all results."""
    result_type[0] = cls
    plain.add(cls)
    return cls


def take_plainly(cls: V) -> V:
    """Let operations take instances of `cls`, a subclass that changes no operation, as they take Tensors."""
    plain.add(cls)
    return cls


def wrap(array: Any, target: Target | None = None) -> Any:
    """A Tensor of `array` that came from `target`."""
    value: Any = object.__new__(result_type[0])
    value._array = array
    value._node = target
    value._meta = None
    return value


def meta(value: Value) -> Meta:
    """The rare part of `value`, made now if there was none."""
    if value._meta is None:
        value._meta = Meta()
    return value._meta


def looks(array: Any) -> tuple[Any, ...]:
    """What an array looks like: its type, shape, dtype and the index of its device."""
    return type(array), array.shape, array.dtype, of(array).device_of(array)[1]
