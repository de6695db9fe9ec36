"""torch.nn.functional: the functions neural networks are made of. It must not know any derivative."""

import gradcore.ops.linear  # noqa: F401  (for its entry in the registry)
from gradcore.ops.activations import (
    celu,
    celu_,
    elu,
    elu_,
    hardtanh,
    hardtanh_,
    leaky_relu,
    leaky_relu_,
    log_softmax,
    relu,
    relu6,
    relu_,
    selu,
    selu_,
    sigmoid,
    silu,
    softmax,
    softmin,
    tanh,
)
from gradcore.ops.convolution import conv1d, conv2d, conv3d
from gradcore.ops.embedding import embedding
from gradcore.ops.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    l1_loss,
    mse_loss,
    nll_loss,
    one_hot,
)
from gradcore.ops.normalization import batch_norm, dropout, layer_norm
from gradcore.ops.padding import pad
from gradcore.ops.pooling import max_pool2d, max_pool2d_with_indices
from gradcore.ops.registry import functions

__all__ = [
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "celu_",
    "conv1d",
    "conv2d",
    "conv3d",
    "cross_entropy",
    "dropout",
    "elu",
    "elu_",
    "embedding",
    "gelu",
    "hardtanh",
    "hardtanh_",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "leaky_relu_",
    "linear",
    "log_softmax",
    "logsigmoid",
    "max_pool2d",
    "max_pool2d_with_indices",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "relu",
    "relu6",
    "relu_",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "tanh",
]

# The forms that take `out=` stand in the registry alone.
_forms = functions["nn.functional"]
avg_pool2d = _forms["avg_pool2d"]
gelu = _forms["gelu"]
linear = _forms["linear"]
logsigmoid = _forms["logsigmoid"]
normalize = _forms["normalize"]
softplus = _forms["softplus"]
