"""torch.nn.utils.parametrizations: orthogonal weights, and weights of fixed norms. It must not know any layer."""

from __future__ import annotations

from typing import Any

from gradcore import linalg
from gradcore.dtypes import finfo
from gradcore.graph.modes import no_grad
from gradcore.nn import functional as F
from gradcore.nn.modules.module import Module
from gradcore.nn.utils.parametrize import register_parametrization
from gradcore.nn.utils.spectral_norm import check_iterations, matrix_of, outputs_of, step
from gradcore.nn.utils.weight_norm import norm_except_dim, weight_of
from gradcore.ops.filling import eye, zeros
from gradcore.ops.joining import cat
from gradcore.tensor import Tensor

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def _named(module: Module, name: str) -> Tensor:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return weight


# -- orthogonal matrices ----------------------------------------------------------------------------------------------


def _is_orthogonal(q: Tensor) -> bool:
    one = eye(q.shape[-1], dtype=q.dtype, device=q.device)
    tolerance = 10.0 * q.shape[-2] * finfo(q.dtype).eps
    return bool((q.mH @ q).allclose(one, atol=tolerance))


def _nearest(x: Tensor) -> Tensor:
    """The orthogonal factor of a tall matrix, the other being positive on its diagonal."""
    q, r = linalg.qr(x)
    return q * r.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)  # type: ignore[no-any-return]


class _Orthogonal(Module):
    """Orthogonal matrices by a map of all matrices of that shape; with a base, times a fixed one (Lezcano, 2019)."""

    base: Tensor

    def __init__(self, weight: Tensor, orthogonal_map: str, *, use_trivialization: bool = True) -> None:
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Tensor) -> Tensor:
        """The orthogonal matrix of `X`."""
        wide = X.shape[-2] < X.shape[-1]
        x = X.mT if wide else X
        q = self._reflected(x) if self.orthogonal_map == "householder" else self._turned(x)
        if hasattr(self, "base"):
            q = self.base @ q
        return q.mT if wide else q

    def _turned(self, x: Tensor) -> Tensor:
        """By the skew-hermitian matrix that the lower triangle makes: its exponential, or its Cayley transform."""
        n, k = x.shape[-2:]
        x = x.tril()
        if n != k:
            x = cat([x, x.new_zeros(n, n - k).expand(*x.shape[:-2], -1, -1)], -1)
        skew = x - x.mH
        if self.orthogonal_map == "matrix_exp":
            q = linalg.matrix_exp(skew)
        else:
            one = eye(n, dtype=skew.dtype, device=skew.device)
            q = linalg.solve(one - 0.5 * skew, one + 0.5 * skew)
        return q if n == k else q[..., :k]

    def _reflected(self, x: Tensor) -> Tensor:
        """By the reflections at the columns below the diagonal, on which there are signs."""
        columns = x.tril(-1)
        q = linalg.householder_product(columns, 2.0 / (1.0 + (columns * columns).sum(-2)))
        return q * x.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)  # type: ignore[no-any-return]

    @no_grad()
    def right_inverse(self, Q: Tensor) -> Tensor:
        """What gives `Q`, or the orthogonal matrix that its QR factorisation has, if it is not orthogonal."""
        if Q.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape {Q.shape}."
            )
        wide = Q.shape[-2] < Q.shape[-1]
        q = Q.mT if wide else Q
        n, k = q.shape[-2:]
        if not hasattr(self, "base"):
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    "It is not possible to assign to the matrix exponential or the Cayley parametrizations when "
                    "use_trivialization=False."
                )
            found = _reflections(q)
            return found.mT if wide else found
        if n != k:
            more = q.new_empty((*q.shape[:-2], n, n - k)).normal_()
            self.base = _nearest(cat([q, more], -1))
        else:
            self.base = q.clone() if _is_orthogonal(q) else _nearest(q)
        start = zeros(Q.shape, dtype=Q.dtype, device=Q.device)
        start.diagonal(dim1=-2, dim2=-1).fill_(-1.0)  # of the identity, for reflections too
        return start  # type: ignore[no-any-return]


def _reflections(x: Tensor) -> Tensor:
    """Below the diagonal the reflections that make a tall matrix triangular, on it signs, as `_reflected` takes them."""
    x = x.clone()
    for j in range(x.shape[-1]):
        column = x[..., j:, j].clone()
        first, rest = column[..., :1], column[..., 1:]
        length = -first.sign().where(first.ne(0), 1) * linalg.vector_norm(column, dim=-1, keepdim=True)
        plain = linalg.vector_norm(rest, dim=-1, keepdim=True).eq(0)  # nothing to reflect
        below = (rest / (first - length)).masked_fill(plain, 0)
        share = ((length - first) / length).masked_fill(plain, 0).unsqueeze(-1)
        mirror = cat([first.new_ones(first.shape), below], -1).unsqueeze(-1)
        x[..., j:, j:] -= share * mirror @ (mirror.mT @ x[..., j:, j:])
        x[..., j + 1 :, j] = below
        x[..., j, j] = (-first.sign()).where(plain, length.sign())[..., 0]
    return x


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """Keep a matrix, or each of a batch, orthogonal (unitary), and return the module.

    `orthogonal_map` is "matrix_exp", "cayley" or "householder"; by default the first for square and complex matrices, else
    the last. Raises ValueError for others, and for what is no matrix.
    """
    weight = _named(module, name)
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square or weight.is_complex() else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise ValueError(
            f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}'
        )
    made = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    return register_parametrization(module, name, made, unsafe=True)


# -- norms ------------------------------------------------------------------------------------------------------------


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        """The weight of lengths and directions."""
        return weight_of(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Lengths and directions of a weight."""
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Split a weight into the lengths of its slices along `dim` (one for None) and its directions; return the module.

    The states of `utils.weight_norm` can be loaded too. Salimans and Kingma (2016).
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def take_old_names(module: Any, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        old = [f"{prefix}{name}_{suffix}" for suffix in "gv"]
        if all(key in state_dict for key in old):
            for i, key in enumerate(old):
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(key)

    module.register_load_state_dict_pre_hook(take_old_names)
    return module


class _SpectralNorm(Module):
    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        ndim = weight.ndim
        if not -ndim <= dim < ndim:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{ndim}, {ndim - 1}] but got {dim})"
            )
        check_iterations(n_power_iterations)
        self.dim = dim % ndim
        self.eps = eps
        if ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = matrix_of(weight, self.dim)
            for name, n in zip(("_u", "_v"), matrix.shape, strict=True):
                with no_grad():
                    self.register_buffer(name, F.normalize(matrix.new_empty(n).normal_(0, 1), dim=0, eps=eps))
            self._iterate(matrix, 15)

    @no_grad()
    def _iterate(self, matrix: Tensor, count: int) -> None:
        for _ in range(count):
            step(matrix, self._v, self._u, self.eps)
            step(matrix.mH, self._u, self._v, self.eps)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight over its largest singular value, of which training improves the estimate."""
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = matrix_of(weight, self.dim)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        return weight / self._u.clone().vdot(matrix.mv(self._v.clone()))  # type: ignore[no-any-return]

    def right_inverse(self, value: Tensor) -> Tensor:
        """The value itself."""
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divide a weight by its largest singular value, estimated by power iteration, and return the module.

    The weight counts as a matrix with rows along `dim`, by default that of the outputs. Miyato et al. (2018).
    """
    made = _SpectralNorm(_named(module, name), n_power_iterations, outputs_of(module) if dim is None else dim, eps)
    return register_parametrization(module, name, made)
