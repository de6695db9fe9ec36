"""Lines as people write them, right and wrong ones, run by torch beside gradcore: results, reprs and types of errors.

It must not know how they are done.
"""

from __future__ import annotations

import copy
import decimal
import fractions
import json
import math
import operator
import pickle
from typing import Any

import numpy as np
import pytest

import gradcore

torch = pytest.importorskip("torch")

LINES = """
math.sqrt(T.tensor(4.))
math.floor(T.tensor(4.5))
math.floor(T.tensor([4.5]))
math.isclose(T.tensor(1.), 1.0)
round(T.tensor(2.567), 2)
round(T.tensor(2.567))
abs(T.tensor(-2))
divmod(T.tensor(7.), 2)
pow(T.tensor(2.), 3)
pow(2, T.tensor(3.))
T.tensor(3) in [T.tensor(3), 4]
3 in T.tensor([1,2,3])
T.tensor([1.,2.]) in [1]
sum([T.tensor(1.), T.tensor(2.)])
max(T.tensor(1.), T.tensor(2.))
max(T.tensor([1.,3.]))
min(T.tensor([1.,3.]), default=0)
sorted([T.tensor(3.), T.tensor(1.)])
sorted(T.tensor([3.,1.]))
list(T.arange(3))
list(map(float, T.arange(3)))
[1,2,3][T.tensor(1)]
[1,2,3][T.tensor(0):T.tensor(2)]
range(T.tensor(3))
"a"*T.tensor(3)
[0]*T.tensor(2)
f"{T.tensor(3.14159):.2f}"
f"{T.tensor([3.14159]):.2f}"
f"{T.tensor([3.14159])}"
"%d" % T.tensor(3)
"%.2f" % T.tensor(3.14159)
str(T.tensor(3))
repr(T.Size([1,2]))
T.Size([1,2]) + (3,)
T.Size([1,2]) + T.Size([3])
T.Size([1,2])[0:1]
T.Size([2,3]).numel()
bool(T.tensor([]))
bool(T.tensor([1,2]))
bool(T.tensor([[0]]))
int(T.tensor([3]))
float(T.tensor([[3.5]]))
complex(T.tensor(1+2j))
int(T.tensor(1+2j))
operator.index(T.tensor(3))
operator.index(T.tensor(3.))
operator.index(T.tensor(True))
len(T.tensor(3))
iter(T.tensor(3))
T.tensor([1,2]) == [1,2]
T.tensor([1,2]) == None
T.tensor([1,2]) != "a"
T.tensor([1,2]) < None
T.tensor([1,2]) + "a"
T.tensor([1,2]) + None
T.tensor([1,2]) + [1,2]
[1,2] + T.tensor([1,2])
T.tensor([1,2]) @ T.tensor([1,2])
T.tensor([1,2]) // 0
T.tensor([1.,2]) // 0
T.tensor([1,2]) % 0
T.tensor([5,-7]) >> 1
1 << T.tensor([1,2])
~T.tensor([True, False])
~T.tensor([1.5])
-T.tensor([True])
T.tensor([True]) - T.tensor([True])
T.tensor([1,2]) & T.tensor([True,False])
T.tensor([1.]) & 1
T.tensor(2) ** -1
T.tensor([2]) ** T.tensor([-1])
T.tensor([2]) ** 0.5
2 ** T.tensor([1, 2])
T.tensor([1,2]).T
T.arange(6).reshape(2,3).mT
T.tensor(5).T
T.arange(24).reshape(2,3,4).T
T.tensor([1,2,3])[::-1]
T.tensor([1,2,3])[5]
T.tensor([1,2,3])[1.0]
T.tensor([1,2,3])["a"]
T.tensor([1,2,3])[None, ..., None]
T.tensor([1,2,3])[[True, False, True]]
T.tensor([1,2,3])[[True, False]]
T.tensor([1,2,3])[()]
T.tensor([1,2,3])[True]
T.tensor([1,2,3])[False]
T.tensor(3)[0]
T.tensor(3)[...]
T.tensor([[1,2],[3,4]])[[0,1],[1,0]]
T.tensor([[1,2],[3,4]])[T.tensor([0,1]), 1:]
T.tensor([[1,2],[3,4]])[np.array([0,1])]
T.tensor([[1,2],[3,4]])[np.int64(1)]
copy.copy(T.tensor([1.,2.], requires_grad=True))
copy.deepcopy(T.tensor([1.,2.], requires_grad=True))
copy.deepcopy(T.tensor([1.,2.], requires_grad=True) * 2)
pickle.loads(pickle.dumps(T.tensor([1.,2.], requires_grad=True)))
pickle.loads(pickle.dumps(T.float32)) is T.float32
json.dumps(T.tensor(1.).item())
json.dumps(T.tensor([1.]).tolist())
np.array(T.tensor([1,2]))
np.asarray(T.tensor([1.,2.], requires_grad=True))
np.array([T.tensor(1.), T.tensor(2.)])
np.float64(2.) * T.tensor([1.,2.])
T.tensor([1.,2.]) * np.float64(2.)
T.tensor([1.,2.]) + np.array([1.,2.])
T.tensor(np.arange(3))
T.tensor(np.float32(3))
T.tensor([np.float64(1), 2])
T.tensor([T.tensor(1), T.tensor(2)])
T.tensor([[1,2],[3]])
T.tensor("a")
T.tensor(None)
T.tensor([None])
T.tensor({})
T.tensor(range(3))
T.tensor((1,2.))
T.tensor([True, 2])
T.tensor([1, 2j])
T.tensor(decimal.Decimal(1))
T.tensor(fractions.Fraction(1,2))
T.tensor(2**40)
T.tensor(2**63)
T.tensor(2**70)
T.tensor(-2**63)
T.tensor(300, dtype=T.uint8)
T.tensor(-1, dtype=T.uint8)
T.tensor(1e300)
T.tensor(1e300, dtype=T.float16)
T.tensor(float("nan"), dtype=T.int64)
T.tensor([1.5]).to(T.int32)
T.tensor([-1.5]).to(T.uint8)
T.tensor(3.7).long()
T.zeros(2, 3).view(-1)
T.zeros(2, 3).view(4)
T.zeros(2, 3).t().view(6)
T.zeros(2,3).reshape(-1, -1)
T.zeros(-1)
T.zeros(2.0)
T.zeros((2,), (3,))
T.ones(2, dtype=float)
T.ones(2, dtype=int)
T.ones(2, dtype="float32")
T.ones(2, device="cpu:0")
T.ones(2, device="tpu")
T.arange(5, 1)
T.arange(0, 1, 0)
T.arange(0, 1, 0.3)
T.arange(3.)
T.linspace(0, 1, 0)
T.linspace(0, 1, -1)
T.eye(2, 3)
T.full((2,), 3)
T.full((2,), True)
T.full((2,), 1j)
T.cat([])
T.cat([T.ones(1), T.ones(1, dtype=T.int64)])
T.cat([T.ones(1,2), T.ones(1,3)])
T.stack([T.ones(1), T.ones(2)])
T.stack([])
T.ones(2).item()
T.ones(2,3).sum(2)
T.ones(2,3).sum((0,0))
T.ones(2,3).max(-3)
T.ones(0).max()
T.ones(0).sum()
T.ones(0).mean()
T.ones(0,3).max(0)
T.arange(3).mean()
T.arange(3).std()
T.arange(3).softmax(0)
T.ones(2, requires_grad=True).numpy()
T.ones(2, dtype=T.int64, requires_grad=True)
T.ones(2, requires_grad=True).backward()
T.ones(2).sum().backward()
T.ones(2, requires_grad=True).sum().backward(T.ones(2))
T.ones(2, requires_grad=True).add_(1)
T.ones(2, requires_grad=True).data.add_(1)
T.ones(2, requires_grad=True)[0].item()
(T.ones(2, requires_grad=True) * 2).requires_grad_(False)
(T.ones(2, requires_grad=True) * 2).grad
T.ones(2).grad_fn
T.ones(2).retain_grad()
T.autograd.grad(T.ones(()), T.ones(()))
T.nn.Linear(2, 3)
T.nn.Linear(2, 3)(T.ones(4))
T.nn.Sequential(T.nn.Linear(2, 3), T.nn.ReLU())
T.nn.Module().foo
T.nn.Embedding(3, 2)(T.tensor([3]))
T.nn.functional.cross_entropy(T.ones(2,3), T.tensor([0,3]))
T.nn.functional.cross_entropy(T.ones(2,3), T.tensor([0.,1.]))
T.nn.functional.mse_loss(T.ones(2), T.ones(3))
T.nn.functional.conv2d(T.ones(1,1,3,3), T.ones(1,2,3,3))
T.nn.functional.conv2d(T.ones(1,1,2,2), T.ones(1,1,3,3))
T.optim.SGD([], lr=.1)
T.optim.SGD([T.ones(2)], lr=-1)
T.optim.SGD(T.ones(2), lr=.1)
T.ones(2,3) @ T.ones(2,3)
T.matmul(T.ones(()), T.ones(2))
T.einsum("ij,jk", T.ones(2,3), T.ones(3,4)).shape
T.einsum("ij,jk", T.ones(2,3), T.ones(4,4))
T.einsum("i", T.ones(2,3))
T.where(T.tensor([True]), 1, 2.)
T.where(T.tensor([1]), 1, 2)
T.masked_select(T.ones(2), T.tensor([1, 0]))
T.topk(T.ones(2), 3)
T.gather(T.ones(2,2), 0, T.tensor([0]))
T.linalg.inv(T.zeros(2,2))
T.linalg.cholesky(-T.eye(2))
T.linalg.solve(T.ones(2,2), T.ones(3))
T.linalg.inv(T.ones(2,3))
T.promote_types(T.int8, T.uint8)
T.result_type(T.ones(1, dtype=T.int32), 1.5)
T.finfo(T.float32)
T.iinfo(T.int8)
T.finfo(T.int8)
T.device("cuda:1")
T.device("cuda", 1)
T.device("foo")
T.float32
T.float32.is_floating_point
T.is_tensor(3)
T.get_default_dtype()
T.set_default_dtype(T.int32)
T.broadcast_shapes((2,1),(3,))
T.broadcast_shapes((2,),(3,))
T.broadcast_tensors(T.ones(2), T.ones(3))
T.meshgrid(T.ones(2), T.ones(3))
T.split(T.ones(5), 2)
T.split(T.ones(5), [2,2])
T.chunk(T.ones(5), 0)
T.ones(5).unfold(0, 6, 1)
T.histc(T.tensor([1.,2.]), 2)
T.bincount(T.tensor([-1]))
T.bincount(T.tensor([1.]))
T.multinomial(T.tensor([0.,0.]), 1)
T.multinomial(T.tensor([-1.,1.]), 1)
T.bernoulli(T.tensor([2.]))
T.normal(0, -1, (2,))
T.randint(3, 3, (2,))
T.randperm(-1)
T.tril(T.ones(3))
T.diag(T.ones(2,2,2))
T.trace(T.ones(2,2,2))
T.cross(T.ones(2), T.ones(2))
T.squeeze(T.ones(2), 1)
T.unsqueeze(T.ones(2), 3)
T.flip(T.ones(2), [0,0])
T.roll(T.ones(2), 1, 2)
T.permute(T.ones(2,3), (0,0))
T.transpose(T.ones(2,3), 0, 2)
T.movedim(T.ones(2,3), 0, 5)
T.expand_copy(T.ones(2), (3, 2))
T.ones(2).expand(3)
T.ones(2).expand(-1, 2)
T.ones(2).repeat()
T.ones(2,2).repeat(2)
T.ones(2).type()
T.ones(2).type("torch.DoubleTensor")
T.ones(2).__array_priority__
T.ones(2).nbytes
T.ones(2).element_size()
T.ones(2,3).stride()
T.ones(2,3).is_contiguous()
T.ones(2,3).t().is_contiguous()
T.ones(2).storage_offset()
T.ones(2).is_cuda
T.ones(2).layout
T.ones(2).device
T.ones(2).dtype
T.ones(2).names
T.ones(2).foo
T.foo
T.ones(2).shape.foo
T.neg(T.tensor([True]))
T.sub(T.tensor([True]), T.tensor([True]))
T.tensor([True]) - True
T.tensor([True]).sub_(True)
T.rsub(T.tensor([True]), T.tensor([True]))
~T.tensor([1j])
T.bitwise_not(T.tensor([1.5]))
T.ones(2) << 1.5
""".strip().splitlines()
NAMES = {module.__name__: module for module in (copy, decimal, fractions, json, math, operator, pickle)} | {"np": np}


def ran(T: Any, line: str) -> tuple[type[Exception] | None, str]:
    """The type of what was raised, and the message; or None and the repr of what came."""
    try:
        return None, repr(eval(line, {**NAMES, "T": T})).replace("gradcore", "torch")
    except Exception as error:
        return type(error), str(error)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("line", LINES)
def test_a_line_does_as_in_torch(line: str) -> None:
    raised, expected = ran(torch, line)
    ours, found = ran(gradcore, line)
    if raised is None:
        assert (ours, found) == (None, expected)
    else:
        assert ours is not None, found
        assert issubclass(ours, raised) or raised.__name__.lstrip("_") == ours.__name__, found
