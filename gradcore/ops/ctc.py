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
from gradcore.primitives.joining import concatenate, stack
from gradcore.primitives.padding import pad
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
    longest = labels.shape[1]
    blanks = F.full((batch, longest + 1, 1), blank, "int64")
    states = concatenate(wrap(labels[:, :, None]), wrap(blanks[:, 1:]), axis=2)
    states = concatenate(wrap(blanks[:, 0]), s.reshape(states, shape=(batch, 2 * longest)), axis=1)._array
    emitted = pick(x, s.expand(wrap(states), shape=(steps, *states.shape)), axis=2, keepdims=True, distinct=False)
    leaps = wrap(states[:, 2:] != states[:, :-2])  # never from blank to blank
    leaps = pad(leaps, index=(slice(None), slice(2, None)), shape=states.shape, value=True)
    every = wrap(F.ones(states.shape, "bool"))
    allowed = s.reshape(stack(every, every, leaps, axis=0), shape=(3, 1, *states.shape))
    paths = trellis(emitted, allowed)
    ends = F.asarray([n - 1 for n in lengths], "int64"), F.asarray(counts, "int64")
    last = F.where(ends[0] < 0, 0, ends[0]).reshape((1, batch, 1))
    at_end = pick(paths, wrap(F.broadcast_view(last, (1, *states.shape))), axis=0, keepdims=True)
    final = (F.arange(states.shape[1]) == 2 * ends[1][:, None]) | (F.arange(states.shape[1]) == 2 * ends[1][:, None] - 1)
    total = logsumexp(where(wrap(final), s.reshape(at_end, shape=states.shape), NEVER), axis=(1,))
    # The term that adds 0 has the derivative exp(log_probs), which log_softmax would take away again.
    inside = F.arange(steps).reshape((steps, 1, 1)) < F.asarray(lengths, "int64").reshape((1, batch, 1))
    whole = exp(masked(x, wrap(inside)))
    nothing = sum(masked(whole - whole.detach(), wrap(inside)), (0, 2))
    loss: Any = _loss(total - nothing)
    if min(lengths, default=1) < 1:  # of nothing, which only the empty target explains
        loss = where(wrap(ends[0] < 0), wrap(F.astype(F.where(ends[1] == 0, 0.0, -NEVER), x._array.dtype)), loss)
    never = loss._array > -NEVER / 10
    if of(never).device_type != "cpu" or bool(F.any(never)):  # a device is not asked
        # An infinite loss has the derivative nan, unless it does not count.
        share = where(wrap(never), 0.0 if zero_infinity else float("nan"), wrap(F.zeros((batch,), x._array.dtype)))
        loss = where(wrap(never), 0.0 if zero_infinity else float("inf"), loss + nothing * share)
    label(loss, "WhereBackward0" if zero_infinity else "CtcLossBackward0", (x,))
    return loss
