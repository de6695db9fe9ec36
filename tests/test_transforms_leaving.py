"""What leaves transforms for NumPy: constants may, a tangent may not, and a batch does so slice by slice."""

from __future__ import annotations

import numpy as np
import pytest

import gradcore as gc
import gradcore.autograd.forward_ad as forward_ad
from gradcore import func


def test_a_tangent_is_not_lost_in_numpy() -> None:
    x = gc.rand(3)
    for leave in (lambda x: x.numpy(), np.asarray, lambda x: np.array(x * 2)):
        for transform in (func.jacfwd, lambda f: lambda x: func.jvp(f, (x,), (x,)), func.hessian):
            with pytest.raises(RuntimeError, match=r"has a tangent|requires grad"):
                transform(lambda x, leave=leave: gc.from_numpy(leave(x) * 2).sum())(x)
    value, moved = func.jvp(lambda x: x * gc.from_numpy(x.detach().numpy()), (x,), (gc.ones(3),))
    np.testing.assert_allclose(value, x.numpy() ** 2, rtol=1e-6)
    np.testing.assert_array_equal(moved, x)  # as of a constant
    value, moved = func.jvp(lambda x: (x * gc.from_numpy(gc.ones_like(x).numpy())).sum(), (x,), (gc.ones(3),))
    assert moved == 3


def test_dual_numbers_leave_as_in_torch() -> None:
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(gc.ones(2), gc.ones(2))
        assert type(dual.numpy()) is np.ndarray
        assert forward_ad.unpack_dual(gc.from_numpy(dual.numpy() * 2)).tangent is None


def test_slices_of_a_batch_leave_one_by_one() -> None:
    x = gc.rand(4, 3)
    with pytest.warns(UserWarning, match=r"a NumPy array.*once for each of 4 slices"):
        found = func.vmap(lambda x: gc.from_numpy(np.sort(x.numpy()) * 2))(x)
    np.testing.assert_array_equal(found, np.sort(x.numpy()) * 2)
