"""The softmax of many classes in clusters by frequency, as a module. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gradcore.nn import functional as F
from gradcore.nn.modules.container import ModuleList, Sequential
from gradcore.nn.modules.linear import Linear
from gradcore.nn.modules.module import Module
from gradcore.ops.joining import cat
from gradcore.tensor import Tensor


class Output(NamedTuple):
    """The log-probability of each target, and minus their mean."""

    output: Tensor
    loss: Tensor


Output.__name__ = Output.__qualname__ = "_ASMoutput"  # as torch shows it


class AdaptiveLogSoftmaxWithLoss(Module):
    """A softmax of (N, in_features) over classes in order of frequency: the first in the head, the rest in clusters.

    `cutoffs` are the first classes of the clusters, and of each the features are `div_value` times fewer than of the one
    before. Grave et al., "Efficient softmax approximation for GPUs" (2017). Raises ValueError for cutoffs that do not ascend
    between 1 and n_classes - 1.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        ascending = cutoffs == sorted(set(cutoffs)) and all(int(c) == c for c in cutoffs)
        if not ascending or cutoffs[0] <= 0 or cutoffs[-1] > n_classes - 1:
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each value "
                f"is between 1 and n_classes-1, but got {cutoffs} for {n_classes} classes"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, device=device, dtype=dtype)
        self.tail = ModuleList()
        for i, (first, end) in enumerate(self._clusters()):
            hidden = int(in_features // div_value ** (i + 1))
            sizes = ((in_features, hidden), (hidden, end - first))
            self.tail.append(Sequential(*(Linear(*size, bias=False, device=device, dtype=dtype) for size in sizes)))

    def _clusters(self) -> list[tuple[int, int]]:
        """The first class of each cluster, and that of the next."""
        return list(zip(self.cutoffs[:-1], self.cutoffs[1:], strict=True))

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        self.head.reset_parameters()
        for projection in self.tail:
            for layer in projection:
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> Output:
        """The log-probabilities of the targets, of (N,) or (), and the loss. Raises RuntimeError for what does not fit."""
        if target_.ndim > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if target_.ndim == 1 and input_.shape[0] != target_.shape[0]:
            raise RuntimeError("Input and target should have the same size in the batch dimension.")
        if input_.ndim != target_.ndim + 1:
            raise RuntimeError(
                f"{target_.ndim}D target tensor expects {target_.ndim + 1}D input tensors, but found inputs with size "
                f"{input_.size()}"
            )
        input, target = (input_, target_) if target_.ndim else (input_.unsqueeze(0), target_.unsqueeze(0))
        if bool(((target < 0) | (target >= self.n_classes)).any()):
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range [{target.min().item()}, "
                f"{target.max().item()}] were found. "
            )
        # In the head there is a class for each cluster; there, another softmax says which of its classes it is.
        in_head, output = target, input.new_zeros(target.shape[0])
        for i, (first, end) in enumerate(self._clusters()):
            inside = (target >= first) & (target < end)
            rows = inside.nonzero().squeeze(1)
            if rows.numel():
                logs = F.log_softmax(self.tail[i](input.index_select(0, rows)), dim=1)
                chosen = logs.gather(1, (target[rows] - first).unsqueeze(1)).squeeze(1)
                output = output.index_copy(0, rows, chosen)
                in_head = in_head.masked_fill(inside, self.shortlist_size + i)
        logs = F.log_softmax(self.head(input), dim=1)
        output = output + logs.gather(1, in_head.unsqueeze(1)).squeeze(1)
        loss = (-output).mean()
        return Output(output if target_.ndim else output.squeeze(0), loss)

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes, (N, n_classes)."""
        return self._all(input, self.head(input))

    def _all(self, input: Tensor, head: Tensor) -> Tensor:
        logs, n = F.log_softmax(head, dim=1), self.shortlist_size
        parts = [F.log_softmax(tail(input), dim=1) + logs[:, n + i : n + i + 1] for i, tail in enumerate(self.tail)]
        return cat([logs[:, :n], *parts], 1)

    def predict(self, input: Tensor) -> Tensor:
        """The class of the highest probability of each row; clusters are looked at only where the head says so."""
        head = self.head(input)
        output: Tensor = head.argmax(1)
        elsewhere = output >= self.shortlist_size
        if bool(elsewhere.any()):
            output[elsewhere] = self._all(input[elsewhere], head[elsewhere]).argmax(1)
        return output
