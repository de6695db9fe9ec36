"""The loss of sequences that are not aligned, as torch.nn.functional spells it. It must not know any derivative."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.ops.arguments import need_tensor
from gradcore.ops.reductions import mean, sum
from gradcore.ops.registry import functions, label, op
from gradcore.primitives import elementwise as e
from gradcore.primitives import shape as s
from gradcore.primitives.activations import masked
from gradcore.primitives.indexing import basic_getitem
from gradcore.primitives.selection import where
from gradcore.primitives.softmax import logsumexp
from gradcore.primitives.sorting import pick
from gradcore.primitives.transcendental import exp
from gradcore.primitives.trellis import NEVER, trellis
from gradcore.recorder import renamed, wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

_loss = renamed(e.negative, "CtcLoss")


@op(namespace="nn.functional", method=False)
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Return minus the logarithms of the probabilities of `targets`, (N, S) or one after the other, under `log_probs`
    (T, N, C): summed, averaged after division by the lengths of the targets, or as they are ("none").

    The gradient is the one that is exact behind `log_softmax`, as in torch. `zero_infinity` makes infinite losses, of
    targets too long for their input, 0. Graves et al., "Connectionist Temporal Classification" (2006).
    """
    need_tensor(log_probs, "ctc_loss", "log_probs")
    need_tensor(targets, "ctc_loss", "targets")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if log_probs._array.ndim not in (2, 3):
        raise RuntimeError(f"ctc_loss needs log_probs of 2 or 3 dimensions, but got shape {list(log_probs._array.shape)}")
    batched = log_probs._array.ndim == 3
    x = log_probs if batched else s.unsqueeze(log_probs, shape=(log_probs._array.shape[0], 1, log_probs._array.shape[1]))
    steps, batch, classes = x._array.shape
    if x._array.dtype.kind in "biuc":
        raise NotImplementedError(f"\"ctc_loss_cpu\" not implemented for '{dtypes.of(x._array.dtype)._title}'")
    if not 0 <= index(blank) < classes:
        raise RuntimeError("blank must be in label range")
    lengths, counts = _lengths("input_lengths", input_lengths), _lengths("target_lengths", target_lengths)
    for name, each in (("input_lengths", lengths), ("target_lengths", counts)):
        if len(each) != batch:
            raise RuntimeError(f"{name} must be of size batch_size ({batch}), but there are {len(each)}")
    if max(lengths, default=0) > steps or min(lengths, default=0) < 0:
        raise RuntimeError(f"Expected input_lengths to have value at most {steps}, but got value {max(lengths)}")
    labels = _labels(targets, counts, batch, classes)
    losses = _losses(x, labels, lengths, counts, index(blank), zero_infinity)
    if reduction == "none":
        return losses if batched else s.squeeze_one(losses, shape=())  # type: ignore[no-any-return]
    if reduction == "sum":
        return sum(losses)
    F = of(losses._array)
    return mean(e.divide(losses, wrap(F.asarray([max(n, 1) for n in counts], losses._array.dtype))))


functions[""]["ctc_loss"] = ctc_loss


def _lengths(name: str, given: Any) -> list[int]:
    if hasattr(given, "_array"):
        if given._array.dtype.kind not in "iu":
            raise RuntimeError(f"{name} must be integral")
        given = given._array.reshape(-1).tolist()
    elif not isinstance(given, (tuple, list)):
        given = [given]
    return [index(n) for n in given]


def _labels(targets: Any, counts: list[int], batch: int, classes: int) -> Any:
    """The targets as (N, longest), 0 behind the end of each."""
    array, longest = targets._array, max(counts, default=0)
    F = of(array)
    if array.dtype.name not in ("int64", "int32"):
        raise RuntimeError(f"ctc_loss needs targets of integers, but got {targets.dtype}")
    if array.ndim == 1 and array.size < _total(counts):
        raise RuntimeError(f"Expected tensor to have size at least {_total(counts)} at dimension 0 (ctc_loss)")
    if array.ndim == 2 and (array.shape[0] != batch or array.shape[1] < longest):
        raise RuntimeError(
            f"Expected tensor to have size at least {longest} at dimension 1, but got size {list(array.shape)} for targets "
            "(while checking arguments for ctc_loss)"
        )
    if array.ndim not in (1, 2):
        raise RuntimeError(f"targets must be 1- or 2-dimensional, but got shape {list(array.shape)} (ctc_loss)")
    place = F.arange(longest)
    inside = place < F.asarray(counts, "int64").reshape((batch, 1))
    if array.ndim == 2:
        found = array[:, :longest]
    else:
        starts = [_total(counts[:i]) for i in range(batch)]
        numbers = F.asarray(starts, "int64").reshape((batch, 1)) + place
        found = F.take(array, F.where(inside, numbers, 0)) if array.size else F.zeros((batch, longest), "int64")
    return F.where(inside, F.astype(found, "int64"), 0)


def _total(counts: list[int]) -> int:
    total = 0
    for n in counts:
        total += n
    return total


def _losses(x: Any, labels: Any, lengths: list[int], counts: list[int], blank: int, zero_infinity: bool) -> Any:
    """The loss of each sequence: of all paths that visit its labels in order, with blanks between that may be left out."""
    F, (steps, batch, _) = of(x._array), x._array.shape
    longest, full = labels.shape[1], min(lengths, default=0) == steps
    blanks = F.full((batch, longest), blank, "int64")
    states = F.stack([blanks, labels], 2).reshape((batch, 2 * longest))
    states = F.concatenate([states, F.full((batch, 1), blank, "int64")], 1)
    emitted = pick(x, s.expand(wrap(states), shape=(steps, *states.shape)), axis=2, keepdims=True, distinct=False)
    ends, sizes = F.asarray([n - 1 for n in lengths], "int64"), F.asarray(counts, "int64").reshape((batch, 1))
    if longest and F.device_type.startswith("cpu"):
        emitted = _without_last_blank(emitted, labels, ends, sizes, blank)
    leaps = states[:, 2:] != states[:, :-2]  # never from blank to blank
    leaps = F.concatenate([F.ones((batch, min(2, states.shape[1])), "bool"), leaps], 1)
    every = F.ones(states.shape, "bool")
    paths = trellis(emitted, wrap(F.stack([every, every, leaps]).reshape((3, 1, *states.shape))))
    if full:
        at_end = basic_getitem(paths, index=(steps - 1,))
    else:
        last = wrap(F.broadcast_view(F.where(ends < 0, 0, ends).reshape((1, batch, 1)), (1, *states.shape)))
        at_end = s.reshape(pick(paths, last, axis=0, keepdims=True), shape=states.shape)
    final = F.absolute(4 * sizes - 1 - 2 * F.arange(states.shape[1])) == 1
    total = logsumexp(where(wrap(final), at_end, NEVER), axis=(1,))
    # The term that adds 0 has the derivative exp(log_probs), which log_softmax would take away again.
    inside = wrap(F.arange(steps).reshape((steps, 1, 1)) < ends.reshape((1, batch, 1)) + 1)
    whole = exp(x if full else masked(x, inside))
    nothing = whole - whole.detach()
    nothing = sum(nothing if full else masked(nothing, inside), (0, 2))
    loss: Any = _loss(total - nothing)
    if min(lengths, default=1) < 1:  # of nothing, which only the empty target explains
        loss = where(wrap(ends < 0), wrap(F.astype(F.where(sizes[:, 0] == 0, 0.0, -NEVER), x._array.dtype)), loss)
    never = loss._array > -NEVER / 10
    if of(never).device_type != "cpu" or bool(F.any(never)):  # a device is not asked
        # An infinite loss has the derivative nan, unless it does not count.
        share = where(wrap(never), 0.0 if zero_infinity else float("nan"), wrap(F.zeros((batch,), x._array.dtype)))
        loss = where(wrap(never), 0.0 if zero_infinity else float("inf"), loss + nothing * share)
    label(loss, "WhereBackward0" if zero_infinity else "CtcLossBackward0", (x,))
    return loss


def _without_last_blank(emitted: Any, labels: Any, ends: Any, sizes: Any, blank: int) -> Any:
    """`emitted`, without a derivative where torch's kernel for the CPU leaves it out: at the last step in the last blank,
    if the last label is the blank, too."""
    F, states = of(labels), emitted._array.shape[2]
    ends_blank = (F.take_along_axis(labels, F.maximum(sizes, 1) - 1, 1) == blank) & (sizes > 0)
    if F.device_type == "cpu" and not F.any(ends_blank):
        return emitted
    at_end = F.arange(emitted._array.shape[0]).reshape((-1, 1, 1)) == ends.reshape((1, -1, 1))
    return where(wrap(at_end & ends_blank & (F.arange(states) == 2 * sizes)), emitted.detach(), emitted)
