"""The pretended frontend of cuDNN: graphs of a convolution or of attention, which it plans by its rules and computes.

`installed()` makes `import cudnn` find it. It must not know gradcore, but for the switch that it makes look again. A step
out of order, an argument that the frontend has not, a stream that is not current, or an address of no array is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from itertools import product
from types import ModuleType
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from tests.double import graphs, queues
from tests.double.arrays import living, ndarray, to_host
from tests.double.machine import current


class Named(Enum):
    """A name of the frontend's."""


data_type = Named("data_type", "NOT_SET HALF BFLOAT16 FLOAT DOUBLE")  # type: ignore[call-overload]
heur_mode = Named("heur_mode", "A B FALLBACK")  # type: ignore[call-overload]
diagonal_alignment = Named("diagonal_alignment", "TOP_LEFT BOTTOM_RIGHT")  # type: ignore[call-overload]
numerical_note = Named("numerical_note", "TENSOR_CORE DOWN_CONVERT_INPUTS NONDETERMINISTIC")  # type: ignore[call-overload]
DTYPES = {data_type.HALF: "float16", data_type.BFLOAT16: "bfloat16", data_type.FLOAT: "float32", data_type.DOUBLE: "float64"}

# The ways that cuDNN knows, what is noted of them, the bytes they work in and the time they take.
WAYS: list[tuple[str, set[Any], int, int]] = [
    ("tensor cores", {numerical_note.TENSOR_CORE}, 4096, 5),
    ("scattered", {numerical_note.NONDETERMINISTIC}, 0, 1),
    ("plain", set(), 512, 3),
]
runs: list[tuple[str, str]] = []  # what was run, and in which way
planned: list[pygraph] = []


class cudnnGraphNotSupportedError(Exception):
    """cuDNN has no way to compute a graph."""


class Handle:
    """What belongs to a device and gives its work to a stream."""

    def __init__(self) -> None:
        self.device, self.stream = current.id, 0


def set_stream(handle: Handle, stream: int) -> None:
    handle.stream = stream


class Tensor:
    """An operand or a result of a graph."""

    def __init__(self, dim: Any = None, stride: Any = None, kind: Any = None) -> None:
        self.dim, self.stride, self.kind, self.is_output = dim, stride, kind, False

    def set_output(self, value: bool) -> Tensor:
        self.is_output = value
        return self

    def set_dim(self, dim: list[int]) -> Tensor:
        self.dim = dim
        return self

    def set_stride(self, stride: list[int]) -> Tensor:
        self.stride = stride
        return self

    def set_data_type(self, kind: Any) -> Tensor:
        self.kind = kind
        return self


STEPS = "described validated lowered planned supported built".split()


class Convolution(NamedTuple):
    """One of the three, of two operands."""

    way: str
    ends: tuple[Tensor, Tensor, Tensor]
    geometry: tuple[Any, ...]

    def check(self, io: Any) -> None:
        padding, stride, dilation = self.geometry
        order = {"forward": (0, 1, 2), "transposed": (2, 1, 0), "kernel": (0, 2, 1)}[self.way]
        x, w, y = (self.ends[i].dim for i in order)
        assert len(x) == len(w) == len(y) >= 4, "cuDNN convolves over two axes or three"
        assert all(len(each) == len(x) - 2 for each in self.geometry)
        out = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, p, s, d in zip(x[2:], w[2:], padding, stride, dilation)]  # noqa: B905
        if y != [x[0], w[0], *out] or x[1] % w[1] or w[0] % (x[1] // w[1]):
            raise ValueError(f"no convolution of {x} by {w} is {y}")
        assert [each.is_output for each in self.ends] == [False, False, True]
        assert all(each.kind is io for each in self.ends)

    def run(self, arrays: list[ndarray]) -> None:
        convolved(self.way, [end.dim for end in self.ends], self.geometry, *arrays)


class Attention(NamedTuple):
    """Attention, or its derivative: of q, k, v, the result and the statistics, then of the cotangents."""

    way: str
    ends: tuple[Tensor, ...]
    scale: float
    ahead: int | None

    def check(self, io: Any) -> None:
        if io not in (data_type.HALF, data_type.BFLOAT16):
            raise cudnnGraphNotSupportedError("sdpa is of 16 bits")
        (b, h, rows, depth), (_, _, columns, width) = self.ends[0].dim, self.ends[2].dim
        if depth % 8 or width % 8:
            raise cudnnGraphNotSupportedError("hidden_dim should be multiple of 8")
        if self.ahead is None and rows == columns == 1:
            raise cudnnGraphNotSupportedError("s_q = s_kv = 1 is not supported.")
        q, k, v, o = [b, h, rows, depth], [b, h, columns, depth], [b, h, columns, width], [b, h, rows, width]
        dims = [q, k, v, o, [b, h, rows, 1], *([o, q, k, v] if self.way.endswith("backward") else [])]
        assert [each.dim for each in self.ends] == dims
        given = 3 if self.way == "attention" else 6
        assert [each.is_output for each in self.ends] == [i >= given for i in range(len(dims))]
        assert all(each.kind is (data_type.FLOAT if i == 4 else io) for i, each in enumerate(self.ends))

    def run(self, arrays: list[ndarray]) -> None:
        attended(self.scale, self.ahead, [end.dim for end in self.ends], *arrays)


class pygraph:
    """A graph of one operation."""

    def __init__(self, *, io_data_type: Any, intermediate_data_type: Any, compute_data_type: Any, handle: Handle) -> None:
        self.io, self.wide, self.handle = io_data_type, compute_data_type, handle
        self.step, self.ways, self.barred, self.built = 0, list(WAYS), set(), set()
        self.operation: Any = None

    def tensor(self, *, dim: list[int], stride: list[int], data_type: Any) -> Tensor:
        assert len(dim) == len(stride)
        return Tensor(dim, stride, data_type)

    def conv_fprop(self, *, image: Tensor, weight: Tensor, padding: Any, stride: Any, dilation: Any) -> Tensor:
        return self._of("forward", (image, weight), padding, stride, dilation)

    def conv_dgrad(self, *, loss: Tensor, filter: Tensor, padding: Any, stride: Any, dilation: Any) -> Tensor:
        return self._of("transposed", (loss, filter), padding, stride, dilation)

    def conv_wgrad(self, *, image: Tensor, loss: Tensor, padding: Any, stride: Any, dilation: Any) -> Tensor:
        return self._of("kernel", (image, loss), padding, stride, dilation)

    def _of(self, way: str, operands: Any, *geometry: Any) -> Tensor:
        assert self.operation is None
        result = Tensor()
        self.operation = Convolution(way, (*operands, result), geometry)
        return result

    def sdpa(
        self, *, q: Tensor, k: Tensor, v: Tensor, is_inference: bool, attn_scale: float, diagonal_alignment: Any = None,
        diagonal_band_right_bound: int | None = None,
    ) -> list[Tensor]:  # fmt: skip
        assert self.operation is None
        assert is_inference is False
        assert diagonal_alignment in (None, globals()["diagonal_alignment"].TOP_LEFT)
        made = [Tensor(), Tensor()]
        self.operation = Attention("attention", (q, k, v, *made), attn_scale, diagonal_band_right_bound)
        return made

    def sdpa_backward(
        self, *, q: Tensor, k: Tensor, v: Tensor, o: Tensor, dO: Tensor, stats: Tensor, attn_scale: float,
        use_deterministic_algorithm: bool, diagonal_alignment: Any = None, diagonal_band_right_bound: int | None = None,
    ) -> list[Tensor]:  # fmt: skip
        assert self.operation is None
        assert diagonal_alignment in (None, globals()["diagonal_alignment"].TOP_LEFT)
        way = f"attention {'exactly ' * use_deterministic_algorithm}backward"
        made = [Tensor(), Tensor(), Tensor()]
        self.operation = Attention(way, (q, k, v, o, stats, dO, *made), attn_scale, diagonal_band_right_bound)
        return made

    def _next(self, step: str) -> None:
        assert STEPS[self.step + 1] == step, f"{step} after {STEPS[self.step]}"
        self.step += 1

    def validate(self) -> None:
        self._next("validated")
        for each in self.operation.ends:
            assert each.stride == [int(np.prod(each.dim[i + 1 :], dtype=int)) for i in range(len(each.dim))]
        self.operation.check(self.io)

    def build_operation_graph(self) -> None:
        self._next("lowered")

    def create_execution_plans(self, heuristics: list[Any]) -> None:
        assert heuristics == [heur_mode.A, heur_mode.FALLBACK]
        self._next("planned")
        planned.append(self)

    def deselect_numeric_notes(self, notes: list[Any]) -> None:
        assert STEPS[self.step] == "planned"
        self.barred |= {i for i, (_, has, _, _) in enumerate(self.ways) if has & set(notes)}

    def check_support(self) -> None:
        self._next("supported")
        if self._first() is None:
            raise cudnnGraphNotSupportedError("no way is left")

    def _first(self) -> int | None:
        return next((i for i in range(len(self.ways)) if i not in self.barred), None)

    def build_plans(self) -> None:
        self._next("built")
        self.built.add(self._first())

    def get_execution_plan_count(self) -> int:
        return len(self.ways)

    def build_plan_at_index(self, index: int) -> None:
        assert STEPS[self.step] in ("supported", "built")
        self.step = STEPS.index("built")
        if index in self.barred:
            raise RuntimeError(f"way {index} was deselected")
        self.built.add(index)

    def get_workspace_size(self) -> int:
        return self.get_workspace_size_plan_at_index(self._first())  # type: ignore[arg-type]

    def get_workspace_size_plan_at_index(self, index: int) -> int:
        assert index in self.built
        return self.ways[index][2]

    def execute(self, tensors: dict[Tensor, int], workspace: int, handle: Handle) -> None:
        self.execute_plan_at_index(tensors, workspace, self._first(), handle)  # type: ignore[arg-type]

    def execute_plan_at_index(self, tensors: dict[Tensor, int], workspace: int, index: int, handle: Handle) -> None:
        assert index in self.built
        assert handle is self.handle
        assert (handle.device, handle.stream) == (current.id, queues.get_current_stream().ptr)
        ends = self.operation.ends
        name, _, size, time = self.ways[index]
        assert array_at(workspace).nbytes >= size
        arrays = [array_at(tensors[end]) for end in ends]
        for array, end in zip(arrays, ends, strict=True):
            assert array._host.flags.c_contiguous
            assert (array.size, array.dtype.name) == (int(np.prod(end.dim)), DTYPES[end.kind])
        runs.append((self.operation.way, name))
        for _ in range(time):
            next(queues.Event._clock)
        self.operation.run(arrays)


def array_at(pointer: int) -> ndarray:
    """The array that begins at an address."""
    assert type(pointer) is int
    found = [x for x in list(living.values()) if x.data.ptr == pointer and x._device == current.id]
    assert found, "an address of no array"
    return max(found, key=lambda x: x.nbytes)


@graphs.replayed
def convolved(way: str, dims: list[list[int]], geometry: Any, first: ndarray, second: ndarray, result: ndarray) -> None:
    """The convolution of N images in G groups, a place of the kernel at a time."""
    padding, stride, dilation = geometry
    a, b = (to_host(x, way).astype("f8").reshape(dim) for x, dim in zip((first, second), dims, strict=False))
    x_dim, w_dim, y_dim = {"forward": dims, "transposed": dims[::-1], "kernel": [dims[0], dims[2], dims[1]]}[way]
    (n, c, *_), (o, each, *kernel), out = x_dim, w_dim, y_dim[2:]
    groups = c // each
    x, w, y = np.zeros(x_dim), np.zeros(w_dim), np.zeros(y_dim)
    if way == "forward":
        x, w = a, b
    elif way == "transposed":
        y, w = a, b
    else:
        x, y = a, b
    around = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    grouped = y.reshape(n, groups, o // groups, -1)
    for place in product(*map(range, kernel)):
        steps = zip(place, dilation, stride, out, strict=True)
        cells = (slice(None), slice(None), *(slice(k * d, k * d + (m - 1) * s + 1, s) for k, d, s, m in steps))
        seen = around[cells].reshape(n, groups, each, -1)
        tap = w[(..., *place)].reshape(groups, o // groups, each)
        if way == "forward":
            grouped += np.einsum("ngcs,goc->ngos", seen, tap)
        elif way == "transposed":
            around[cells] += np.einsum("ngos,goc->ngcs", grouped, tap).reshape(n, c, *out)
        else:
            w[(..., *place)] = np.einsum("ngcs,ngos->goc", seen, grouped).reshape(o, each)
    inside = (..., *(slice(p, p + m) for p, m in zip(padding, x_dim[2:], strict=True)))
    made = {"forward": y, "transposed": around[inside], "kernel": w}[way]
    to_host(result, way)[...] = made.reshape(result.shape)


@graphs.replayed
def attended(scale: float, ahead: int | None, dims: list[list[int]], *arrays: ndarray) -> None:
    """Attention by its definition, with the logarithms of the sums for statistics; or the cotangents, if there is one."""
    given = 3 if len(arrays) == 5 else 6
    q, k, v, *more = (
        to_host(x, "sdpa").astype("f8").reshape(dim) for x, dim in zip(arrays[:given], dims[:given], strict=True)
    )
    scores = np.einsum("bhqe,bhke->bhqk", q, k) * scale
    if ahead is not None:
        scores[..., ~np.tri(*scores.shape[-2:], ahead, dtype=bool)] = -np.inf
    if more:
        o, levels, g = more
        shares = np.exp(scores - levels)
        d = shares * (np.einsum("bhqv,bhkv->bhqk", g, v) - (g * o).sum(-1, keepdims=True)) * scale
        made = [np.einsum("bhqk,bhke->bhqe", d, k), np.einsum("bhqk,bhqe->bhke", d, q)]
        made.append(np.einsum("bhqk,bhqv->bhkv", shares, g))
    else:
        levels = np.log(np.exp(scores).sum(-1, keepdims=True))
        made = [np.einsum("bhqk,bhkv->bhqv", np.exp(scores - levels), v), levels]
    for array, values in zip(arrays[given:], made, strict=True):
        to_host(array, "sdpa")[...] = values.reshape(array.shape)


def library(version: Any = 91002) -> ModuleType:
    """The pretended module `cudnn`; `version` may be an error."""
    found = ModuleType("cudnn")
    names = data_type, diagonal_alignment, heur_mode, numerical_note
    found.__dict__.update(
        backend_version=mock.Mock(**({"return_value": version} if isinstance(version, int) else {"side_effect": version})),
        create_handle=Handle,
        **{each.__name__: each for each in (set_stream, pygraph, cudnnGraphNotSupportedError, *names)},
    )
    return found


@contextmanager
def installed(found: ModuleType | None) -> Iterator[Any]:
    """Let `import cudnn` find this in the block, or nothing, and gradcore forget what it has found."""
    from gradcore.backends import cudnn
    from tests import double

    known = double.parts()["gradcore.backends.plans"].known
    runs.clear()
    planned.clear()
    with mock.patch.dict("sys.modules", {"cudnn": found}):
        cudnn.found.cache_clear()
        known.handles.clear()
        known.plans.clear()
        try:
            yield cudnn
        finally:
            cudnn.found.cache_clear()
            known.handles.clear()
            known.plans.clear()
