"""torch.nn.utils.rnn: sequences of several lengths, padded or packed step by step. It must not know any module.

A packed batch has, one step after the other, the elements of all sequences that are not yet at their end, longest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

from gradcore.dtypes import int64
from gradcore.ops.creation import as_tensor, tensor
from gradcore.ops.filling import arange, full
from gradcore.ops.joining import stack
from gradcore.ops.padding import pad
from gradcore.ops.registry import label
from gradcore.tensor import Tensor

__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence", "pad_sequence",
    "unpack_sequence", "unpad_sequence",
]  # fmt: skip


class PackedSequence_(NamedTuple):
    """The parts of a packed batch."""

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(PackedSequence_):
    """A packed batch: its elements (sum of lengths, *), how many sequences there are at each step, and their order.

    `sorted_indices` says which sequences of the batch came first, `unsorted_indices` is the inverse; None if they were in
    order. `batch_sizes` is on the host, the rest on one device. Raises ValueError for sizes that are not.
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> Self:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        elif batch_sizes.device.type != "cpu":
            raise ValueError(
                "batch_sizes should always be on CPU. Instances of PackedSequence should never be created manually. They "
                "should be instantiated by functions like pack_sequence and pack_padded_sequences in nn.utils.rnn."
            )
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Convert the data as Tensor.to does, and move the indices along; itself if nothing changes."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        moved = (None if each is None else each.to(data.device) for each in self[2:])
        return type(self)(data, self.batch_sizes, *moved)

    def cuda(self, *args: Any, **kwargs: Any) -> Self:
        """Move to a CUDA device, the current one by default."""
        return self.to(*(args or ("cuda",)), **kwargs)

    def cpu(self, *args: Any, **kwargs: Any) -> Self:
        """Move to the host."""
        return self.to("cpu", *args, **kwargs)

    def pin_memory(self) -> Self:
        """Copy into memory that devices read directly."""
        pinned = (None if each is None else each.pin_memory() for each in self[2:])
        return type(self)(self.data.pin_memory(), self.batch_sizes, *pinned)

    def is_pinned(self) -> bool:
        """Whether the data is in such memory."""
        return bool(self.data.is_pinned())

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a CUDA device."""
        return bool(self.data.is_cuda)


def _conversion(name: str) -> Any:
    def convert(self: PackedSequence) -> PackedSequence:
        return self.to(getattr(self.data[:0], name)().dtype)

    convert.__name__ = name
    convert.__doc__ = f"Convert the data as Tensor.{name} does."
    return convert


for _name in ("double", "float", "half", "long", "int", "short", "char", "byte"):
    setattr(PackedSequence, _name, _conversion(_name))


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes one; None for None."""
    return None if permutation is None else permutation.argsort()


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack (L, N, *), or (N, L, *) with `batch_first`, whose sequences have these lengths.

    Lengths must descend unless not `enforce_sorted`. Raises RuntimeError for lengths that cannot be.
    """
    counts = lengths.to(int64) if isinstance(lengths, Tensor) else as_tensor(lengths, dtype=int64)
    order = None
    if not enforce_sorted:
        counts, order = counts.sort(descending=True)
        order = order.to(input.device)
        input = input.index_select(0 if batch_first else 1, order)
    x = input.transpose(0, 1) if batch_first else input
    steps, batch = x.shape[:2]
    _check_lengths(counts, steps, batch, x.numel())
    ends = counts.tolist()
    sizes = [sum(end > t for end in ends) for t in range(ends[0])]
    # The elements by number: step after step, those of the sequences that are not yet at their end.
    places = tensor([t * batch + i for t, n in enumerate(sizes) for i in range(n)], device=x.device)
    data = x.reshape(steps * batch, *x.shape[2:]).index_select(0, places)
    label(data, "PackPaddedSequenceBackward0", (input,))
    return PackedSequence(data, tensor(sizes), order, None)


def _check_lengths(counts: Tensor, steps: int, batch: int, size: int) -> None:
    if not size:
        raise RuntimeError("Cannot pack empty tensors.")
    if counts.device.type != "cpu" or counts.ndim != 1:
        where = f"{counts.ndim}D {'CPU' if counts.device.type == 'cpu' else 'CUDA'}"
        raise RuntimeError(f"'lengths' argument should be a 1D CPU int64 tensor, but got {where} Long tensor")
    if counts.numel() != batch:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {counts.numel()} (batch_size={batch})"
        )
    ends = counts.tolist()
    if ends[-1] <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if ends != sorted(ends, reverse=True):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement."
        )
    if ends[0] > steps:
        raise RuntimeError(
            f"Expected the lengths to be at most the number of steps, {steps}, but got {ends[0]} (pack_padded_sequence)"
        )


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """The sequences of a packed batch, padded to the longest or to `total_length`, (L, N, *), and their lengths.

    With `batch_first` (N, L, *). Raises ValueError for a `total_length` that is too short.
    """
    sizes = sequence.batch_sizes.tolist()
    steps, batch = len(sizes), sizes[0]
    if total_length is not None and total_length < steps:
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence in input, but got "
            f"total_length={total_length} and max sequence length being {steps}"
        )
    steps = steps if total_length is None else total_length
    data = sequence.data
    places = tensor([t * batch + i for t, n in enumerate(sizes) for i in range(n)], device=data.device)
    padded = full((steps * batch, *data.shape[1:]), padding_value, dtype=data.dtype, device=data.device)
    padded = padded.index_copy(0, places, data).reshape(steps, batch, *data.shape[1:])
    padded = padded.transpose(0, 1) if batch_first else padded
    lengths = tensor([sum(n > i for n in sizes) for i in range(batch)])
    order = sequence.unsorted_indices
    if order is None:
        return padded, lengths
    return padded.index_select(0 if batch_first else 1, order), lengths[order.cpu()]


def pad_sequence(
    sequences: Iterable[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Stack sequences (L, *) of several lengths, padded to the longest, as (L, N, *), or (N, L, *) with `batch_first`.

    They get the dtype of the first. Raises RuntimeError for no sequences, and for a `padding_side` but left and right.
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}")
    listed = list(sequences)
    if not listed:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    longest = max(each.shape[0] for each in listed)
    rows = []
    for each in listed:
        if each.shape[1:] != listed[0].shape[1:]:
            raise RuntimeError(
                f"The size of tensors must match but for the first dimension, got {list(each.shape)} and "
                f"{list(listed[0].shape)} (pad_sequence)"
            )
        each = each.to(listed[0].dtype)
        missing = longest - each.shape[0]
        ends = (0, missing) if padding_side == "right" else (missing, 0)
        rows.append(pad(each, [0, 0] * (each.ndim - 1) + list(ends), value=padding_value) if missing else each)
    return stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences in (L, N, *), or (N, L, *) with `batch_first`, without what is behind their ends."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    steps = arange(rows.shape[1], device=lengths.device)
    return [row[steps < end] for row, end in zip(rows, lengths, strict=True)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences (L, *), which must be in order of length, longest first, unless not `enforce_sorted`."""
    lengths = [each.shape[0] for each in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed batch."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
