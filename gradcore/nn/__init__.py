"""torch.nn: neural networks. It must not know any derivative."""

from gradcore.nn import functional

__all__ = ["functional"]
