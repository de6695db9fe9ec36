"""x[index], x[index] = value, and reading and writing at indices and masks, with torch as the judge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcore
from tests.beside import assert_beside, cases

torch = pytest.importorskip("torch")

READS = """
    u[0] | u[0, 1] | u[-1] | u[:] | u[...] | u[None] | u[1:] | u[::1] | u[:, 1] | u[:, 1:] | u[0:1, None]
    u[None, 0:1] | u[..., 0] | u[0:1, ...] | u[()] | u[..., ...] | u[0, ..., 0] | u[:, :] | u[:, ::2]
    u[5:] | u[-9:9] | u[2:1] | u[True] | u[False] | u[torch.tensor(True)] | u[torch.tensor(True), 0]
    u[torch.tensor(1, dtype=torch.uint8)] | u[torch.tensor(0)] | u[torch.tensor(-1, dtype=torch.int16)]
    u[torch.tensor(1):] | u[np.int64(1)] | u[torch.tensor([0])] | u[[0]] | u[[0, 1]] | u[[[0, 1], [1, 0]]]
    u[[0, None]] | u[[slice(0, 1)]] | u[(0, 1),] | u[(0, 1), (0, 1)] | u[((0, 1),)] | u[range(2)]
    u[np.array([0])] | u[np.array([True, False])] | u[[True, False]] | u[np.array([[0, 1], [1, 0]])]
    u[[torch.tensor([0]), torch.tensor([1])]] | u[[1.5]] | u[[]] | u[:, []] | u[[], []]
    u[torch.tensor([1, 0], dtype=torch.int32)] | u[torch.tensor([1, 0], dtype=torch.uint8)] | u[[-1, -2]]
    x3[0, :, [1, 2]] | x3[[0, 1], :, [1, 2]] | x3[:, [1, 2], [0]] | x3[:, None, [1, 2]] | x3[..., [1, 2]]
    x3[[0], ..., 1] | x3[[[0], [1]], [1, 2]] | x3[:, [[0, 1], [1, 2]], 1:] | x3[None, [0], :, None]
    u[x > 2] | u[None, x > 2] | x3[x > 2] | x3[x > 2, 1:] | x3[x > 2, 0] | x3[:, x3[0] > 5]
    x3[[0], x3[0] > 5] | x3[x3 > 99] | x[x > 2] | l[l > 2] | c[0, [0, 0]] | c[c.real > 0] | z[...] | z[None]
    u[np.array([1, 0], 'int16')] | u[np.array([1.0, 0.0])] | u[:, np.array([0, 1], 'uint32')] | u[np.array(1.0)] | u[-2:]
    x3[np.array([[0, 1]], 'int8'), 0] | x3[np.int16(1), np.array([0, 1], 'float32')] | u[np.array(True)] | x3[-2:, -9:]
    z[()] | z[True] | e[1] | e[[0, 2], 1] | x.T[[0, 1]] | x.T[x.T > 1] | u[:,] | u[0:,] | u[:9, :]
"""
REFUSED = """
    u[0, 0, 0] | u[0, [0], [1]] | u[5] | u[-3] | u[0, 5] | u[torch.tensor([5])] | u[[0, 5]] | u[x > 0, 0]
    z[0] | z[None, [0, 0]] | z[:] | z[torch.tensor([0])] | u[torch.tensor([0, 1]), torch.tensor([0, 1, 2])]
    u[torch.tensor([True, False, True])] | u[:, torch.tensor([True, False])]
    u[torch.ones(2, 2, dtype=torch.bool)] | u[[[True, False, True], [False, True, False]]]
    x3[[0, 1], torch.ones(3, 4, dtype=torch.bool)] | u[::-1] | u[::0] | u[0.5:] | u['a':] | u[1.0] | u['a']
    u[['a']] | u[torch.tensor([1, 0], dtype=torch.int8)] | u[torch.tensor([1.0, 0])] | u[torch.tensor(1.0)]
    u[np.bool_(True)]
"""
WRITES = """
    with torch.no_grad(): w[0] = 5; w | with torch.no_grad(): w[[0]] = y; w | with torch.no_grad(): u.t()[0] = 5; u
    with torch.no_grad(): w[0].mul_(2); w | with torch.inference_mode(): a = x * 1; a.requires_grad
    x[0] = torch.tensor([7, 8, 9]); x | x[0] = torch.tensor([7.0, 8, 9], dtype=torch.float64); x
    x[0] = np.float64(3); x | x[0] = torch.ones(1, 1, 3); x | x[[0, 1]] = torch.ones(1, 1, 3); x
    x[[0, 1]] = torch.ones(1, 2, 3); x | x[:, 1] = 4; x | x[x > 2] = torch.ones(3); x | x[x > 2] = 7; x
    x[x > 2] = torch.tensor(7.0); x | x[x > 2] = torch.ones(1, 3); x | x[True] = 7; x | x[False] = 7; x
    x[True] = torch.ones(1, 1, 3, dtype=torch.float64); x | x[True, 0] = torch.ones(1, 3); x
    x[...] = 7; x | x[None] = 7; x | z[()] = 3; z | z[...] = 3; z | z[True] = 5; z | l[0] = 1.7; l
    l[0] = torch.tensor(1.7); l | l[:] = torch.tensor([1.7, 2, 3]); l | l[[0]] = 1.7; l | x[1:] = x[:-1]; x
    x[:] = x; x | x[:, 1:] = 0.5; x | e[0, 0] = 9; e | e[:, :1] = 5; e | x[0, 1] += 3; x | x[[0, 0]] += 1; x
    u[-2:] = 1; u | u[-9:, -3:] = 1; u | u[True] = y; u | u[np.array([1, 0], 'int16')] = y; u
    u[0] = 1; u | u[0] = y; u | u[[0]] = 1; u | u[[0]] = y; u | u[u > 2] = 9; u | u[0][0] = 1; u
    u[0].mul_(2); u | u[:] = 1; u | u[:] = y; u | u[...] = w; u | x[0] = y; x | x[[0]] = y; x
    v[1:] = v[0]; v | c[0, 0] = 2j; c | c[0] = y; c | a = u[0]; a[1] = 5; a | a = u[0]; u[0, 1] = 5; a
    a = u.view(-1); a[2:4] = y[0]; u | a = u.t(); a[[0, 2]] = 9; u | x.T[0] = 5; x
    x3[:, [0, 2], 1] = 9; x3 | x3[0, :, [1, 2]] = -1; x3 | x3[..., 0][x > 2] = 50; x3
    r = x.index_put_((torch.tensor([0, 0]),), torch.tensor(5.0), accumulate=True); x
    r = u.index_put_((torch.tensor([0]),), y); u | u.zero_(); u | u.fill_(2); u | u.fill_(y[0]); u
    u.copy_(w); u | u.copy_(x); u | x.copy_(w); x | x.copy_(y); x | x.copy_(3); x | x.copy_(l); x
    l.copy_(x); l | x[0].copy_(y); x | x.data[0] = 5; x | u.data[0] = 5; u | u.detach()[0] = 5; u
    x.data[0] = 5; x._version | x.detach()[0] = 5; x._version | x[0][0] = 5; x._version | y.data *= 100; y
    a = x[0]; x.add_(1); a._version | l[l > 2] = torch.tensor(1.7); l | l[l > 2] = torch.tensor([[2.5]]); l
    x[x > 2] = torch.tensor([7]); x | l[:, l[0] > 2] = torch.tensor(1.7); l | u[u > 2] = y[:1].double(); u
"""
WRITES_REFUSED = """
    x[0] = [1, 2, 3]; x | x[0] = np.array([1, 2, 3]); x | x[0] = 'a'; x | x[0] = None; x | x[0] = 1 + 2j; x
    x[5] = 1; x | x[0, 0, 0] = 1; x | l[[0]] = torch.tensor(1.7); l | x[[0]] = torch.tensor(2); x
    x[0] = torch.ones(2); x | x[[0, 1]] = torch.ones(3, 3); x | x[x > 2] = torch.ones(2); x | z[0] = 3; z
    x[0, 1:] = x[0, :-1]; x | e[0] = 1; e | e[:] = 1; e | w[0] = 1; w | w[[0]] = 1; w | w[0].mul_(2); w
    w[:] = 1; w | y.data = 3; y | x.copy_(torch.ones(2, 2)); x | z.copy_(x); z | w.zero_(); w
    w.fill_(1); w | a, b = u.unbind(); a.mul_(2); u | a, b = u.split(1); a[0] = 2; u
    a, b = u.chunk(2); a.view(3).mul_(2); u | a, b = u.unbind(); u.mul_(2); a * 2
    a, b = u.unbind(); u.mul_(2); a.grad_fn | l[l > 2] = torch.tensor([1.7, 2, 3, 4]); l
"""
AT_INDICES = """
    u.gather(0, torch.tensor([[0, 1, 1]])) | u.gather(1, torch.tensor([[0], [2]]))
    u.gather(0, torch.tensor([[0]], dtype=torch.int32)) | z.gather(0, torch.tensor(0))
    v.gather(0, torch.tensor(0)) | z.gather(0, torch.tensor([0, 0]))
    u.index_select(0, torch.tensor([1, 1])) | u.index_select(-1, torch.tensor(2))
    torch.take(u, torch.tensor([0, -1])) | torch.take_along_dim(u, torch.tensor([[0]]), 0)
    torch.take_along_dim(u, torch.tensor([0, 1])) | u.masked_select(x > 2)
    u.masked_select(torch.tensor([True, False, True])) | u.index_put((torch.tensor([0]),), z)
    u.index_put((torch.tensor([0, 0]), torch.tensor([1, 1])), y[:2], accumulate=True)
    u.index_add(0, torch.tensor([0, 0]), w) | u.index_add(1, torch.tensor([0]), u[:, :1], alpha=2)
    u.index_copy(0, torch.tensor([1]), y[None]) | u.index_fill(0, torch.tensor([0, 0]), 2.5)
    u.index_fill(-1, torch.tensor([-1]), y[2]) | u.scatter(0, torch.tensor([[0]]), 1.0)
    u.scatter(1, torch.tensor([[2, 0]]), w) | x.scatter(0, torch.tensor([[0]]), 2.0, reduce='add')
    x.scatter(0, torch.tensor([[0]]), 2.0, reduce='multiply')
    u.scatter_add(1, torch.tensor([[0, 0, 1], [2, 2, 2]]), w) | u.masked_fill(x > 2, 7)
    u.masked_fill(x > 2, y[0]) | l.masked_fill(l > 2, 1.5)
    x.masked_fill(torch.tensor([True, False, True]), 0)
    v.masked_fill(torch.ones(2, 4, dtype=torch.bool), 0) | u.masked_scatter(x > 2, w)
    u.put(torch.tensor([0, -1]), torch.tensor([9.0, 8])); 1 | u.repeat_interleave(2)
    u.repeat_interleave(2, 0) | z.repeat_interleave(2) | u.repeat_interleave(torch.tensor([1, 2]), 0)
    torch.repeat_interleave(torch.tensor([1, 2, 0])) | x.repeat_interleave(0, 1)
    u.scatter_(0, torch.tensor([[0]]), 7.0); u | u.scatter_add_(0, torch.tensor([[0]]), x); u
    u.index_add_(0, torch.tensor([0]), x[1:]); u | u.index_copy_(0, torch.tensor([0]), x[1:]); u
    u.index_fill_(0, torch.tensor([0]), 7); u | u.masked_fill_(x > 2, 7); u | u.masked_scatter_(x > 2, w); u
    u[0].index_fill_(0, torch.tensor([0]), 7); u | u.select(0, 1) | u.narrow(1, 1, 2) | u.narrow(0, -1, 1)
    torch.nonzero(x, as_tuple=True)[1].tolist() | torch.nonzero(z) | torch.nonzero(x).tolist()
    torch.argwhere(l > 2).tolist() | torch.tril_indices(3, 4, 1)
    torch.triu_indices(3, 4, -1, dtype=torch.int32) | torch.select_scatter(u, y, 0, 1)
    torch.slice_scatter(u, y[None], 0, 1, 2) | torch.diagonal_scatter(u, y[:2])
"""
AT_INDICES_REFUSED = """
    x.gather(0, torch.tensor([[5]])) | x.gather(0, torch.tensor([[-1]])) | x.gather(0, torch.tensor([0]))
    x.gather(0, torch.tensor([[0, 0, 0, 0]])) | x.index_select(0, torch.tensor([5]))
    x.index_select(0, torch.tensor([-1])) | x.index_select(0, torch.tensor([[0]]))
    x[:0].index_select(0, torch.tensor([0])) | x[:0].index_select(1, torch.tensor([9]))
    x[0, :0].index_select(0, torch.tensor([0]))
    x[:, :0].index_select(0, torch.tensor([-1])) | x[:0, :0].index_select(1, torch.tensor([0]))
    z.index_select(0, torch.tensor([0, 0])) | x.index_add(0, torch.tensor([5]), x[:1])
    x.index_add(0, torch.tensor([0]), x) | x.index_add(0, torch.tensor([0]), x[:1].double())
    x.index_fill(0, torch.tensor([5]), 2) | x.index_fill(0, torch.tensor([0], dtype=torch.int32), 2)
    x.index_fill(0, torch.tensor([0]), y) | x.scatter(0, torch.tensor([[5]]), 1.0)
    x.scatter(0, torch.tensor([[0]]), x.double()) | x.scatter(0, torch.tensor([0]), 1.0)
    x.scatter_add(0, torch.tensor([[9]]), x) | x.scatter_add(0, torch.tensor([[0, 0, 0, 0]]), x)
    x.scatter(0, torch.tensor([[0]]), 1j) | x.masked_fill(x > 0, y)
    x.masked_fill(torch.tensor([1, 0, 1]), 0) | x.masked_select(torch.tensor([1, 0, 1]))
    x.masked_select(torch.ones(4, dtype=torch.bool)) | x.masked_scatter(x > -9, y)
    x.masked_scatter(x > 0, x.double()) | torch.take(x, torch.tensor([6]))
    torch.take_along_dim(x, torch.tensor([0]), 0) | x.repeat_interleave(-1)
    x.repeat_interleave(torch.tensor([1, 2])) | torch.select(x, 0, 5) | torch.select(z, 0, 0)
    x.narrow(0, 1, 2) | x.narrow(0, 0, -1) | torch.unravel_index(torch.tensor([1.0]), (2, 3))
"""


@pytest.mark.parametrize("code", cases(READS, WRITES, AT_INDICES))
def test_does_as_torch(code: str) -> None:
    assert_beside(torch, code)


@pytest.mark.parametrize("code", cases(REFUSED, WRITES_REFUSED, AT_INDICES_REFUSED))
def test_refuses_what_torch_refuses(code: str) -> None:
    assert_beside(torch, code, may_raise=True)


INDICES = [
    lambda T, r: int(r.integers(-2, 2)),
    lambda T, r: slice(*sorted(r.integers(-3, 4, size=2).tolist())),
    lambda T, r: slice(None, None, int(r.integers(1, 3))),
    lambda T, r: None,
    lambda T, r: Ellipsis,
    lambda T, r: T.tensor(r.integers(-2, 2, size=3).tolist()),
    lambda T, r: T.tensor(r.integers(-2, 2, size=(2, 1)).tolist()),
    lambda T, r: r.integers(-2, 2, size=3),
    lambda T, r: r.integers(-2, 2, size=3).tolist(),
    lambda T, r: T.tensor([True, False, True][: int(r.integers(2, 4))]),
    lambda T, r: bool(r.integers(2)),
    lambda T, r: T.tensor((r.random((2, 3)) > 0.5).tolist()),
]


@pytest.mark.parametrize("seed", range(300))
def test_random_indices_read_write_and_differentiate_as_in_torch(seed: int) -> None:
    found = []
    for T in (gradcore, torch):
        r = np.random.default_rng(seed)
        data, other = r.normal(size=(2, 3, 2, 3)), r.normal(size=(2, 3, 2, 3))
        index = tuple(INDICES[k](T, r) for k in r.integers(len(INDICES), size=r.integers(1, 5)))
        dots = [k for k, each in enumerate(index) if each is Ellipsis]
        index = tuple(each for k, each in enumerate(index) if k not in dots[1:])  # torch miscounts the second
        x = T.tensor(data.tolist(), dtype=T.float64, requires_grad=True)
        try:
            part = x[index]
            weights = T.tensor(np.resize(other, part.shape).tolist(), dtype=T.float64).reshape(part.shape)
            value = (weights * 1).requires_grad_()
            (gx,) = T.autograd.grad((part * part * weights).sum(), x)
            y = x * 1
            y[index] = value
            read = T.autograd.grad((y * y).sum(), [x, value])
        except Exception as error:
            found.append(type(error).__name__)
        else:
            twice = any(not isinstance(i, (int, slice, bool, type(None), type(Ellipsis))) for i in index)
            results = [part, gx] if twice else [part, gx, y, *read]  # which of two writes to a place wins is not said
            found.append([(tuple(t.shape), t.detach().tolist()) for t in results])
    ours, theirs = found
    if isinstance(theirs, str) or isinstance(ours, str):
        assert ours == theirs
    else:
        for (shape, one), (other_shape, another) in zip(ours, theirs, strict=True):
            assert shape == other_shape
            np.testing.assert_allclose(one, another, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int8", "int32", "bool", "complex64"])
@pytest.mark.parametrize("number", [0, -1, 300, -200, 1e6, 1e50, 2.7, -3.7, True, float("inf"), float("nan"), 1j, 1 + 0j])
def test_a_number_is_stored_or_refused_as_in_torch(dtype: str, number: Any) -> None:
    found = []
    for T in (gradcore, torch):
        x = T.zeros(2, dtype=getattr(T, dtype))
        try:
            x[0] = number
        except (RuntimeError, TypeError) as error:
            found.append(str(error)[:30])
        else:
            found.append(str(x.tolist()))
    assert found[0] == found[1]


def test_indices_with_two_writes_to_a_place_send_the_gradient_where_torch_does() -> None:
    found = []
    for T in (gradcore, torch):
        x = T.zeros(4, requires_grad=True)
        values = T.tensor([1.0, 2.0, 3.0], requires_grad=True)
        y = x * 1
        y[T.tensor([1, 1, 3])] = values
        grads = T.autograd.grad((y * T.tensor([1.0, 10, 100, 1000])).sum(), [x, values])
        found.append([g.tolist() for g in grads])
    assert found[0] == found[1]


def test_a_failed_write_changes_nothing() -> None:
    x = gradcore.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True) * 1
    before, node = x.tolist(), x.grad_fn
    for index, value in (((0, 5), 1.0), (([0, 7],), 1.0), (0, gradcore.ones(3)), (([0],), gradcore.ones(3)), (0, "a")):
        with pytest.raises((IndexError, RuntimeError, TypeError)):
            x[index] = value
        assert (x.tolist(), x.grad_fn, x._version) == (before, node, 0)


def test_an_index_overwritten_after_use_is_an_error() -> None:
    x, index = gradcore.ones(3, requires_grad=True), gradcore.tensor([0, 1])
    y = x[index]
    index[0] = 2
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_indexing_on_a_device_never_waits_but_for_masks(strict_cuda: Any) -> None:
    x = gradcore.ones(3, 4, device="cuda", requires_grad=True)
    index = gradcore.tensor([2, 0], device="cuda")
    with strict_cuda.never_waits():
        y = x * 1
        y[index] = 2.0
        y[0, 1:] = y[1, 1:]
        y.index_add_(0, index, x[:2])
        z = y[index] + y.gather(1, gradcore.zeros(2, 4, dtype=gradcore.int64, device="cuda"))
        (z[:, index].sum() + z.masked_fill(z > 1, 0.0).sum()).backward()
    assert x.grad.shape == (3, 4)
    before = strict_cuda.syncs
    x[x > 0].sum().backward()
    assert strict_cuda.syncs > before
