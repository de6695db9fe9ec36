"""Who shares memory with whom, beside torch: results, gradients, tangents, copies. It must not know why.

A write that nothing tracks (through `.data`, in a hook, into an array) shows in whatever shares the memory written. So what
a program leaves a user with must share memory where torch's does and nowhere else; only what a backward pass hands out may
be safer than torch's, which gives away the user's own seed.
"""

from __future__ import annotations

import copy
import io
import itertools
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gradcore
from tests.twin import Programs, attempt, same

torch = pytest.importorskip("torch")


def tensors_in(result: Any, T: Any) -> Iterator[Any]:
    if isinstance(result, T.Tensor):
        yield result
    elif isinstance(result, (list, tuple)):
        for each in result:
            yield from tensors_in(each, T)


def memory(t: Any) -> np.ndarray[Any, Any]:
    return np.asarray(t._array if isinstance(t, gradcore.Tensor) else t.detach().resolve_neg().numpy())


def shared(tensors: list[Any], first: int = 0) -> set[tuple[int, int, str]]:
    """The pairs of tensors, the second from number `first` on, that are one object or overlap in memory."""
    arrays = list(map(memory, tensors))
    return {
        (i, j, "is" if tensors[i] is tensors[j] else "shares")
        for j in range(first, len(tensors))
        for i in range(j)
        if tensors[i] is tensors[j] or (arrays[i].size and arrays[j].size and np.shares_memory(arrays[i], arrays[j]))
    }


# -- results and arguments --------------------------------------------------------------------------------------------

RESULTS = """
    x.contiguous() ;; x.reshape(x.shape) ;; x.reshape(-1) ;; x.view(x.shape) ;; x.to(x.dtype) ;; x.to(x) ;; x.to('cpu')
    x.to(x.dtype, copy=True) ;; x.type(x.dtype) ;; x.type_as(x) ;; x.double() ;; x.float() ;; x.cpu() ;; x.cdouble()
    x.expand(x.shape) ;; x.expand(2, *x.shape) ;; x.flatten() ;; x.ravel() ;; x.squeeze() ;; x.squeeze(()) ;; x.clone()
    x.detach() ;; x.data ;; x.real ;; x.resolve_conj() ;; x.resolve_neg() ;; x.conj_physical() ;; x.positive() ;; abs(x)
    T.broadcast_tensors(x, y) ;; T.meshgrid(x, x, indexing='ij') ;; T.meshgrid(x, y, indexing='xy') ;; T.cartesian_prod(x)
    T.atleast_1d(x) ;; T.atleast_2d(x) ;; T.atleast_3d((x, y)) ;; T.combinations(x, 1)
    T.split(x, 1) ;; T.split(x, 100) ;; x.chunk(2) ;; x.tensor_split(2) ;; x.unbind() ;; T.unsafe_split(x, 100)
    T.split_copy(x, 100) ;; T.unbind_copy(x) ;; x.diagonal() ;; x.diag() ;; T.diagflat(x)
    T.nan_to_num(x) ;; T.clamp(x, -100, 100) ;; x.round() ;; x.add(0) ;; x * 1 ;; x ** 1 ;; T.lerp(x, x, 0.0)
    N.dropout(x, 0.0) ;; N.dropout(x, 0.5, training=False) ;; N.dropout(x, 0.0, inplace=True) ;; N.alpha_dropout(x, 0.0)
    N.feature_alpha_dropout(x, 0.5, training=False) ;; N.dropout2d(x, 0.5, training=False) ;; T.dropout_(x, 0.5, False)
    N.relu6(x) ;; N.relu6(x, inplace=True) ;; N.hardtanh(x, inplace=True) ;; N.rrelu(x, training=False)
    N.pad(x, (0, 0)) ;; N.pad(x, ()) ;; N.pad(x, (-1, 0)) ;; N.pad(x, (-1, 0), mode='circular')
    N.pad(x, (0, 0), mode='replicate') ;; N.pad(x, (-1, 0), mode='replicate') ;; N.pad(x, (-1, 0), mode='reflect')
    x.repeat(1, *(1,) * x.ndim) ;; x.tile(()) ;; x.repeat_interleave(1, 0)
    x.cumsum(0) ;; x.cumprod(0) ;; x.logcumsumexp(0) ;; x.cummax(0) ;; T.trapezoid(x)
    x.sum(()) ;; x.sum(0) ;; x.nansum() ;; x.mean() ;; x.mean(-1, keepdim=True) ;; x.prod(0) ;; x.amax(()) ;; x.amin(-1)
    T.aminmax(x) ;; x.max() ;; x.max(0) ;; x.median(0) ;; x.mode(0) ;; x.kthvalue(1, 0) ;; x.topk(1, 0) ;; x.quantile(0.5)
    x.norm(2, ()) ;; T.linalg.vector_norm(x, 1) ;; T.logsumexp(x, ()) ;; x.all() ;; x.any(-1, keepdim=True)
    x.sort(0) ;; T.msort(x) ;; x.unique() ;; x.unique(dim=0) ;; x.unique_consecutive(return_inverse=True)
    T.einsum('...', x) ;; T.einsum('i->i', x) ;; T.einsum('ij->ij', x) ;; T.einsum('ij->ji', x) ;; T.einsum('ii->i', x)
    T.einsum('...,->...', x, o) ;; x @ x ;; T.chain_matmul(x) ;; T.matrix_power(x, 1) ;; T.linalg.multi_dot([x, x])
    T.kron(x, x) ;; T.inner(x, o) ;; T.block_diag(x) ;; T.linalg.matrix_exp(x)
    x[:] ;; x[...] ;; x[None] ;; x[()] ;; x[0] ;; x[True] ;; x[T.tensor(True)] ;; x[T.tensor(0)] ;; x[T.tensor([0])]
    x[x == x] ;; x[T.tensor(0), None] ;; x[None, True] ;; x[:, T.tensor(0)] ;; x[0, T.tensor(0)] ;; x[T.tensor(0):]
    x.narrow(0, 0, 1) ;; x.narrow_copy(0, 0, 1) ;; x.index_select(0, T.arange(len(x))) ;; x.take(T.tensor([0]))
    x.masked_select(x == x) ;; x.masked_fill(x != x, 0) ;; x.masked_scatter(x != x, x) ;; x.index_put((x != x,), o)
    x.scatter(0, T.tensor([], dtype=T.int64), x) ;; x.slice_scatter(x) ;; x.diagonal_scatter(x.diagonal())
    x.as_strided(x.shape, x.stride()) ;; T.where(x == x, x, y) ;; T.where(T.tensor(True), x, x)
    T.cat([x]) ;; T.cat([x, x[:0]]) ;; T.stack([x]) ;; T.hstack([x]) ;; T.dstack([x]) ;; T.column_stack([x])
    x.roll(0) ;; x.roll(0, 0) ;; x.flip(()) ;; x.rot90(0) ;; x.rot90(4) ;; x.tril(100) ;; x.triu(-100)
    x.permute(tuple(range(x.ndim))) ;; x.transpose(0, 0) ;; x.movedim((), ()) ;; x.t() ;; x.T ;; x.mT ;; x.unfold(0, 1, 1)
    x.view(x.dtype) ;; x.view_as(x) ;; x.view_copy(x.shape) ;; x.sum_to_size(x.shape) ;; T.alias_copy(x)
    T.histogram(x, T.tensor([0.0, 1.0], dtype=x.dtype)) ;; T.histogram(x, y.sort()[0]) ;; T.histogramdd(x, [y.sort()[0]])
    T.fft.fft(x, 1) ;; T.fft.fftn(x, dim=()) ;; T.fft.ifftn(x, dim=()) ;; T.fft.fftn(x) ;; T.fft.fftshift(x)
    N.interpolate(x[None, None], scale_factor=1) ;; N.interpolate(x[None, None], size=x.shape, mode='bilinear')
    N.adaptive_avg_pool1d(x, x.shape[-1]) ;; N.adaptive_max_pool2d(x[None], x.shape) ;; N.avg_pool2d(x[None], 1)
    N.max_pool1d(x, 1) ;; N.unfold(x[None, None], 1) ;; N.fold(x[None], 1, 1) ;; N.layer_norm(x, (1,))
    N.pixel_shuffle(x[None], 1) ;; N.pixel_unshuffle(x[None], 1) ;; N.channel_shuffle(x[None, None], 1)
    N.mse_loss(x, x, reduction='none') ;; N.normalize(x, dim=0) ;; T.renorm(x, 2, 0, 1e9) ;; T.diff(x, 0)
    T.asarray(x) ;; T.asarray(x, dtype=x.dtype) ;; T.asarray(x, copy=True) ;; T.as_tensor(x) ;; T.tensor(x)
    T.from_dlpack(x.detach()) ;; T.from_numpy(x.detach().numpy()) ;; x.as_subclass(T.Tensor) ;; T.complex(x, x)
    x.squeeze_() ;; x.copy_(x) ;; x.resize_(x.shape) ;; x.detach_() ;; x.requires_grad_(False) ;; x.swapaxes_(0, 0)
    T.nn.Identity()(x) ;; T.nn.Flatten(0)(x) ;; T.nn.Sequential()(x) ;; T.nn.Parameter(x) ;; T.nn.Buffer(x)
    T.nn.Dropout(0.5).eval()(x) ;; T.nn.ZeroPad2d(0)(x) ;; T.nn.utils.parameters_to_vector([x])
    T.nn.utils.rnn.pad_sequence([x]) ;; copy.copy(x) ;; copy.copy([x, x]) ;; list(x)
    copy.deepcopy([x, x.detach()]) if x.is_leaf and x.stride()[-1:] != (2,) else x
"""

# A shape, a dtype, and how it lies in memory.
INPUTS = [
    *(((), kind, "") for kind in "fic"),
    ((1,), "f", ""), ((0,), "f", ""), ((3,), "f", ""), ((3,), "c", ""), ((3,), "i", ""),
    ((1, 1), "f", ""), ((2, 2), "f", ""), ((2, 3), "f", "transposed"), ((2, 2), "f", "steps"), ((2, 2), "b", ""),
    ((2, 2), "c", ""), ((2, 2, 2), "f", ""),
]  # fmt: skip


def made(T: Any, shape: tuple[int, ...], kind: str, order: str) -> Any:
    values = np.random.default_rng(3).normal(size=shape) * 3
    values = np.asarray({"f": values, "i": np.rint(values).astype(int), "b": values > 0, "c": values * (1 + 1j)}[kind])
    if order == "transposed":
        return T.from_numpy(np.ascontiguousarray(values.T)).T.detach()
    if order == "steps":
        return T.from_numpy(np.repeat(values, 2, -1))[..., ::2].detach()
    return T.from_numpy(values.copy())


def found(T: Any, code: str, given: tuple[Any, ...], grad: str) -> tuple[set[Any], int] | str:
    x = made(T, *given)
    y, o = T.ones(1, dtype=x.dtype), T.ones((), dtype=x.dtype)
    if grad:
        x.requires_grad_()
    if grad == "result":
        x = x * 1
    T.manual_seed(0)
    try:
        results = list(tensors_in(eval(code, {"T": T, "N": T.nn.functional, "x": x, "y": y, "o": o, "copy": copy}), T))
    except Exception as error:
        return f"raised {error}"
    return shared([x, y, o, *results], 3), len(results)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_results_share_memory_where_torchs_do(line: str) -> None:
    compared, different = 0, []
    for code, given, grad in itertools.product(line.strip().split(" ;; "), INPUTS, ("", "leaf", "result")):
        if grad and given[1] in "ib":
            continue
        theirs = found(torch, code, given, grad)
        ours = found(gradcore, code, given, grad)
        if isinstance(theirs, str) or "not implemented for" in ours:
            continue
        compared += 1
        if ours != theirs:
            different.append((code, given, grad, "torch:", theirs, "here:", ours))
    assert compared > 20
    assert not different, "\n".join(map(str, different))


# -- gradients --------------------------------------------------------------------------------------------------------

# Functions that hand their cotangent on: of one array to several, as it is, in another shape, in parts.
PASSING = """
    p + q ;; p - q ;; p + p ;; p.view(3) + q ;; p[None] + q ;; p[:] + q ;; p.reshape(1, 3) + q ;; p.clone() + q
    T.stack([p, q]) ;; T.stack([p, p]) ;; T.cat([p, q]) ;; T.hstack((p, q)) ;; T.block_diag(p, q) ;; p.expand(2, 3) + q
    p[1:] + q[:-1] ;; p.flip(0) + q ;; p.unbind()[0] + q ;; p.split(1)[1] + q ;; p.roll(0) + q ;; p.contiguous() + q
    p.sum() + q.sum() ;; (p + q).sum() ;; p.double() + q ;; T.where(T.tensor(True), p, q) + q ;; p.as_strided((3,), (1,)) + q
    T.nn.functional.pad(p, (0, 0)) + q ;; p.repeat(1) + q ;; p.tile(()) + q ;; T.einsum('i->i', p) + q ;; p.clamp(-9, 9) + q
    T.maximum(p, p) ;; p.sort()[0] + q ;; p.max(0)[0] + q ;; p[T.tensor([0, 1, 2])] + q
    p.gather(0, T.tensor([0, 1, 2])) + q ;; T.lerp(p, q, 0.0) ;; T.lerp(p, q, 1.0)
    T.addcmul(p, q, q, value=0) ;; T.complex(p, q).real ;; p + q * 1j
    T.view_as_real(T.complex(p, q)) ;; p.to(T.complex64) + q ;; (p * 1).add_(q) ;; (p * 1).copy_(q) + p ;; p.slice_scatter(q)
    p.index_add(0, T.tensor([0, 1, 2]), q) ;; p.masked_scatter(p > 0, q) ;; T.nn.functional.layer_norm(p, (3,), bias=q)
    T.nn.functional.layer_norm(p, (3,), q, q) ;; T.addmv(p, T.eye(3), q) ;; T.fft.fft(p).real + q
    T.meshgrid(p, q, indexing='ij')[0] + p ;; p.view(3, 1).sum(1) + q
    p.view(3, 1).amax(1) + q ;; p.view(3, 1).logsumexp(1) + q ;; p.view(3, 1).cumsum(1)[:, 0] + q
    T.nn.functional.dropout(p, 0.0) + q ;; T.alias_copy(p) + q ;; T.nn.functional.mse_loss(p, q) ;; p.cumsum(0) + q
    T.nn.functional.pixel_shuffle(p[None, :, None], 1) + q ;; T.nn.utils.parameters_to_vector([p, q]) ;; p.double().real + q
"""


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("line", PASSING.strip().splitlines())
def test_gradients_share_memory_with_nothing(line: str, traced: bool) -> None:
    T = gradcore
    for code, again, inner in itertools.product(line.strip().split(" ;; "), (False, True), (False, True)):
        leaves = p, q = T.tensor([1.0, 2.0, 4.0], requires_grad=True), T.tensor([3.0, 1.0, 0.5], requires_grad=True)
        if inner:
            p, q = p * 1, q * 1
            p.retain_grad()
            q.retain_grad()
        out = eval(code, {"T": T, "p": p, "q": q})
        out.retain_grad()
        seed = T.ones_like(out)
        for _ in range(1 + again):
            out.backward(seed, create_graph=traced, retain_graph=True)
        grads = [t.grad for t in dict.fromkeys((*leaves, p, q, out))]
        held = [*dict.fromkeys((*leaves, p, q)), seed, *(g for g in grads if g is not None)]
        assert not [pair for pair in shared(held) if pair[1] > 2], (code, again, inner)
        if not traced:
            found = T.autograd.grad(out, (p, q), seed, allow_unused=True)
            held = [p, q, seed, *(g for g in found if g is not None)]
            assert not shared(held), (code, again, inner, "grad")


program = PROGRAMS = Programs()


def scaled(g: Any) -> None:
    g.mul_(3)


@program
def a_hook_may_write_what_it_is_given(lib: Any) -> Any:
    out = []
    for shape in ((), (1,)):
        x = lib.ones(shape, requires_grad=True)
        x.register_hook(scaled)
        x.sum().backward()
        y = lib.ones(shape, requires_grad=True)
        z = y * 1
        z.register_hook(scaled)
        z.register_hook(scaled)
        z.grad_fn.register_prehook(lambda gs: scaled(gs[0]))
        z.sum().backward()
        after = lib.ones(shape, requires_grad=True)
        after.sum().backward()
        out += [x.grad, y.grad, after.grad]
    return out


@program
def what_a_hook_keeps_is_nobody_elses(lib: Any) -> Any:
    x = lib.ones((), requires_grad=True)
    kept: list[Any] = []
    y = x * 1
    y.register_hook(kept.append)
    y.backward()
    kept[0].data.mul_(5)
    z = lib.ones((), requires_grad=True)
    (z * 1).backward()
    return kept, x.grad, z.grad


@program
def the_gradient_1_of_a_scalar_may_be_written(lib: Any) -> Any:
    x = lib.ones((), requires_grad=True)
    (g,) = lib.autograd.grad(x, x, create_graph=True)
    g.data.mul_(5)
    x.backward(create_graph=True)
    x.grad.data.mul_(7)
    y = lib.ones((), requires_grad=True)
    y.backward()
    return g.detach(), x.grad.detach(), y.grad


@program
def a_function_may_write_what_its_backward_is_given(lib: Any) -> Any:
    class Tripled(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g.mul_(3)

    x, y = lib.ones((), requires_grad=True), lib.ones((), requires_grad=True)
    Tripled.apply(x).backward()
    (y * 1).backward()
    return x.grad, y.grad


@program
def what_is_assigned_as_a_gradient_is_added_to(lib: Any) -> Any:
    out = []
    for b, shape in ((lib.ones(3), (3,)), (lib.ones(3), (1, 3)), (lib.ones(1), (3,))):
        x = lib.ones(shape, requires_grad=True)
        x.grad = b.expand(shape)
        refused = attempt((x * 2).sum().backward)
        out.append((refused and refused[1], x.grad, b))
    return out


# -- tangents and batches ---------------------------------------------------------------------------------------------


@program
def a_tangent_that_passed_an_addition_is_another(lib: Any) -> Any:
    forward = lib.autograd.forward_ad
    x, t = lib.ones(3), lib.ones(3)
    with forward.dual_level():
        moved = [forward.unpack_dual(f(forward.make_dual(x, t))).tangent for f in (lambda a: a + 1, lambda a: 2 - (-a))]
    for each in moved:
        each.data.mul_(5)
    v = lib.ones(3)
    _, (one, two) = lib.func.jvp(lambda a, b: (a + 0, b + 0), (x, x), (v, v))
    one.mul_(3)
    return moved, t, one, two, v


@program
def a_tangent_is_the_users_if_it_lies_as_the_primal_does(lib: Any) -> Any:
    forward, out = lib.autograd.forward_ad, []
    big = lib.ones(6)
    for x, t in (
        (lib.zeros(3), lib.ones(3)), (lib.zeros(3), big[:3]), (lib.zeros(3), big[::2]),
        (lib.zeros(2, 2), lib.ones(2, 2).t()),
        (lib.zeros(2, 2).t(), lib.ones(2, 2).t()), (lib.zeros(6)[1:4], big[1:4]), (lib.zeros(3), lib.ones(1).expand(3)),
        (lib.zeros(1, 3), lib.ones(3, 1).t()),
    ):  # fmt: skip
        with forward.dual_level():
            kept = forward.unpack_dual(forward.make_dual(x, t)).tangent
        moved = lib.func.jvp(lambda a: a, (x,), (t,))[1]
        out.append([bool(shared([t, each])) for each in (kept, moved)])
    return out


@program
def batches_in_chunks_have_memory_of_their_own(lib: Any) -> Any:
    x = lib.arange(6.0).reshape(2, 3)
    return [bool(shared([x, lib.vmap(lambda a: a, chunk_size=n)(x)])) for n in (None, 1, 2, 5)]


@program
def jacfwd_passes_what_it_closes_over_on(lib: Any) -> Any:
    x, y = lib.tensor([1.0, 2.0], requires_grad=True), lib.tensor([3.0, 5.0], requires_grad=True)
    found, (product, same_y) = lib.func.jacfwd(lambda a: (a * y, (a * y, y)), has_aux=True)(x)
    (found.sum() + product.sum() + same_y.sum()).backward()
    return found.detach(), product.detach(), x.grad, y.grad


# -- arrays and copies ------------------------------------------------------------------------------------------------


@program
def the_array_of_an_expanded_tensor_may_be_written(lib: Any) -> Any:
    x = lib.ones(3)
    x.expand(2, 3).numpy()[0, 0] = 5
    x.expand(1, 3).numpy()[0, 1] = 6
    np.asarray(lib.broadcast_tensors(x, lib.ones(2, 1))[0])[1, 2] = 7
    return x


@program
def constructors_give_views_of_tensors(lib: Any) -> Any:
    class Own(lib.Tensor):  # type: ignore[misc]
        pass

    out = []
    for x in (lib.ones(3), lib.ones(3, requires_grad=True), lib.ones(3, requires_grad=True)[1:]):
        views = lib.Tensor(x), lib.FloatTensor(x), x.new(x), Own(x)
        out += [(bool(shared([x, each])), each._is_view(), each) for each in views]
        out += [attempt(lambda x=x: lib.LongTensor(x))[1], attempt(lambda x=x: x.new(x.double()))[1]]
    return out


@program
def copies_of_parameters_have_no_gradient(lib: Any) -> Any:
    layer = lib.nn.Linear(2, 2)
    layer(lib.ones(1, 2)).sum().backward()
    layer.weight.note = 1
    again = copy.deepcopy(layer)
    return again.weight.grad, layer.weight.grad, hasattr(again.weight, "note"), again.weight.requires_grad


@program
def copies_of_parameters_share_nothing(lib: Any) -> Any:
    data = lib.arange(6.0).reshape(2, 3)
    held = [lib.nn.Parameter(data), data, lib.nn.Parameter(data[0]), lib.nn.Parameter(data.t())]
    again = [*copy.deepcopy(held), *copy.deepcopy([held[0], held[0]]), pickle.loads(pickle.dumps(held[0]))]
    return sorted(shared([*held, *again], 4)), [t.stride() for t in again]


@program
def states_of_optimizers_share_what_torchs_do(lib: Any) -> Any:
    out = []
    for name, options in (("SGD", {"momentum": 0.9}), ("Adam", {"amsgrad": True}), ("RMSprop", {"momentum": 0.5})):
        p, q = lib.tensor([1.0, 2.0], requires_grad=True), lib.tensor([1.0, 3.0], requires_grad=True)
        mine = getattr(lib.optim, name)([p, q], lr=0.1, **options)
        (p * q).sum().backward()
        mine.step()
        state = mine.state_dict()
        other = getattr(lib.optim, name)([p, q], lr=0.1, **options)
        other.load_state_dict(state)
        held = [p, q, p.grad, q.grad]
        for each in (mine, other, copy.deepcopy(state), pickle.loads(pickle.dumps(other))):
            each = each if isinstance(each, dict) else each.state_dict()
            held += [each["state"][i][key] for i in (0, 1) for key in sorted(each["state"][i])]
        out.append((len(held), sorted(shared(held))))
    return out


@program
def states_of_modules_share_what_torchs_do(lib: Any) -> Any:
    out = []
    for assign in (False, True):
        mine, other = (lib.nn.Sequential(lib.nn.Linear(3, 3), lib.nn.BatchNorm1d(3), lib.nn.Linear(3, 3)) for _ in range(2))
        mine[2].weight = mine[0].weight
        other.load_state_dict(mine.state_dict(), assign=assign)
        held = [mine, other, copy.deepcopy(mine), pickle.loads(pickle.dumps(mine)), copy.copy(mine)]
        out.append(sorted(shared([t for each in held for t in each.state_dict(keep_vars=True).values()])))
    return out


@program
def saved_tensors_have_memory_of_their_own(lib: Any) -> Any:
    x, file = lib.ones(3), io.BytesIO()
    lib.save({"a": x, "b": x.clone()}, file)
    file.seek(0)
    found = lib.load(file)
    return sorted(shared([x, *found.values()]))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("each", PROGRAMS, ids=lambda each: each.__name__)
def test_writes_are_seen_where_torchs_are(each: Callable[[Any], Any]) -> None:
    same(each, torch)
