"""Gradients for NumPy and CuPy arrays, as PyTorch does them."""
from gradcore.graph.modes import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from gradcore.ops.registry import functions as _f, methods as _m
from gradcore.tensor import Tensor
for _k,_v in _m.items(): setattr(Tensor,_k,_v)
globals().update(_f[""])
from gradcore.dtypes import *
