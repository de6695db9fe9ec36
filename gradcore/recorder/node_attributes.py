"""What nodes show of what they saved, under torch's names, and hooks for one of these. It must not know any operation.

A class of nodes gets the attributes when it is made, which is when somebody first looks at a node of its name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gradcore.graph import FREED, Node
from gradcore.graph.sweep import FREED_MESSAGE
from gradcore.recorder.around import plain
from gradcore.recorder.saved import Packed, Pair, pack_one, unpacked

# torch's names of what nodes save, where they are not those of `_usual`: by nodes, with ours behind the sign of equality.
# A name without one is of the same name here; of "axis[0]", there is one.
_TABLE: Final = """
    AddBackward0 SubBackward0 AddcdivBackward0 RsubBackward1 =
    AddmmBackward0 AddcmulBackward0 AddmvBackward0 BaddbmmBackward0 AddrBackward0 =
    MmBackward0 BmmBackward0 = self=x mat2=y
    MvBackward0 = self=x vec=y
    DotBackward0 VdotBackward0 = self=x tensor=y
    PowBackward0 = self=x exponent
    PowBackward1 = self=x exponent=y result=out
    PowBackward2 = self=base exponent=x result=out
    SumBackward0 MeanBackward0 ExpandBackward0 ViewBackward0 UnsafeViewBackward0 SqueezeBackward0 = self_sym_sizes=x_shape
    UnsqueezeBackward0 CloneBackward0 TBackward0 ToCopyBackward0 =
    SumBackward1 MeanBackward1 = dim=axis self_sym_sizes=x_shape
    SoftmaxBackward0 LogSoftmaxBackward0 = dim=axis[0] result=out
    LogcumsumexpBackward0 CumprodBackward0 = dim=axis self=x result=out
    AmaxBackward0 AminBackward0 = self=x dim=axis keepdim=keepdims result=out
    LogsumexpBackward0 = self=x dim=axis result=out
    MaxBackward0 MinBackward0 MedianBackward1 ModeBackward0 KthvalueBackward0 = indices dim=axis self_sym_sizes=x_shape
    SortBackward0 SortBackward1 TopkBackward0 = indices dim=axis self_sym_sizes=x_shape
    CatBackward0 StackBackward0 SplitBackward0 UnbindBackward0 CumsumBackward0 = dim=axis
    GatherBackward0 TakeBackward0 =
    IndexSelectBackward0 = self_sym_sizes=x_shape
    PermuteBackward0 = dims=axes
    FlipBackward0 = dims=axis
    RepeatBackward0 ProdBackward0 LerpBackward0 =
    SelectBackward0 SliceBackward0 IndexBackward0 = self_sym_sizes=x_shape
    UnfoldBackward0 = dimension=axis size step self_sym_sizes=x_shape
    TrilBackward0 TriuBackward0 = diagonal=k
    LinalgVectorNormBackward0 = self=x ord=order keepdim=keepdims result=out
    NativeLayerNormBackward0 NativeBatchNormBackward0 NativeGroupNormBackward0 = input=x weight=scale
    ConvolutionBackward0 = input=x weight=w groups
    EmbeddingBackward0 = indices=index scale_grad_by_freq=by_frequency
    NllLossBackward0 NllLoss2DBackward0 = target
    MseLossBackward0 = self=x target=y
    WhereBackward0 = condition=cond
    MaskedFillBackward0 = mask=cond
    ClampBackward1 = self=x min=lo max=hi
    LeakyReluBackward0 = self=x negative_slope=slope
    EluBackward0 = self=x alpha scale input_scale
    SoftplusBackward0 = self=x beta threshold
    HardtanhBackward0 = self=x min_val=low max_val=high
    LerpBackward1 = self=x end=y weight
    LinalgSolveExBackward0 = A=a result=out
    PreluKernelBackward0 ThresholdBackward0 NormBackward0 NansumBackward0 =
"""

_FIRST: Final = "[0]"


def _parsed() -> dict[str, dict[str, str]]:
    made: dict[str, dict[str, str]] = {}
    for line in _TABLE.strip().splitlines():
        nodes, _, attributes = line.partition(" =")
        pairs = [each.partition("=") for each in attributes.split()]
        made.update((node, {name: ours or name for name, _, ours in pairs}) for node in nodes.split())
    return made


_named: Final = _parsed()


def _names(node: Node) -> dict[str, str]:
    """Ours of what the node saved, by torch's names."""
    step = plain(node.step)
    op = getattr(step, "op", None)
    if op is None:
        return {}
    shown = _named.get(step.name)
    if shown is None:  # what most are called
        shown = dict(zip(("self", "other"), op.inputs, strict=False)) if not op.variadic else {}
        shown["result"] = op.outputs[0]
    return {name: ours for name, ours in shown.items() if ours.removesuffix(_FIRST) in step.layout}


def _name_of(node: Node, shown: str, raw: str = "") -> str:
    """Our name of what torch calls `shown`. Raises AttributeError if the node saves no such thing."""
    try:
        return _names(node)[shown]
    except KeyError:
        raise AttributeError(f"'{node.step.name}' object has no attribute '{raw}_saved_{shown}'") from None


def _is_tensor(node: Node, ours: str) -> bool:
    op = plain(node.step).op
    return ours in op.inputs or ours in op.outputs


class SavedTensor:
    """What a node saved under one name, for hooks of its own."""

    def __init__(self, node: Node, name: str) -> None:
        self._node, self._name = node, name

    def value(self) -> Any:
        """The tensor or number. Raises RuntimeError if it was freed or overwritten."""
        node, step = self._node, plain(self._node.step)
        if node.saved is FREED:
            raise RuntimeError(FREED_MESSAGE)
        node.step.check(node, True)
        value = step.inner(step.rewrapped(node, unpacked(node.saved)))[step.layout.index(self._name.removesuffix(_FIRST))]
        return value[0] if self._name.endswith(_FIRST) else value

    def register_hooks(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        """Keep `pack_hook(tensor)` instead; sweeps get it by `unpack_hook`.

        Raises RuntimeError if it has hooks already, or is freed.
        """
        if not all(map(callable, (pack_hook, unpack_hook))):
            raise TypeError(f"register_hooks(): expected two functions, got {pack_hook!r} and {unpack_hook!r}")
        if self._node.saved is FREED:
            raise RuntimeError(f"Calling register_hooks on a saved tensor after it has been freed. {FREED_MESSAGE}")
        if self._packed() is not None:
            raise RuntimeError(
                "Calling register_hooks on a saved tensor whose hooks have already been set. Hint: only one pair of hooks "
                "is allowed at a time."
            )
        self._pack((pack_hook, unpack_hook))

    @property
    def data(self) -> Any:
        """What is kept: the tensor, or what a hook made of it. Raises RuntimeError if it was freed or overwritten."""
        packed = None if self._node.saved is FREED else self._packed()
        return self.value() if packed is None else packed.value

    @property
    def unpack_hook(self) -> Callable[[Any], Any] | None:
        """The hook that brings back what is kept, if there is one. Raises RuntimeError if it was freed."""
        if self._node.saved is FREED:
            raise RuntimeError(FREED_MESSAGE)
        packed = self._packed()
        return None if packed is None else packed.unpack

    def _packed(self) -> Packed | None:
        step = plain(self._node.step)
        kept = step.inner(self._node.saved)[step.layout.index(self._name)]
        return kept if isinstance(kept, Packed) else None

    def _pack(self, pair: Pair) -> None:
        pack_one(self._node, pair, self._name)


def _attributes(shown: str) -> tuple[property, property]:
    def raw(node: Node) -> SavedTensor:
        ours = _name_of(node, shown, "_raw")
        if not _is_tensor(node, ours):
            raise AttributeError(f"'{node.step.name}' object has no attribute '_raw_saved_{shown}'")
        return SavedTensor(node, ours)

    return (
        property(
            lambda node: SavedTensor(node, _name_of(node, shown)).value(),
            doc=f"The tensor or number that the node saved and torch calls {shown}.",
        ),
        property(raw, doc=f"What the node saved and torch calls {shown}, for hooks of its own."),
    )


def _dir(node: Node) -> list[str]:
    """The names of a node's attributes: of what nodes save, what this one does."""
    names = [name for name in object.__dir__(node) if not name.startswith(("_saved_", "_raw_saved_"))]
    shown = _names(node)
    return [
        *names, *(f"_saved_{each}" for each in shown),
        *(f"_raw_saved_{each}" for each, ours in shown.items() if _is_tensor(node, ours)),
    ]  # fmt: skip


def give(cls: type[Node]) -> None:
    """Let nodes of `cls` show what they saved."""
    setattr(cls, "__dir__", _dir)  # noqa: B010
    for shown in _named.get(cls.__name__, ("self", "other", "result")):
        saved, raw = _attributes(shown)
        setattr(cls, f"_saved_{shown}", saved)
        setattr(cls, f"_raw_saved_{shown}", raw)

