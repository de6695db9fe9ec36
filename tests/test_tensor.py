"""Attributes, conversions and protocols of Tensor against torch, expression by expression."""

from __future__ import annotations

import copy
import math
import operator
import pickle
import re
import warnings
from typing import Any

import numpy as np
import pytest

import gradcore

torch = pytest.importorskip("torch")


def names(library: Any) -> dict[str, Any]:
    return {
        "t": library,
        "np": np,
        "copy": copy,
        "math": math,
        "operator": operator,
        "pickle": pickle,
        "a": library.arange(6.0).reshape(2, 3),
        "b": library.tensor([1, 2, 3]),
        "e": library.zeros(0, 3),
        "g": library.tensor([1.0, 2.0], requires_grad=True),
        "h": library.tensor([1.5, 2.0], dtype=library.bfloat16),
        "i": library.tensor(3),
        "o": library.tensor([[4.5]]),
        "s": library.tensor(2.5),
        "true": library.tensor(True),
        "u": library.tensor([1, 255], dtype=library.uint8),
        "x": library.zeros(2, 1, 4),
        "z": library.tensor([1 + 2j, 3j]),
    }


def seen(library: Any, x: Any) -> Any:
    """What a user sees of a value, comparable between the libraries."""
    if isinstance(x, library.Tensor):
        return str(x.dtype), tuple(x.shape), repr(x)
    if isinstance(x, (list, tuple)) and any(isinstance(each, library.Tensor) for each in x):
        return [seen(library, each) for each in x]
    if isinstance(x, np.ndarray):
        return x.dtype, x.shape, repr(x)
    return type(x).__name__, re.sub(r"0x[0-9a-f]+|(at|object) .*>", "", repr(x))


def outcome(library: Any, text: str) -> Any:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = seen(library, eval(text, names(library)))
        except Exception as error:
            return type(error)
    told = [str(w.message)[:60] for w in caught if "__array_" not in str(w.message)]  # torch's NumPy 2 debts
    return found, told


EXPRESSIONS = """
a.item() ;; s.item() ;; i.item() ;; o.item() ;; e.item() ;; true.item() ;; z[0].item() ;; h[0].item()
h.tolist() ;; u.tolist() ;; a.tolist() ;; s.tolist() ;; e.tolist() ;; z.tolist() ;; true.tolist() ;; len(a)
len(s) ;; len(e) ;; [x.shape for x in a] ;; [x for x in b] ;; list(s) ;; list(e) ;; bool(a) ;; bool(s)
bool(e) ;; bool(o) ;; bool(t.tensor([])) ;; bool(z[0]) ;; bool(t.tensor(float('nan'))) ;; float(s)
float(i) ;; float(o) ;; float(a) ;; float(z[0]) ;; int(s) ;; int(i) ;; int(a) ;; int(true)
int(t.tensor(float('inf'))) ;; complex(s) ;; complex(z[0]) ;; complex(z) ;; operator.index(i)
operator.index(s) ;; operator.index(b) ;; operator.index(t.tensor([3])) ;; operator.index(true)
range(5)[i] ;; [10,20,30,40][i] ;; 1 in b ;; 5 in b ;; s in a ;; 'a' in b ;; [1] in b ;; None in b ;; b in b
i in b ;; hash(a)==hash(a) ;; a==a ;; {a:1}[a] ;; format(s,'.2f') ;; format(i,'d') ;; format(a,'.2f')
format(a,'') ;; format(g[0],'.3f') ;; f'{s}' ;; f'{g}' ;; str(a) ;; copy.copy(a) ;; copy.deepcopy(a)
copy.deepcopy(g) ;; copy.deepcopy(g*2) ;; copy.deepcopy(g).is_leaf
copy.deepcopy({'x':g,'y':g})['x'].requires_grad ;; copy.copy(g).requires_grad
pickle.loads(pickle.dumps(a)) ;; pickle.loads(pickle.dumps(g)).requires_grad
pickle.loads(pickle.dumps(a.t())).stride() ;; a.numpy() ;; a.numpy().flags.writeable ;; g.numpy()
g.detach().numpy() ;; (g*2).numpy() ;; g.numpy(force=True) ;; np.asarray(a) ;; np.asarray(g) ;; np.array(a)
np.array(a,dtype=np.float64).dtype ;; np.asarray(a,dtype='f8').dtype ;; np.array(a,copy=True) ;; np.sin(a)
np.add(a,1) ;; np.add(np.ones(3),a) ;; a+np.ones(3) ;; np.float64(2)*a ;; a*np.float64(2) ;; np.float32(2)*a
a*np.float32(2) ;; a==np.ones(3)
math.sqrt(s) ;; math.floor(s) ;; round(s) ;; round(a) ;; round(s,1) ;; abs(-a) ;; -a ;; +a ;; ~b ;; ~true
divmod(a,2) ;; divmod(7,b) ;; a//2 ;; a%2 ;; 2**a ;; a**2 ;; a@a ;; a.t()@a ;; b<<1 ;; b>>1 ;; b&1 ;; b|1
b^1 ;; 1-a ;; 1/a ;; 5//b ;; 5%b ;; a<b ;; a!=b ;; a>=1 ;; 1<a ;; a is None ;; a.shape ;; a.size()
a.size(1) ;; a.size(-1) ;; a.size(2) ;; s.size() ;; s.size(0) ;; a.size(dim=1) ;; a.stride() ;; a.stride(0)
a.stride(-1) ;; a.stride(5) ;; s.stride() ;; s.stride(0) ;; e.stride() ;; t.zeros(3,0).stride()
t.zeros(3,0,4).stride() ;; x.stride() ;; x.squeeze(1).stride() ;; a.t().stride() ;; a[:,1:].stride()
a[:,1:].storage_offset() ;; a[1].storage_offset() ;; a.dim() ;; a.ndim ;; a.ndimension() ;; a.numel()
a.nelement() ;; a.dtype ;; a.device ;; a.device=='cpu' ;; a.device.type ;; a.device.index ;; a.is_cuda
a.get_device() ;; a.itemsize ;; a.element_size() ;; a.nbytes ;; a.is_contiguous() ;; a.t().is_contiguous()
a[:,1:].is_contiguous() ;; a.is_floating_point() ;; b.is_floating_point() ;; z.is_complex() ;; b.is_signed()
u.is_signed() ;; a.type() ;; b.type() ;; u.type() ;; true.type() ;; h.type() ;; z.type()
t.ones(1,dtype=t.float16).type() ;; t.ones(1,dtype=t.int8).type() ;; t.ones(1,dtype=t.int16).type()
t.ones(1,dtype=t.int32).type() ;; t.ones(1,dtype=t.uint16).type() ;; a.type(t.int32)
a.type('t.IntTensor') ;; a.layout ;; a.is_sparse ;; a.is_quantized ;; a.is_meta ;; a.is_mkldnn ;; a.is_mps
a.is_xpu ;; a.is_nested ;; a.is_sparse_csr ;; a.is_leaf ;; g.is_leaf ;; (g*2).is_leaf ;; (g*2).requires_grad
g.grad ;; (g*2).retains_grad ;; g.retains_grad ;; g.requires_grad_(False).requires_grad
b.requires_grad_() ;; (g*2).requires_grad_(False) ;; setattr(b,'requires_grad',True) ;; g.data.is_leaf
g.detach().requires_grad ;; g._version ;; a.is_shared() ;; a.is_pinned() ;; a.is_inference() ;; a.T.shape
t.zeros(2,3,4).mT.shape ;; z.real ;; z.imag ;; a.real is a ;; a.imag ;; a.new_tensor([1]) ;; a.foo
setattr(a,'foo',3) ;; a.__class__.__name__ ;; isinstance(a,t.Tensor) ;; t.is_tensor(a) ;; t.is_tensor(3)
t.numel(a) ;; t.numel(3) ;; t.is_nonzero(s) ;; t.is_nonzero(a) ;; s.is_nonzero() ;; t.result_type(a,1)
t.result_type(b,1.5) ;; t.result_type(1,2.) ;; t.result_type(b,a) ;; t.result_type(s,b)
t.result_type(b,true) ;; t.can_cast(t.float,t.int) ;; t.promote_types(t.int32,t.float16)
t.is_floating_point(a) ;; t.is_floating_point(3) ;; t.is_complex(z) ;; t.is_same_size(a,a.t())
a.is_same_size(a) ;; a.is_set_to(a) ;; a.is_set_to(a.view(2,3)) ;; a.is_set_to(a.clone())
t.get_default_dtype() ;; t.is_storage(a) ;; t.is_grad_enabled() ;; t.is_inference_mode_enabled()
t.FloatTensor([1,2]) ;; t.LongTensor([1,2]) ;; t.FloatTensor(2,3).shape ;; t.DoubleTensor([1])
t.BoolTensor([1,0]) ;; t.ByteTensor([1,2]) ;; t.LongTensor([1.5]) ;; isinstance(a,t.FloatTensor)
isinstance(b,t.FloatTensor) ;; isinstance(b,t.LongTensor) ;; a.new(2,2).shape ;; a.new([1,2])
a.dim_order() ;; a.untyped_storage().nbytes() ;; a.__array_priority__ ;; np.from_dlpack(a)
np.from_dlpack(g) ;; t.from_dlpack(a) ;; a.__cuda_array_interface__ ;; reversed(b) ;; reversed(s) ;; sum(b)
sum([s,s]) ;; max(b) ;; min(b) ;; sorted(b) ;; any(b) ;; all(b) ;; list(map(float,b)) ;; list(zip(b,b))
[*b] ;; b.tolist()==[1,2,3] ;; x.shape[0] ;; tuple(a.shape) ;; a.shape==(2,3) ;; a.shape==t.Size([2,3])
a.shape[1:] ;; a.shape.numel() ;; a.apply_(lambda x: x*2) ;; b.map_(b,lambda x,y:x+y)
a.data_ptr()==a.data_ptr() ;; a.view(-1).data_ptr()==a.data_ptr() ;; a.__len__() ;; a.mH.shape
t.tensor(2).__index__() ;; a.detach_() is a ;; t.Tensor.add(a,1) ;; t.Tensor.__name__
t.Tensor.shape.__get__(a) ;; a.requires_grad ;; setattr(a,'requires_grad',True)
setattr(a,'grad',a.clone()) ;; setattr(a,'grad',3) ;; setattr(a,'grad',b) ;; setattr(a,'data',b)
setattr(g,'data',b) ;; setattr(a,'shape',(3,2)) ;; setattr(a,'dtype',t.float64) ;; setattr(a,'device','cpu')
setattr(a,'T',1)
"""


@pytest.mark.parametrize("text", [each for line in EXPRESSIONS.split("\n")[1:-1] for each in line.split(" ;; ")])
def test_expressions(text: str) -> None:
    assert outcome(gradcore, text) == outcome(torch, text)


# Where torch refuses, or says it in another way.
BEYOND = {
    "(np.ones(3) + a).tolist()": [[1, 2, 3], [4, 5, 6]],
    "np.sum(a).item()": 15,
    "np.mean(a).item()": 2.5,
    "np.stack([a, a]).shape": (2, 2, 3),
    "round(np.linalg.norm(a).item(), 4)": 7.4162,
    "(np.ones((2, 3)) * a).tolist()": [[0, 1, 2], [3, 4, 5]],
    "h.numpy().dtype.name": "bfloat16",
    "np.asarray(a, copy=False) is a._array": True,
    "np.shares_memory(np.from_dlpack(a), a.numpy())": True,
    "a.__dlpack_device__()": (1, 0),
    "len({a, a.clone(), a})": 2,
    "t.from_numpy(np.arange(3.)[::-1]).stride()": (-1,),
}


@pytest.mark.parametrize(("text", "expected"), BEYOND.items())
def test_beyond_torch(text: str, expected: Any) -> None:
    assert eval(text, names(gradcore)) == expected


@pytest.mark.parametrize("statement", ["del x.shape", "x.nothing", "del x[0]", "x.dtype = t.float64", "x.T = 1"])
def test_what_cannot_be_set(statement: str) -> None:
    kinds = []
    for library in (torch, gradcore):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            exec(statement, {"x": library.ones(2), "t": library})
        kinds.append(caught.type)
    assert kinds[0] is kinds[1]


def test_attributes_of_ones_own() -> None:
    x = gradcore.ones(2)
    x.label = "mine"
    assert x.label == "mine"
    x.requires_grad = True
    x.grad = gradcore.ones(2)
    del x.grad
    assert x.grad is None


def test_copies_keep_what_they_should() -> None:
    g = gradcore.tensor([1.0, 2.0], requires_grad=True)
    (g * g).sum().backward()
    deep = copy.deepcopy({"first": g, "again": g})
    assert deep["first"] is deep["again"]
    assert deep["first"].grad.tolist() == [2, 4]
    deep["first"].data.zero_()
    deep["first"].grad.zero_()
    assert g.tolist() == [1, 2]
    assert g.grad.tolist() == [2, 4]
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        back = pickle.loads(pickle.dumps(g, protocol))
        assert back.tolist() == [1, 2]
        assert back.requires_grad
        assert back.is_leaf
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(g * 2)


def test_pickles_of_every_dtype_and_place(strict_cuda: Any) -> None:
    for name in ("bool", "uint8", "int64", "float16", "bfloat16", "float64", "complex64"):
        x = gradcore.ones(2, dtype=getattr(gradcore, name))
        back = pickle.loads(pickle.dumps(x))
        assert back.dtype is x.dtype
        assert back.tolist() == x.tolist()
    x = gradcore.ones(2, device="cuda")
    back = pickle.loads(pickle.dumps(x))
    assert back.device == x.device
    assert back.tolist() == [1, 1]


def test_views_and_aliases() -> None:
    x = gradcore.arange(6.0)
    part = x[2:]
    assert part.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    assert part.untyped_storage() == x.untyped_storage()
    assert part.data_ptr() == x.data_ptr() + 2 * x.element_size()
    assert part.storage_offset() == 2
    assert not part.is_set_to(x)
    assert x.clone().untyped_storage() != x.untyped_storage()
    shared = x.numpy()
    shared[3] = 10
    assert part[1].item() == 10


def test_a_device_tensor_speaks_for_itself(strict_cuda: Any) -> None:
    x = gradcore.arange(3.0, device="cuda")
    assert x.is_cuda
    assert not x.is_cpu
    assert x.get_device() == 0
    assert x.type() == "torch.cuda.FloatTensor"
    assert isinstance(x, gradcore.cuda.FloatTensor)
    assert not isinstance(x, gradcore.FloatTensor)
    assert x.type("torch.LongTensor").device.type == "cpu"
    assert float(x[1]) == 1
    assert bool(x[2])
    assert [each.item() for each in x] == [0, 1, 2]
    with pytest.raises(TypeError, match="cuda:0 device type tensor to numpy"):
        np.asarray(x)
