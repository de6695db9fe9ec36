"""Einstein's summation: parsed, then done by sums and matrix products. It must not know any derivative.

Operands are contracted from left to right, two at a time. A label is a letter; the dimensions of an
ellipsis, which broadcast from the right, are labelled "...0" (the last one), "...1" and so on.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradcore.ops.arguments import need_tensor
from gradcore.ops.products import bmm, broadcast, expanded, permuted, reshaped
from gradcore.ops.reductions import sum
from gradcore.ops.registry import label as relabel
from gradcore.ops.registry import op
from gradcore.primitives import elementwise as e
from gradcore.primitives import shape as s

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

Labels = tuple[str, ...]

# In torch's order, also of the numbers in subscript lists.
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@op(method=False)
def einsum(*args: Any) -> Tensor:
    """Sum products of elements as an equation like "ij,jk->ik" says, or the lists after operands.

    Without "->" the result has the labels that occur once, in alphabetical order. Raises RuntimeError
    for an equation that is malformed or does not fit the operands, ValueError for subscripts outside [0, 52).
    """
    equation, operands = _spelled(args)
    for i, x in enumerate(operands):
        need_tensor(x, "einsum", f"operand {i}")
    terms, output = _parsed(equation, tuple(x._array.ndim for x in operands))
    _check_sizes(terms, operands)
    made, labels = _diagonals(operands[0], terms[0])
    for i in range(1, len(operands)):
        later = {*output, *(label for term in terms[i + 1 :] for label in term)}
        made, labels = _contracted(made, labels, *_diagonals(operands[i], terms[i]), later)
    made, labels = _summed(made, labels, set(output))
    present = tuple(label for label in output if label in labels)
    made = permuted(made, tuple(labels.index(label) for label in present))
    if made is operands[0]:  # torch's result is a view
        made = s.transpose(made, axes=tuple(range(len(present))))
    if len(operands) > 1 and any(a not in output for term in terms for a in term):  # a product, viewed
        relabel(made, "ViewBackward0", operands)
    return made


# -- the equation ------------------------------------------------------------------------------------------


def _spelled(args: tuple[Any, ...]) -> tuple[str, Sequence[Any]]:
    """The equation and the operands of either way to call `einsum`."""
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one operand "
            "and its subscripts list"
        )
    if isinstance(args[0], str):
        operands = args[1:]
        return args[0], operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands
    equation = ",".join(_letters(subscripts) for subscripts in args[1::2])
    if len(args) % 2:
        equation += "->" + _letters(args[-1])
        args = args[:-1]
    return equation, args[::2]


def _letters(subscripts: Any) -> str:
    letters = []
    for each in subscripts:
        if each is not Ellipsis and not 0 <= each < len(LETTERS):
            raise ValueError(
                f"einsum(): subscript in subscript list is not within the valid range [0, {len(LETTERS)}) (got {each})"
            )
        letters.append("..." if each is Ellipsis else LETTERS[each])
    return "".join(letters)


@functools.lru_cache(256)
def _parsed(equation: str, ndims: tuple[int, ...]) -> tuple[tuple[Labels, ...], Labels]:
    """The labels of each operand's dimensions, and of the result's."""
    left, arrow, right = equation.partition("->")
    sides = left.split(",")
    start, terms = 0, []
    for i, (term, ndim) in enumerate(zip(sides, ndims, strict=False)):
        terms.append(_labels(term, start, f"for operand {i}", ndim))
        start += len(term) + 1
    if len(sides) != len(ndims):
        how = "fewer operands were" if len(sides) > len(ndims) else "more operands were"
        raise RuntimeError(f"einsum(): {how} provided than specified in the equation")
    covered = max((len([1 for label in term if label[0] == "."]) for term in terms), default=0)
    every = [label for term in terms for label in term]
    if not arrow:
        once = sorted({label for label in every if label[0] != "." and every.count(label) == 1})
        return tuple(terms), (*_dots(covered), *once)
    output = _labels(right, len(left) + 2, "in the output", None, covered)
    for label in output:
        if label[0] != "." and label not in every:
            raise RuntimeError(f"einsum(): output subscript {label} does not appear in the equation for any input operand")
        if output.count(label) > 1:
            raise RuntimeError(f"einsum(): output subscript {label} appears more than once in the output")
    return tuple(terms), output


def _dots(count: int) -> Labels:
    return tuple(f"...{i}" for i in reversed(range(count)))


def _labels(term: str, start: int, where: str, ndim: int | None, covered: int = 0) -> Labels:
    """The labels `term` gives to `ndim` dimensions; an ellipsis covers the rest, or `covered` of them."""
    labels: list[str] = []
    ellipsis_at = None
    i = 0
    while i < len(term):
        character = term[i]
        if character == ".":
            if ellipsis_at is not None:
                raise RuntimeError(f"einsum(): found '.' {where} for which an ellipsis was already found")
            if term[i : i + 3] != "...":
                raise RuntimeError(f"einsum(): found '.' {where} that is not part of any ellipsis")
            ellipsis_at = len(labels)
            i += 2
        elif character in LETTERS:
            labels.append(character)
        elif character != " ":
            raise RuntimeError(
                f"einsum(): invalid subscript given at index {start + i} in the equation string, subscripts "
                "must be in [a-zA-Z]"
            )
        i += 1
    if ndim is not None:
        covered = ndim - len(labels)
        if covered < 0 or (covered and ellipsis_at is None):
            relation = "does not match" if ellipsis_at is None else "is more than"
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({len(labels)}) {relation} the "
                f"number of dimensions ({ndim}) {where}" + (" and no ellipsis was given" if ellipsis_at is None else "")
            )
    if ellipsis_at is not None:
        labels[ellipsis_at:ellipsis_at] = _dots(covered)
    return tuple(labels)


def _check_sizes(terms: Sequence[Labels], operands: Sequence[Tensor]) -> None:
    """Raise RuntimeError unless each label's sizes agree within an operand and broadcast between operands."""
    sizes: dict[str, int] = {}
    for i, (term, x) in enumerate(zip(terms, operands, strict=True)):
        own: dict[str, int] = {}
        for label, n in zip(term, x._array.shape, strict=True):
            if own.setdefault(label, n) != n:
                raise RuntimeError(
                    f"einsum(): subscript {label} is repeated for operand {i} but the sizes don't match, {n} != {own[label]}"
                )
        for label, n in own.items():
            seen = sizes.get(label, 1)
            if seen != 1 != n and seen != n:
                what = f"dimension {label} (from the right) covered by ellipsis" if label[0] == "." else f"subscript {label}"
                raise RuntimeError(
                    f"einsum(): {what} has size {n} for operand {i} which does not broadcast with previously "
                    f"seen size {seen}"
                )
            sizes[label] = n if seen == 1 else seen


# -- the work ----------------------------------------------------------------------------------------------


def _diagonals(x: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """The diagonal of `x` for every label that it has more than once."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            x = s.diagonal(x, offset=0, axes=(first, second))
            labels = (*labels[:first], *labels[first + 1 : second], *labels[second + 1 :], label)
    return x, labels


def _summed(x: Tensor, labels: Labels, keep: set[str]) -> tuple[Tensor, Labels]:
    """`x` summed over the labels that nobody needs any more."""
    axes = [i for i, label in enumerate(labels) if label not in keep]
    if not axes:
        return x, labels
    return sum(x, axes), tuple(label for label in labels if label in keep)


def _contracted(x: Tensor, left: Labels, y: Tensor, right: Labels, keep: set[str]) -> tuple[Tensor, Labels]:
    """The product of two operands, summed over the labels not in `keep`."""
    sizes_x = dict(zip(left, x._array.shape, strict=True))
    sizes_y = dict(zip(right, y._array.shape, strict=True))
    # A label of size 1 on one side only is summed there at once, since it is repeated along the other's.
    x, left = _summed(x, left, keep | {a for a in right if sizes_x.get(a) == sizes_y[a]})
    y, right = _summed(y, right, keep | {a for a in left if sizes_y.get(a) == sizes_x[a]})
    batch = tuple(a for a in left if a in right and a in keep)
    shared = tuple(a for a in left if a in right and a not in keep)
    rows = tuple(a for a in left if a not in right)
    columns = tuple(a for a in right if a not in left)
    labels = batch + rows + columns
    x = permuted(x, tuple(left.index(a) for a in batch + rows + shared))
    y = permuted(y, tuple(right.index(a) for a in batch + columns + shared))
    lead = broadcast(x._array.shape[: len(batch)], y._array.shape[: len(batch)])
    if not shared:
        x = reshaped(x, (*x._array.shape, *(1,) * len(columns)))
        y = reshaped(y, (*y._array.shape[: len(batch)], *(1,) * len(rows), *y._array.shape[len(batch) :]))
        return e.multiply(x, y), labels
    across = (
        tuple(sizes_x[a] for a in rows),
        tuple(sizes_y[a] for a in columns),
        tuple(sizes_x[a] for a in shared),
    )
    n, m, k = (math.prod(sizes) for sizes in across)
    a = reshaped(expanded(x, lead + across[0] + across[2]), (math.prod(lead), n, k))
    b = reshaped(expanded(y, lead + across[1] + across[2]), (math.prod(lead), m, k))
    return reshaped(bmm(a, s.transpose(b, axes=(0, 2, 1))), lead + across[0] + across[1]), labels
