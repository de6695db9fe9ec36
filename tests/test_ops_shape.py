"""Shapes, order, joining, splitting, strides: values, views, nodes and refusals, with torch as the judge."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest

import gradcore
from tests.beside import assert_beside, cases, names

torch = pytest.importorskip("torch")

SHAPES = """
    u.view(3, 2) | u.view((3, -1)) | u.view(size=(6,)) | u.reshape(3, 2) | u.reshape(-1)
    u.reshape(shape=(2, 3)) | u.T.reshape(6) | u.T.reshape(3, 2) | torch.reshape(u, (6,))
    u[:, 1:].reshape(4) | u.T[1:].reshape(2, 2) | u.flatten() | u.T.flatten() | v.flatten() | z.flatten()
    x3.flatten(1) | x3.flatten(0, 1) | x3.T[:2].T.flatten(0, 1) | u.unflatten(1, (3, 1))
    u.unflatten(-1, (-1, 3)) | u.ravel() | u.T.ravel() | u.view_as(x) | u.reshape_as(x)
    x.view(torch.int32) | x3.view(torch.float64) | x.view(torch.uint8)[0, :8]
    x.view(torch.float32) | l.view(torch.float64) | u.squeeze() | u[:1].squeeze() | u[:1].squeeze(0)
    u.squeeze(0) | u[:1].squeeze((0, 1)) | u.unsqueeze(0) | u.unsqueeze(-1) | z.squeeze() | z.unsqueeze(0)
    u[:1].squeeze_(); 1 | u.squeeze_(); u | u.unsqueeze_(1); u | u.t_(); u | u.transpose_(0, 1); u
    u.swapaxes_(0, 1); u | a = u[0]; a.unsqueeze_(0); a.mul_(2); u | u.expand(4, 2, 3) | u.expand(-1, 3)
    u.expand((2, 2, 3)) | u.expand_as(x) | u.broadcast_to(2, 2, 3) | torch.broadcast_to(z, (2,))
    z.expand(3) | z.expand(0) | u.repeat(2, 2) | u.repeat(2, 1, 1) | u.repeat((1, 2)) | u.repeat(1, 1)
    u.repeat(0, 1) | u.tile(2, 2) | u.tile(2) | torch.tile(u, (1,)) | z.repeat(3) | u.clone() | u.T.clone()
    u.contiguous() | u.T.contiguous() | u.expand(2, 2, 3).contiguous() | u.expand(2, 2, 3).clone()
    torch.atleast_1d(z) | torch.atleast_2d(z) | torch.atleast_2d(v) | torch.atleast_3d(z)
    torch.atleast_3d(v) | torch.atleast_3d(u) | torch.atleast_1d(z, v) | torch.broadcast_tensors(u, z)
    torch.broadcast_shapes((2, 1), (3,)) | torch.broadcast_shapes((), (5,))
    torch.meshgrid(v, y, indexing='ij') | torch.meshgrid([v, y], indexing='xy')
    torch.meshgrid(z, v, y, indexing='xy') | torch.meshgrid(v)
"""
ORDER = """
    u.transpose(0, 1) | u.transpose(-1, 0) | u.t() | v.t() | u.T | x3.permute(2, 0, 1)
    x3.permute((0, -1, 1)) | torch.permute(x3, (0, 1, 2)) | u.mT | x3.mT | u.H | u.mH | z.H
    u.swapaxes(0, 1) | u.swapdims(0, 1) | x3.movedim(0, 2) | x3.moveaxis((0, 1), (-1, 0))
    z.transpose(0, 0) | z.permute(()) | u.adjoint() | u.flip(0) | u.flip(0, 1) | u.flip((1,)) | u.flip(())
    u.fliplr() | u.flipud() | u.roll(1) | u.roll(1, 0) | u.roll((1, -2), (0, 1)) | u.roll(7, 1)
    torch.rot90(u) | torch.rot90(u, 2) | torch.rot90(u, -1, (1, 0)) | torch.rot90(x3, 3, (1, 2))
    z.flip(()) | x.roll(shifts=1, dims=0)
"""
JOINING = """
    torch.block_diag(u, y, z) | torch.block_diag(u, l) | torch.cartesian_prod(y, v) | torch.cartesian_prod(y)
    torch.combinations(v).tolist() | torch.combinations(v, 3, True).tolist() | torch.combinations(v, 0)
    torch.cat([u, w]) | torch.cat((u, w), 1) | torch.cat([u, w], dim=-1) | torch.concat([u, x])
    torch.concatenate([u, x], axis=1) | torch.cat([x, l]) | torch.cat([u])
    torch.cat([torch.tensor([]), u]) | torch.stack([u, w]) | torch.stack([u, w], 2) | torch.stack([z, z])
    torch.stack([x, l], -1) | torch.hstack([u, w]) | torch.hstack([z, z]) | torch.vstack([v, v])
    torch.row_stack([u, y]) | torch.dstack([v, v]) | torch.column_stack([v, v]) | torch.column_stack([u, w])
    torch.cat([u.T, u.T]) | u.split(1) | u.split(2, 1) | u.split([1, 2], dim=1) | torch.split(u, 1)
    u.split_with_sizes([1, 1]) | u.chunk(2) | u.chunk(2, 1) | u.chunk(5, 1) | u.unbind() | u.unbind(1)
    u.tensor_split(2, 1) | u.tensor_split((1, 2), 1) | u.tensor_split(torch.tensor([1]), 1)
    u.tensor_split((2, 1), 1) | torch.hsplit(u, 3) | torch.vsplit(u, (1,)) | torch.dsplit(x3, 2) | list(u)
    [a.output_nr for a in u.unbind(1)] | torch.zeros(0, 3).split(0) | torch.zeros(0, 3).chunk(2)
"""
STRIDES = """
    u.tril() | u.triu(1) | x3.tril(-1) | u.tril_(); u | u.diag() | u.diag(1) | v.diag() | v.diag(-2)
    u.diagonal() | u.diagonal(-1) | u.diagonal(5) | x3.diagonal(1, -1, 0) | v.diag_embed() | u.diag_embed(1)
    u.diag_embed(-1, 0, 2) | torch.diagflat(u, 1) | u.as_strided((2, 2), (1, 2))
    u.as_strided((2, 2), (1, 2), 1) | u.T.as_strided((2, 2), (1, 2)) | u[1].as_strided((2,), (1,), 0)
    u.unfold(1, 2, 1) | u.unfold(1, 2, 2) | v.unfold(0, 2, 3) | z.unfold(0, 1, 1) | x3.unfold(-1, 3, 1)
    u.unfold(1, 0, 1) | torch.tril_indices(2, 3) | torch.unravel_index(torch.tensor(4), (2, 3))[0].item()
    [t.tolist() for t in torch.unravel_index(torch.tensor([1, 5]), (2, 3))]
"""
REFUSED = """
    x.view(torch.float64)
    u.view(4) | u.T.view(6) | u.view(-1, -1) | u.view(4, -1) | u.reshape(-2, 3) | x.view(torch.complex128)
    x.T.view(torch.float64) | z.view(torch.float64) | torch.zeros(0, 2).view(-1, 0) | u.flatten(1, 0)
    u.flatten(5) | u.unflatten(1, (2, 2)) | u.unflatten(1, ()) | u.squeeze(2) | u.squeeze((0, 0))
    u.unsqueeze(3) | u.expand(3) | u.expand(4, 3) | u.expand(-1, 2, 3) | u.repeat(2) | u.repeat(-1, 1)
    u.transpose(0, 2) | x3.t() | u.permute(0) | u.permute(0, 0) | v.mT | x3.H | u.movedim((0, 1), 0)
    u.movedim((0, 0), (0, 1)) | u.flip(0, 0) | v.fliplr() | z.flipud() | u.roll((1, 1), 0) | u.roll((), ())
    torch.rot90(u, 1, (0,)) | torch.rot90(v) | torch.cat([]) | torch.cat([u, v]) | torch.cat([u, u[:1]], 1)
    torch.cat([z, z]) | torch.cat(u) | torch.cat([u, 1]) | torch.stack([]) | torch.stack([u, v])
    torch.stack([u, u], 4) | u.split(-1) | u.split(0) | u.split([1, 2]) | u.split([3, -1]) | z.split(1)
    u.chunk(0) | z.unbind() | u.tensor_split(0) | z.tensor_split(1) | torch.hsplit(u, 2)
    torch.dsplit(u, 2) | v.tril() | z.diag() | x3.diag() | u.diagonal(0, 0, 0) | v.diagonal()
    u.diag_embed(0, 0, 0) | u.as_strided((2,), (1, 1)) | u.as_strided((2,), (-1,)) | u.unfold(0, 3, 1)
    u.unfold(1, 2, 0) | torch.broadcast_shapes((2,), (3,)) | torch.broadcast_tensors(u, v)
    torch.meshgrid(u) | torch.meshgrid(v, v, indexing='ji') | torch.cat([w, w], out=torch.zeros(4, 3))
    w.t_() | w.unsqueeze_(0) | z.unflatten(0, ())
"""


@pytest.mark.parametrize("code", cases(SHAPES, ORDER, JOINING, STRIDES))
def test_does_as_torch(code: str) -> None:
    assert_beside(torch, code)


@pytest.mark.parametrize("code", cases(REFUSED))
def test_refuses_what_torch_refuses(code: str) -> None:
    assert_beside(torch, code, may_raise=True)


def test_unflatten_of_no_dimension_says_so() -> None:
    for T in (gradcore, torch):  # torch's sentence goes on with frames of C++
        with pytest.raises(RuntimeError, match=r"(?s)unflatten.*[Dd]imension specified as 0 but (the )?tensor has no"):
            T.tensor(1.0).unflatten(0, (1, 1))


def test_what_shares_memory_in_torch_shares_it_here() -> None:
    makers = """
        u.view(-1) u.reshape(3,2) u.T.reshape(6) u.flatten() u[0] u[...,1] u.t() u.expand(2,2,3) u.diagonal()
        u.unfold(1,2,1) u.squeeze() u.unsqueeze(0) u.contiguous() u.T.contiguous() u.clone() u.detach() u.data
        u.split(1)[0] u.unbind()[1] u[[0]] u[u>0] u.flip(0) u.roll(1) u.tile(1) u.repeat(1,1) u.tril() u.diag()
        u.as_strided((2,),(1,)) u.narrow(0,1,1)
    """
    for code in makers.split():
        shared = []
        for T in (gradcore, torch):
            world = names(T)
            world["u"] = u = T.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
            made = eval(code, world)
            with T.no_grad():
                u += 100
            shared.append((made >= 100).tolist() if made.numel() else None)
        assert shared[0] == shared[1], code


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 3), (0, 2), (), (2, 1, 2, 1)])
def test_reshapes_find_the_views_that_torch_finds(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng()
    data = rng.normal(size=shape)
    for order in itertools.permutations(range(len(shape))):
        for target in {(-1,) if data.size else (0,), shape[::-1], (*shape, 1), (1, *shape), (data.size, 1)}:
            results = []
            for T in (gradcore, torch):
                x = T.tensor(data.tolist(), dtype=T.float64).reshape(shape).permute(order)
                try:
                    made = x.view(target)
                    results.append((made.tolist(), tuple(made.shape)))
                except RuntimeError as error:
                    results.append(str(error)[:30])
                made = x.reshape(target)
                results.append((made.tolist(), made.data_ptr() == x.data_ptr() if data.size else None))
            assert results[:2] == results[2:], (shape, order, target)


def test_strides_are_torchs_where_a_dimension_has_a_step() -> None:
    views = "x.T | x3.permute(2, 0, 1) | x3[:, 1] | x3[..., ::2] | x.unfold(1, 2, 1) | x.expand(2, 2, 3) | x3.diagonal()"
    for code in views.split(" | "):
        ours, theirs = (eval(code, names(T)) for T in (gradcore, torch))
        assert ours.stride() == theirs.stride(), code
        assert ours.storage_offset() == theirs.storage_offset(), code


def test_a_view_of_a_reshaped_base_still_leads_to_it() -> None:
    found = []
    for T in (gradcore, torch):
        world = names(T)
        u, y = world["u"], world["y"]
        row = u[0]
        u.t_()
        row.mul_(y)  # through a view older than the new shape
        u[2, 1] = y[1]
        (row.sum() + (u * u).sum()).backward()
        found.append((u.tolist(), row.tolist(), world["w"].grad.tolist(), y.grad.tolist()))
    assert found[0] == found[1]


def test_overlapping_strides_add_up_in_the_gradient() -> None:
    found = []
    for T in (gradcore, torch):
        x = T.tensor([1.0, 2.0, 3.0, 4.0], dtype=T.float64, requires_grad=True)
        windows = x.as_strided((3, 2), (1, 1))
        (g,) = T.autograd.grad((windows**2).sum(), x, create_graph=True)
        (h,) = T.autograd.grad((g**2).sum(), x)
        found.append((g.tolist(), h.tolist()))
    assert found[0] == found[1]


def test_views_survive_pickling_and_copying_as_tensors_of_their_own() -> None:
    x = gradcore.tensor([[1.0, 2.0], [3.0, 4.0]])
    row = pickle.loads(pickle.dumps(x[1]))
    row.mul_(10)
    assert x.tolist() == [[1, 2], [3, 4]]
    assert row.tolist() == [30, 40]


def test_every_way_of_joining_and_splitting_undoes_the_other() -> None:
    x = gradcore.tensor(np.random.default_rng().normal(size=(4, 3, 2)).tolist())
    for dim in (0, 1, 2, -1):
        n = x.shape[dim]
        for parts in (x.split(2, dim), x.chunk(3, dim), x.tensor_split(2, dim), x.split([1, n - 1], dim)):
            assert gradcore.cat(parts, dim).tolist() == x.tolist()
        assert gradcore.stack(x.unbind(dim), dim).tolist() == x.tolist()


def test_shapes_on_a_device_never_wait(strict_cuda: Any) -> None:
    x = gradcore.ones(2, 3, device="cuda", requires_grad=True)
    with strict_cuda.never_waits():
        y = gradcore.cat([x, x.flip(0)], 1).view(3, 4).t().roll(1).tril().diagonal().unfold(0, 2, 1).repeat(2, 1)
        z = gradcore.stack([x.expand(4, 2, 3).movedim(0, -1).flatten(), x.as_strided((24,), (0,))])
        parts = x.split(2, 1)
        (y.sum() + z.sum() + parts[0].sum() + x.unbind(1)[2].sum()).backward()
    assert x.grad.shape == (2, 3)
