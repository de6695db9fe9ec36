"""Batch normalisation made part of the layer before it, for evaluation. It must not know what these compute."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypeVar

from gradcore.nn.modules.batchnorm import _BatchNorm
from gradcore.nn.modules.conv import _Convolution
from gradcore.nn.modules.linear import Linear
from gradcore.nn.parameter import Parameter
from gradcore.tensor import Tensor

C = TypeVar("C", bound=_Convolution)
L = TypeVar("L", bound=Linear)
Pair = tuple[Parameter, Parameter]


def _fused(weight: Tensor, bias: Tensor | None, norm: tuple[Any, ...], shape: list[int]) -> Pair:
    """The weight, scaled along `shape`, and the bias of both layers; norm is (mean, variance, eps, weight, bias)."""
    mean, variance, eps, scale, shift = norm
    share = (variance + eps).rsqrt()
    share = share if scale is None else share * scale
    made = ((0 if bias is None else bias) - mean) * share
    made = made if shift is None else made + shift
    return (
        Parameter((weight * share.reshape(shape)).to(weight.dtype), weight.requires_grad),
        Parameter(made.to(weight.dtype if bias is None else bias.dtype), bias is not None and bias.requires_grad),
    )


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> Pair:
    """The weight and the bias of a convolution (a transposed one if told) that normalises by these statistics too."""
    ones = [1] * (conv_w.ndim - 2)
    return _fused(conv_w, conv_b, (bn_rm, bn_rv, bn_eps, bn_w, bn_b), [1, -1, *ones] if transpose else [-1, 1, *ones])


def fuse_linear_bn_weights(
    linear_w: Tensor, linear_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor, bn_b: Tensor
) -> Pair:
    """The weight and the bias of an affine map that normalises by these statistics too."""
    return _fused(linear_w, linear_b, (bn_rm, bn_rv, bn_eps, bn_w, bn_b), [-1, 1])


def _checked(layer: Any, bn: _BatchNorm) -> tuple[Any, Any, Any, Any, Any, Any]:
    """A copy of the layer, and what it takes from the normalisation."""
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")
    return deepcopy(layer), bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias


def fuse_conv_bn_eval(conv: C, bn: _BatchNorm, transpose: bool = False) -> C:
    """A convolution that does what `conv` and then `bn` do. Raises AssertionError unless both are in evaluation."""
    made, mean, variance, eps, weight, bias = _checked(conv, bn)
    fused = fuse_conv_bn_weights(made.weight, made.bias, mean, variance, eps, weight, bias, transpose)
    made.weight, made.bias = fused
    return made  # type: ignore[no-any-return]


def fuse_linear_bn_eval(linear: L, bn: _BatchNorm) -> L:
    """An affine map that does what `linear` and then `bn` do. Raises AssertionError unless both are in evaluation."""
    made, *norm = _checked(linear, bn)
    if bn.num_features not in (1, linear.out_features):
        raise AssertionError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, got linear.out_features="
            f"{linear.out_features} and bn.num_features={bn.num_features}"
        )
    made.weight, made.bias = fuse_linear_bn_weights(made.weight, made.bias, *norm)
    return made  # type: ignore[no-any-return]
