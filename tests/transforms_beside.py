"""One program with transforms, run by gradcore and by torch, and compared. It must not know any operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import func as torch_func
from torch.autograd import forward_ad

import gradcore
import gradcore.autograd.forward_ad
import gradcore.func
from gradcore.transforms import trees

LOADED = (torch_func, forward_ad)  # by name they are attributes of torch
RNG = np.random.default_rng()


def leaves(tree: Any) -> list[Any]:
    """The leaves of a tree, tensors as arrays."""
    return [x.detach().numpy() if hasattr(x, "detach") else x for x in trees.leaves_of(tree)]


def beside(program: Callable[..., Any], *arrays: Any, tolerance: float = 1e-9) -> Any:
    """Run `program(T, T.func, *tensors)` for T = gradcore and torch; both give the same tree."""
    ours = program(gradcore, gradcore.func, *(gradcore.tensor(x) for x in arrays))
    theirs = program(torch, torch.func, *(torch.tensor(x) for x in arrays))
    assert trees.shape_of(ours) == trees.shape_of(theirs)
    for a, e in zip(leaves(ours), leaves(theirs), strict=True):
        assert np.shape(a) == np.shape(e)
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance)
    return ours


def numbers(*shape: int) -> Any:
    """Normal numbers, new ones each time."""
    return RNG.normal(size=shape)
