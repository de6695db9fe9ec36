"""vmap: a function of one as a function of many, all at once. It must not know any operation.

The function runs once, on `Batched` arrays. If it needs their values, to choose a way or to make a shape, it runs for each.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from gradcore import generator
from gradcore.backends import numpy as host
from gradcore.backends import of
from gradcore.graph import Leaf, stamps, versions
from gradcore.recorder import views
from gradcore.recorder.inplace import rebase, store
from gradcore.recorder.primitive import registry
from gradcore.recorder.steps import raw
from gradcore.recorder.value import Value, meta, wrap
from gradcore.transforms import trees
from gradcore.transforms.batches import NeedsLoop, is_mapped, tell
from gradcore.transforms.crossings import batch, lift, unbatch
from gradcore.transforms.lifted import Frame, Lifted, inside
from gradcore.transforms.reaching import leads_out

Function = Callable[..., Any]


# -- arrays in, arrays out --------------------------------------------------------------------------------------------


def is_array(x: Any) -> bool:
    """Whether `x` is an array of a backend, one of NumPy's numbers, or a traced array of a function of arrays."""
    if isinstance(x, Value) or not hasattr(x, "shape") or not hasattr(x, "__array_priority__"):
        return False
    try:
        return isinstance(x, (host.generic, of(x).Array))
    except TypeError:
        return hasattr(x, "is_constant")


def as_value(x: Any) -> Any:
    """A Tensor for an array, anything else as it is."""
    if not is_array(x):
        return x
    return x._tensor if hasattr(x, "is_constant") else wrap(host.as_array(x) if isinstance(x, host.generic) else x)


def of_arrays(leaves: Sequence[Any]) -> bool:
    """Whether what a transform is called with are plain arrays, and no Tensors."""
    return any(map(is_array, leaves)) and not any(isinstance(x, Value) for x in leaves)


def program(function: Function, arrays: bool) -> Function:
    """`function` as one of Tensors, which it is unless plain arrays were given."""
    return import_module("gradcore.transforms.programs").program(function) if arrays else function


def as_given(tree: Any, arrays: bool) -> Any:
    """`tree` with arrays in place of Tensors if arrays were given, but for what somebody differentiates."""
    if not arrays:
        return tree
    seen = import_module("gradcore.transforms.programs").seen

    def given(x: Any) -> Any:
        if not isinstance(x, Value):
            return x
        return x._array if x._node is None and not isinstance(x._array, Lifted) else seen(x)

    return trees.mapped(given, tree)


def name_of(function: Function) -> str:
    """What to call a function in messages."""
    if isinstance(function, functools.partial):
        return f"functools.partial({name_of(function.func)}, ...)"
    return getattr(function, "__name__", repr(function))


# -- random numbers ---------------------------------------------------------------------------------------------------


class _Randomness(threading.local):
    """The vmaps that this thread is in: what each says of random numbers, and its frame while that is of batches."""

    def __init__(self) -> None:
        self.active: list[tuple[str, Frame | None]] = []


_randomness = _Randomness()


def _watch(name: str) -> None:
    for how, frame in reversed(_randomness.active):
        if how == "error":
            raise RuntimeError(
                "vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' "
                f"randomness flags on vmap or perform the randomness operation out of vmap ({name})"
            )
        if how == "different" and frame is not None:
            raise NeedsLoop(frame, "")


def randomness_in(frame: Frame) -> str:
    """What the vmap of `frame` says of random numbers."""
    return next((how for how, its in _randomness.active if its is frame), "error")


generator.watchers.append(_watch)


# -- the transform ----------------------------------------------------------------------------------------------------


def vmap(
    func: Function,
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Function:
    """Return a function that applies `func` to each slice of its arguments and joins what it returns.

    `in_dims` says along which dimension (None: the same for all), `out_dims` where results have theirs: a number, or a tree
    like that of the arguments or the results. `randomness` is "error", "different" for each slice, or "same". `chunk_size`
    limits how many slices are done at once. Where values decide the way or a shape, a loop does it, with one warning. Plain
    arrays come back as such. Raises ValueError for dimensions that do not fit, RuntimeError for a random operation.
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def mapped(*args: Any, **keywords: Any) -> Any:
        call = _Call(func, in_dims, out_dims, randomness, keywords)
        return call.run(args, chunk_size)

    return mapped


class _Call:
    """One call of a mapped function."""

    def __init__(self, func: Function, in_dims: Any, out_dims: Any, randomness: str, keywords: dict[str, Any]) -> None:
        self.func, self.in_dims, self.out_dims = func, in_dims, out_dims
        self.randomness, self.keywords = randomness, keywords
        self.name = name_of(func)

    def run(self, args: tuple[Any, ...], chunk_size: int | None) -> Any:
        leaves, self.shape = trees.flat(args)
        arrays = of_arrays(leaves)
        self.func = program(self.func, arrays)
        leaves = list(map(as_value, leaves))
        self.dims = self._dims(args, leaves)
        size = self._size(leaves)
        if chunk_size is None:
            results = self._all(leaves, size)  # which finds their tree
            return as_given(self.made.tree(results), arrays)
        parts = []
        state = generator.default_generator.get_state() if self.randomness == "same" else None
        for start in range(0, max(size, 1), chunk_size):
            if state is not None:
                generator.default_generator.set_state(state)
            index = slice(start, min(start + chunk_size, size))
            parts.append(self._all([_cut(x, d, index) for x, d in zip(leaves, self.dims, strict=True)], index.stop - start))
        return as_given(self._joined(parts), arrays)

    # -- the arguments ------------------------------------------------------------------------------------------------

    def _refuse(self, what: str) -> ValueError:
        return ValueError(f"vmap({self.name}, in_dims={self.in_dims}, ...)(<inputs>): {what}")

    def _dims(self, args: tuple[Any, ...], leaves: Sequence[Any]) -> list[int | None]:
        if not isinstance(self.in_dims, (int, tuple)):
            raise self._refuse(
                "expected `in_dims` to be int or a (potentially nested) tuple matching the structure of inputs, got: "
                f"{type(self.in_dims)}."
            )
        if not args:
            raise ValueError(
                f"vmap({self.name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap "
                "over a function with no inputs. The latter is unsupported."
            )
        dims = trees.spread(self.in_dims, self.shape)
        if dims is None:
            raise self._refuse(
                f"in_dims is not compatible with the structure of `inputs`. in_dims has structure "
                f"{trees.shape_of(self.in_dims)} but inputs has structure {self.shape}."
            )
        return [self._dim(x, dim) for x, dim in zip(leaves, dims, strict=True)]

    def _dim(self, x: Any, dim: Any) -> Any:
        if dim is None:
            return None
        if not isinstance(dim, int):
            raise self._refuse(f"Got in_dim={dim} for an input but in_dim must be either an integer dimension or None.")
        if not isinstance(x, Value):
            raise self._refuse(
                f"Got in_dim={dim} for an input but the input is of type {type(x)}. We cannot vmap over non-Tensor "
                "arguments, please use None as the respective in_dim"
            )
        n = x._array.ndim
        if not -n <= dim < n:
            raise self._refuse(
                f"Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {n} so expected in_dim to "
                f"satisfy -{n} <= in_dim < {n}."
            )
        return dim % n

    def _size(self, leaves: Sequence[Any]) -> int:
        sizes = [x._array.shape[d] for x, d in zip(leaves, self.dims, strict=True) if d is not None]
        if not sizes:
            raise ValueError("vmap: Expected at least one Tensor to vmap over")
        if len(set(sizes)) > 1:
            raise ValueError(
                f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the "
                "mapped dimension"
            )
        return int(sizes[0])

    # -- running ------------------------------------------------------------------------------------------------------

    def _all(self, leaves: Sequence[Any], size: int) -> list[Value]:
        """The results for all slices at once, or one by one if that is impossible."""
        frame, start = Frame(size), next(stamps)
        # Before random numbers a loop begins again, whatever was written until then.
        before = [of(x._array).copy(x._array) for x in self._mapped(leaves)] if self.randomness == "different" else None
        _randomness.active.append((self.randomness, frame))
        try:
            with inside(frame):
                taken = [x if d is None else _Taken(x, d, frame) for x, d in zip(leaves, self.dims, strict=True)]
                inputs = [x.own if isinstance(x, _Taken) else x for x in taken]
                results, dims = self._results(self.func(*self.shape.tree(inputs), **self.keywords))
                mapped = [x for x in taken if isinstance(x, _Taken)]
                for each in mapped:
                    each.give_back()
                return [self._out(x, d, frame, mapped) for x, d in zip(results, dims, strict=True)]
        except NeedsLoop as needed:
            if needed.frame is not frame:
                raise
            reason = needed
        finally:
            _randomness.active.pop()
        for i, x in enumerate(self._mapped(leaves)):
            F = of(x._array)
            if versions.write_after(start, F.storage(x._array)) is not None:
                if before is None:
                    raise RuntimeError(
                        f"vmap: {self.name} needs values of its batch ({reason.what}), so that it would have to run again, "
                        "but it has written into its argument by then. Write into a clone of it"
                    )
                F.copyto(F.writable(x._array), before[i])
        if reason.what:
            _tell(self.name, reason, size)
        return self._one_by_one(leaves, size, reason.storage)

    def _mapped(self, leaves: Sequence[Any]) -> list[Value]:
        return [x for x, d in zip(leaves, self.dims, strict=True) if d is not None]

    def _results(self, outputs: Any) -> tuple[list[Any], list[int | None]]:
        results, self.made = trees.flat(outputs)
        results = list(map(as_value, results))
        if not all(dim is None or isinstance(dim, int) for dim in trees.leaves_of(self.out_dims)):
            raise ValueError(
                f"vmap({self.name}, ..., out_dims={self.out_dims}): `out_dims` must be an int, None or a python collection "
                "of ints representing where in the outputs the vmapped dimension should appear."
            )
        out_dims: Any = self.out_dims
        if isinstance(out_dims, tuple) and len(out_dims) == 1 and self.made.kind is None:
            (out_dims,) = out_dims
        dims = trees.spread(out_dims, self.made)
        if dims is None:
            raise ValueError(
                f"vmap({self.name}, ..., out_dims={self.out_dims})(<inputs>): out_dims is not compatible with the structure "
                f"of `outputs`. out_dims has structure {trees.shape_of(self.out_dims)} but outputs has structure "
                f"{self.made}."
            )
        for x, d in zip(results, dims, strict=True):
            if d is not None and not isinstance(x, Value):
                raise ValueError(
                    f"vmap({self.name}, ...): `{self.name}` must only return Tensors, got type {type(x)}. Did you mean to "
                    "set out_dims= to None for output?"
                )
        self.to = dims
        return results, dims

    def _out(self, x: Any, dim: int | None, frame: Frame, mapped: Sequence[_Taken]) -> Any:
        if dim is None:
            if not (isinstance(x, Value) and isinstance(x._array, Lifted) and x._array.frame is frame):
                return x
            if is_mapped(frame, x._array):
                raise ValueError(
                    f"vmap({self.name}, ...): `{self.name}` can not return a BatchedTensor when out_dim is None"
                )
            return _cut(unbatch(x, axis=0, frame=frame), 0, 0)  # a constant with a history, which all have alike
        axis = place(dim, x._array.ndim + 1)
        base = x if x._meta is None or x._meta.view is None else x._meta.view.base
        source = next((each for each in mapped if base is each.own or base is each.given), None)
        if source is not None and x is source.own and axis == source.axis:
            return source.given
        out = unbatch(lift(x, frame), axis=axis, frame=frame)
        if x._meta is not None and x._meta.inference:
            meta(out).inference = True
        return out if source is None else source.shown(out, x, axis)

    def _one_by_one(self, leaves: Sequence[Any], size: int, storage: Any) -> list[Any]:
        rows, start = [], next(stamps)
        before = None if storage is None else of(storage).copy(storage)
        state = generator.default_generator.get_state() if self.randomness == "same" else None
        _randomness.active.append((self.randomness, None))
        try:
            for i in range(size):
                if state is not None:
                    generator.default_generator.set_state(state)
                taken = [x if d is None else _cut(x, d, i) for x, d in zip(leaves, self.dims, strict=True)]
                results, _ = self._results(self.func(*self.shape.tree(taken), **self.keywords))
                rows.append(results)
                if i == 0 and size > 1 and storage is not None and versions.write_after(start, storage) is not None:
                    of(storage).setitem(storage, ..., before)
                    raise RuntimeError(
                        "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a Tensor `other` "
                        f"in extra_args that has more elements than `self`: {self.name} writes values that are others for "
                        "each of the batch into a tensor made outside of it, of which there is one. Make it inside, or "
                        "return what is to be written"
                    )
        finally:
            _randomness.active.pop()
        stack = registry["stack"].function
        return [
            column[0] if d is None else stack(*column, axis=place(d, column[0]._array.ndim + 1))
            for column, d in zip(zip(*rows, strict=True), self.to, strict=True)
        ]

    def _joined(self, parts: list[list[Any]]) -> Any:
        cat = registry["concatenate"].function
        return self.made.tree(
            column[0] if d is None else cat(*column, axis=place(d, column[0]._array.ndim))
            for column, d in zip(zip(*parts, strict=True), self.to, strict=True)
        )


class _Taken:
    """An argument that is mapped over: as it was given, and as the function has it, in the same memory."""

    __slots__ = ("array", "axis", "frame", "given", "node", "own")

    def __init__(self, given: Value, axis: int, frame: Frame) -> None:
        self.given, self.axis, self.frame = given, axis, frame
        self.own: Value = batch(given, axis=axis, frame=frame)
        self.array, self.node = self.own._array, self.own._node
        if isinstance(given._node, Leaf) and self.node is not None:
            # Writing is refused, as it is for other views of a leaf.
            views.note_view(self.own, given, batch, {"axis": axis, "frame": frame})

    def give_back(self) -> None:
        """Let what was given have the history, and the tangent, of what the function wrote into it."""
        if self.own._array is not self.array:
            store(self.given, unbatch(self.own, axis=self.axis, frame=self.frame), "vmap")
        elif self.own._node is not self.node and not isinstance(self.given._node, Leaf) and leads_out([self.own], set()):
            rebase(self.given, unbatch(self.own, axis=self.axis, frame=self.frame))

    def shown(self, out: Value, x: Value, axis: int) -> Value:
        """`out`, which is all of `x`, a view of what the function had, along `axis`, as a view of what was given."""
        if not views.shares(out._array, self.given._array):
            return out
        view = None if x is self.own or x._meta is None else x._meta.view
        views.note_view(out, self.given, batch, {"axis": self.axis, "frame": self.frame})
        chain = out._meta.view.chain  # type: ignore[union-attr]
        for link in () if view is None else view.chain.links[view.base is self.given :]:
            chain = chain.followed_by(*link)
        chain = chain.followed_by(unbatch, {"axis": axis, "frame": self.frame}, None)
        out._meta.view.chain = chain  # type: ignore[union-attr]
        whole = views.root(self.given)._array
        if isinstance(whole, Lifted):
            out._array = chain(raw(of(whole)), whole)  # the tangent is shared, too
        if view is not None and view.hazard:
            views.forbid_writes(out, view.hazard)
        return out


def _cut(x: Any, dim: int | None, which: Any) -> Any:
    if dim is None:
        return x
    return registry["basic_getitem"].function(x, index=(*(slice(None),) * dim, which))


def place(dim: int, ndim: int) -> int:
    """`dim` counted from the front. Raises IndexError if there is no such dimension."""
    if not -ndim <= dim < ndim:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], but got {dim})")
    return dim % ndim


_told: set[str] = set()


def _tell(name: str, needed: NeedsLoop, size: int) -> None:
    if needed.where not in _told:
        _told.add(needed.where)
        tell(
            f"vmap: {name} needs values of its batch ({needed.what}), so it runs once for each of {size} slices, slowly. "
            "Choose with where() instead of `if`, and keep shapes independent of values.",
            needed.where,
        )
