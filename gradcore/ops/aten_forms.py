"""What torch also has under the names and with the orders of arguments of its kernels. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradcore.graph import modes
from gradcore.ops import arguments, distance_losses, embedding, grids, losses, normalization
from gradcore.ops.activations import relu
from gradcore.ops.arguments import need_tensor
from gradcore.ops.convolution import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from gradcore.ops.deviations import var_mean
from gradcore.ops.filling import empty_strided, size_of
from gradcore.ops.joining import chunk
from gradcore.ops.linear import linear
from gradcore.ops.matrix_products import vander as increasing_powers
from gradcore.ops.norms import matrix_norm, vector_norm
from gradcore.ops.ordering import flip
from gradcore.ops.pointwise import rsqrt, sigmoid, tanh
from gradcore.ops.registry import op

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

_REDUCTIONS = ("none", "mean", "sum")


# -- normalisation ---------------------------------------------------------------------------------------------------


@op(method=False)
def batch_norm(
    input: Tensor, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float, eps: float,
    cudnn_enabled: bool,
) -> Tensor:  # fmt: skip
    """Return `nn.functional.batch_norm`."""
    return normalization.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


@op(method=False)
def instance_norm(
    input: Tensor, weight: Any, bias: Any, running_mean: Any, running_var: Any, use_input_stats: bool, momentum: float,
    eps: float, cudnn_enabled: bool,
) -> Tensor:  # fmt: skip
    """Return `nn.functional.instance_norm`."""
    return normalization.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def _moments(x: Tensor, dims: Sequence[int], eps: float, keepdim: bool) -> tuple[Tensor, Tensor]:
    """Means and 1 / deviations of `x` over `dims`, constants."""
    with modes.no_grad():
        var, mean = var_mean(x, dims, correction=0, keepdim=keepdim)
        return mean, rsqrt(var + eps)


@op(method=False)
def native_layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Any, bias: Any, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `nn.functional.layer_norm`, the means, and 1 / the deviations; the latter two are constants."""
    made = normalization.layer_norm(input, normalized_shape, weight, bias, eps)
    return (made, *_moments(input, tuple(range(-len(tuple(normalized_shape)), 0)), eps, True))


@op(method=False)
def native_group_norm(
    input: Tensor, weight: Any, bias: Any, N: int, C: int, HxW: int, group: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `nn.functional.group_norm`, the means (N, group), and 1 / the deviations; the latter two are constants."""
    made = normalization.group_norm(input, group, weight, bias, eps)
    return (made, *_moments(input.reshape(N, group, C // group * HxW), (2,), eps, False))


@op(method=False)
def native_batch_norm(
    input: Tensor, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `nn.functional.batch_norm`, the batch's means, and 1 / the deviations; empty ones if not `training`."""
    made = normalization.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        return made, input.new_empty(0), input.new_empty(0)
    return (made, *_moments(input, (0, *range(2, input.ndim)), eps, False))


# -- losses, embeddings, grids ---------------------------------------------------------------------------------------


@op(method=False)
def kl_div(input: Tensor, target: Tensor, reduction: int = 0, *, log_target: bool = False) -> Tensor:
    """Return `nn.functional.kl_div`; `reduction` is 0 ("none"), 1 ("mean") or 2 ("sum")."""
    return distance_losses.kl_div(input, target, reduction=_REDUCTIONS[reduction], log_target=log_target)


@op(method=False)
def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: int
) -> Tensor:
    """Return `nn.functional.poisson_nll_loss`; `reduction` is 0 ("none"), 1 ("mean") or 2 ("sum")."""
    return distance_losses.poisson_nll_loss(
        input, target, log_input, full, eps=eps, reduction=_REDUCTIONS[reduction]
    )


@op(method=False)
def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, pos_weight: Tensor | None = None, reduction: int = 0
) -> Tensor:
    """Return the loss of this name of nn.functional; `reduction` is 0 ("none"), 1 ("mean") or 2 ("sum")."""
    return losses.binary_cross_entropy_with_logits(
        input, target, weight, reduction=_REDUCTIONS[reduction], pos_weight=pos_weight
    )


@op(method=False)
def embedding_(
    weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Tensor:
    """Return `nn.functional.embedding` without a limit; a `padding_idx` of -1 is none."""
    padding = None if padding_idx == -1 else padding_idx
    return embedding.embedding(indices, weight, padding, None, 2.0, scale_grad_by_freq, sparse)


def _sampler(n: int) -> Any:
    def sampler(
        input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
    ) -> Tensor:
        need_tensor(input, f"grid_sampler_{n}d")
        if input.ndim != n + 2:
            raise RuntimeError(
                f"grid_sampler(): expected {n + 2}D input and grid with same number of dimensions, but got input with sizes "
                f"{list(input.shape)} and grid with sizes {list(grid.shape)}"
            )
        return grids.grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)

    sampler.__name__ = sampler.__qualname__ = f"grid_sampler_{n}d"
    sampler.__doc__ = f"Return `nn.functional.grid_sample` of {n} dimensions, whose modes have numbers here."
    return op(method=False)(sampler)


grid_sampler_2d, grid_sampler_3d = _sampler(2), _sampler(3)


# -- convolutions and recurrent cells --------------------------------------------------------------------------------

_CONVOLUTIONS = ((conv1d, conv2d, conv3d), (conv_transpose1d, conv_transpose2d, conv_transpose3d))


@op(method=False)
def convolution(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: int,
) -> Tensor:  # fmt: skip
    """Return the convolution of 1 to 3 dimensions, or its transpose, of (N, C, *) with weights of as many dimensions."""
    need_tensor(input, "convolution")
    need_tensor(weight, "convolution", "weight")
    n = weight.ndim - 2
    if not 1 <= n <= 3 or input.ndim != weight.ndim:
        raise RuntimeError(
            f"convolution(): input and weight must both have 3 to 5 dimensions, but have shapes {list(input.shape)} and "
            f"{list(weight.shape)}"
        )
    function: Any = _CONVOLUTIONS[bool(transposed)][n - 1]
    if transposed:
        return function(input, weight, bias, stride, padding, output_padding, groups, dilation)  # type: ignore[no-any-return]
    return function(input, weight, bias, stride, padding, dilation, groups)  # type: ignore[no-any-return]


def _gates(input: Tensor, hidden: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Any, b_hh: Any, n: int) -> Any:
    need_tensor(input, "a recurrent cell")
    return zip(chunk(linear(input, w_ih, b_ih), n, -1), chunk(linear(hidden, w_hh, b_hh), n, -1), strict=True)


def _rnn_cell(name: str, function: Any) -> Any:
    def cell(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None) -> Tensor:
        ((a, b),) = _gates(input, hx, w_ih, w_hh, b_ih, b_hh, 1)
        return function(a + b)  # type: ignore[no-any-return]

    cell.__name__ = cell.__qualname__ = name
    cell.__doc__ = f"Return the next state of an RNN with {function.__name__}: of w_ih input + b_ih + w_hh hx + b_hh."
    return op(method=False)(cell)


rnn_tanh_cell, rnn_relu_cell = _rnn_cell("rnn_tanh_cell", tanh), _rnn_cell("rnn_relu_cell", relu)


@op(method=False)
def gru_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """Return the next state of a gated recurrent unit; weights are those of reset, update and new one above another."""
    (r, s), (z, u), (n, m) = _gates(input, hx, w_ih, w_hh, b_ih, b_hh, 3)
    new, update = tanh(n + sigmoid(r + s) * m), sigmoid(z + u)
    return new + update * (hx - new)  # type: ignore[no-any-return]


@op(method=False)
def lstm_cell(
    input: Tensor, hx: Sequence[Tensor], w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the next hidden and cell state; weights are those of input, forget, cell and output one above another."""
    hidden, cell = arguments.tensors((tuple(hx),), "lstm_cell")
    i, f, g, o = (a + b for a, b in _gates(input, hidden, w_ih, w_hh, b_ih, b_hh, 4))
    cell = sigmoid(f) * cell + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(cell), cell


# -- norms, powers, memory -------------------------------------------------------------------------------------------


@op(method=False, out=True)
def frobenius_norm(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """Return the roots of the sums of squares over one or two dimensions; over all if `dim` is empty."""
    return vector_norm(input, 2, dim or None, keepdim)


@op(method=False, out=True)
def nuclear_norm(input: Tensor, dim: Any = (-2, -1), keepdim: bool = False) -> Tensor:
    """Return the sums of the singular values of matrices."""
    if isinstance(dim, bool):  # torch has the form without dimensions, too
        dim, keepdim = (-2, -1), dim
    return matrix_norm(input, "nuc", dim, keepdim)


@op(method=False)
def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0) -> Tensor:
    """Return the `pow`-norms over all dimensions but one, which keeps its place; over all if `dim` is -1."""
    if dim == -1:
        return vector_norm(v, pow)
    rest = tuple(d for d in range(v.ndim) if d != arguments.axis(dim, v.ndim))
    return vector_norm(v, pow, rest, True) if rest else v.abs()


@op(method=False)
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """Return the powers of a vector as columns, the highest first unless `increasing`."""
    need_tensor(x, "vander", "x")
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    n = x.shape[0] if N is None else N
    if n < 0:
        raise RuntimeError("N must be non-negative.")
    powers = increasing_powers(x, N=n) if n > 1 else x.new_ones((x.shape[0], n))
    return powers if increasing else flip(powers, -1)


@op(method=False)
def empty_permuted(size: Any, physical_layout: Sequence[int], **options: Any) -> Tensor:
    """Return uninitialised numbers whose dimensions lie in memory in the order `physical_layout`, the outermost first."""
    shape, order = size_of("empty_permuted", (size,)), tuple(physical_layout)
    if len(order) != len(shape):
        raise RuntimeError(
            f"Number of dimensions in size does not match the length of the physical_layout; i.e. len(size) = {len(shape)} "
            f"is not equal to len(physical_layout) = {len(order)}"
        )
    if sorted(order) != list(range(len(shape))):
        raise RuntimeError(f"Duplicate dim not allowed, nor one out of range (physical_layout {list(order)})")
    strides, step = [0] * len(shape), 1
    for d in reversed(order):
        strides[d], step = step, step * max(shape[d], 1)
    return empty_strided(shape, strides, **options)
