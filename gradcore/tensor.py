"""The Tensor: attributes, conversions, autograd's methods and Python's protocols. It must not know any mathematics.

Operators and the methods that are operations come from `gradcore.ops`, which puts them into the registry.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gradcore import devices, dtypes, engine, ops
from gradcore.backends import of
from gradcore.graph import Leaf, Node, Output, modes, versions
from gradcore.graph.node import seen, shown
from gradcore.ops import creation, filling, indexing
from gradcore.ops.registry import methods
from gradcore.recorder import hooks, inplace, views
from gradcore.recorder.value import Value, adopt, looks, meta, wrap
from gradcore.size import Size


@adopt
class Tensor(Value):
    """An array with a history: torch.Tensor over a NumPy or CuPy array.

    `Tensor(data)` makes a tensor of the default dtype from nested sequences; `gradcore.tensor` infers the dtype.
    """

    __slots__ = ()
    __module__ = "gradcore"

    # Against a NumPy array on the left, ours is the operator.
    __array_priority__ = 1000

    def __new__(cls, *args: Any, size: Any = None, data: Any = None, device: Any = None) -> Tensor:
        args += () if size is None else (Size(size),)
        args += () if data is None else (data,)
        if len(args) == 1 and isinstance(args[0], Value):
            made: Tensor = args[0][...]  # type: ignore[index]
        elif len(args) == 1 and isinstance(args[0], (float, complex)):
            raise TypeError(f"new(): data must be a sequence (got {type(args[0]).__name__})")
        elif len(args) == 1 and not isinstance(args[0], (int, Size)):
            made = creation.tensor(args[0], dtype=dtypes.get_default_dtype(), device=device)
        else:
            made = filling.empty(*(args or (0,)), device=device)
        return made if cls is Tensor else made.as_subclass(cls)

    def __init_subclass__(cls, **keywords: Any) -> None:
        for name in ("__torch_function__", "__torch_dispatch__"):
            if name in vars(cls):
                raise TypeError(f"{cls.__name__} has {name}, which gradcore's operations would not call: leave it out")
        super().__init_subclass__(**keywords)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:  # the operations
            ...

        def __setitem__(self, index: Any, value: Any) -> None: ...

        def __neg__(self) -> Tensor: ...

        def __add__(self, other: Any) -> Tensor: ...

        def __float__(self) -> float: ...

        def __int__(self) -> int: ...

        __index__ = __int__

        __pos__ = __invert__ = __neg__
        __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = __pow__ = __matmul__ = __add__
        __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rpow__ = __rmatmul__ = __add__
        __and__ = __or__ = __xor__ = __lshift__ = __rshift__ = __lt__ = __le__ = __gt__ = __ge__ = __add__

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        """The length of each dimension."""
        return Size(self._array.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of dimension `dim`. Raises IndexError for a dimension out of range."""
        return self.shape if dim is None else self._array.shape[self._dim(dim)]

    def _dim(self, dim: int) -> int:
        n: int = max(self._array.ndim, 1)
        if not -n <= dim < n:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
        if self._array.ndim == 0:
            raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
        return dim % n

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._array.ndim  # type: ignore[no-any-return]

    def dim(self) -> int:
        """The number of dimensions."""
        return self._array.ndim  # type: ignore[no-any-return]

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return self._array.size  # type: ignore[no-any-return]

    nelement = numel

    @property
    def dtype(self) -> dtypes.dtype:
        """The dtype of the elements."""
        return dtypes.of(self._array.dtype)

    @property
    def device(self) -> devices.device:
        """Where the elements are."""
        kind, index = of(self._array).device_of(self._array)
        return devices.device(kind) if index is None else devices.device(kind, index)

    @property
    def is_cuda(self) -> bool:
        """Whether the elements are on a CUDA device."""
        return self.device.type == "cuda"

    @property
    def is_cpu(self) -> bool:
        """Whether the elements are in the host's memory."""
        return self.device.type == "cpu"

    def get_device(self) -> int:
        """The index of the CUDA device, -1 for the CPU."""
        index = self.device.index
        return -1 if index is None else index

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self._array.dtype.itemsize  # type: ignore[no-any-return]

    def element_size(self) -> int:
        """Bytes per element."""
        return self._array.dtype.itemsize  # type: ignore[no-any-return]

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._array.nbytes  # type: ignore[no-any-return]

    def stride(self, dim: int | None = None) -> Any:
        """The step in elements from one index to the next, of every dimension or of `dim`."""
        strides = tuple(s // self._array.dtype.itemsize for s in self._array.strides)
        if self._array.size == 0:  # torch counts a length of 0 as 1, array libraries as they like
            lengths = [max(n, 1) for n in self._array.shape]
            strides = tuple(math.prod(lengths[d + 1 :]) for d in range(len(lengths)))
        return strides if dim is None else strides[self._dim(dim)]

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements lie in memory in C order."""
        return self._array.flags.c_contiguous  # type: ignore[no-any-return]

    def data_ptr(self) -> int:
        """The address of the first element; 0 if there is none."""
        return of(self._array).address(self._array) if self._array.size else 0

    def storage_offset(self) -> int:
        """The distance in elements from the start of the storage to the first element."""
        F = of(self._array)
        return int(F.address(self._array) - F.address(F.storage(self._array))) // int(self._array.dtype.itemsize)

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating one."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the dtype is a complex one."""
        return self.dtype.is_complex

    def is_signed(self) -> bool:
        """Whether the dtype has negative numbers."""
        return self.dtype.is_signed

    # -- history ------------------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether gradients with respect to it are computed. Setting it is possible for leaves only."""
        return (self._node is not None) if self._meta is None else views.requires_grad(self)

    @requires_grad.setter
    def requires_grad(self, on: bool) -> None:
        if not isinstance(on, bool):
            raise RuntimeError(f"requires_grad must be a bool (got {type(on).__name__})")
        if on and not self.is_leaf:
            raise RuntimeError("you can only change requires_grad flags of leaf variables.")
        self.requires_grad_(on)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for gradients, or no longer, in place. Raises RuntimeError for non-leaves and for integer dtypes."""
        node = inplace.target(self)
        if requires_grad is not True and requires_grad is not False:
            raise TypeError(
                "requires_grad_(): argument 'requires_grad' (position 1) must be bool, not " + type(requires_grad).__name__
            )
        if not requires_grad:
            if node is not None and not isinstance(node, Leaf):
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in "
                    "a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
                )
            engine.release(self)
        elif node is None:
            if self._array.dtype.kind in "biu":
                raise RuntimeError(
                    "only Tensors of floating point and complex dtype can require gradients "
                    f"(this one of shape {list(self._array.shape)} is {self.dtype}; convert it with .float())"
                )
            if self.is_inference() and not modes.is_inference_mode_enabled():
                raise RuntimeError(
                    "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed."
                )
            self._node = engine.leaf(self)
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made it."""
        node = inplace.target(self)
        return node is None or isinstance(node, Leaf)

    @property
    def grad_fn(self) -> Node | None:
        """The node of the operation that made it, None for leaves."""
        where = inplace.target(self)
        if where is None or isinstance(where, Leaf):
            return None
        node, index = (where.node, where.index) if isinstance(where, Output) else (where, 0)
        seen.setdefault(node, {})[index] = looks(self._array)
        return shown(node)  # type: ignore[no-any-return]

    @property
    def output_nr(self) -> int:
        """Which output of its `grad_fn` it is."""
        node = self._node  # not made anew: that may be refused
        return node.index if isinstance(node, Output) else 0

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient, None before the first backward pass."""
        kept: Tensor | None = getattr(self, "_grad", None)
        if kept is None and not (self._node is None or isinstance(self._node, Leaf) or self.retains_grad):
            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be "
                "populated during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf "
                "Tensor, use .retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by mistake, make "
                "sure you access the leaf Tensor instead.",
                UserWarning,
                stacklevel=2,
            )
        return kept

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            engine.check_assigned_grad(self, value)
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    def backward(
        self,
        gradient: Tensor | Sequence[Tensor | None] | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Add to the `.grad` of leaves the products of `gradient` with the Jacobian.

        It has the shape of this tensor, and may stand in a list; for a scalar it is 1 by default.

        `create_graph` records the pass itself, so that gradients can be differentiated; `retain_graph` (by default as
        `create_graph`) keeps what the graph saved for another pass; `inputs` limits what is computed to those Tensors.
        Raises RuntimeError for a tensor without history, a non-scalar without `gradient`, a shape that differs.
        """
        if gradient is None and inputs is None and not create_graph:
            engine.backward_of_one(self, retain_graph)
            return
        gradients: Any = gradient if isinstance(gradient, (list, tuple)) else (gradient,)
        if not gradients:
            raise RuntimeError("got 1 tensors and 0 gradients")
        engine.backward(
            (self,),
            gradients[:1],
            create_graph if retain_graph is None else retain_graph,
            create_graph,
            None if inputs is None else engine.checked_inputs(inputs),
        )

    def retain_grad(self) -> None:
        """Keep the gradient of this non-leaf in `.grad`."""
        node = inplace.target(self)
        if node is None:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if not isinstance(node, Leaf) and not self.retains_grad:
            engine.retain_grad(self)
            meta(self).retains = True

    @property
    def retains_grad(self) -> bool:
        """Whether this non-leaf keeps its gradient."""
        return self._meta is not None and self._meta.retains

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> hooks.RemovableHandle:
        """Call `hook` with every gradient of this tensor; what it returns, if anything, replaces the gradient.

        Returns a handle whose `remove()` takes the hook off. Raises RuntimeError if the tensor needs no gradient.
        """
        return hooks.register_hook(self, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> hooks.RemovableHandle:
        """Call `hook` with this leaf each time after its gradient has changed. Raises RuntimeError for a non-leaf.

        Returns a handle whose `remove()` takes the hook off.
        """
        return hooks.register_post_accumulate_grad_hook(self, hook)

    def detach(self) -> Tensor:
        """A constant that shares this tensor's memory and version."""
        out: Tensor = wrap(self._without_tangent())
        if self._meta is not None and (self._meta.inference or self._meta.versions is not None):
            meta(out).inference = self._meta.inference
            meta(out).versions = self._meta.versions
        return out

    def detach_(self) -> Tensor:
        """Cut this tensor from its history, making it a constant leaf."""
        if self._meta is not None and self._meta.view is not None:
            raise RuntimeError("Can't detach views in-place; use detach() instead.")
        engine.release(self)
        self._array = self._without_tangent()
        return self

    def _without_tangent(self) -> Any:
        array = self._array
        return array.constant() if modes.unusual and hasattr(array, "constant") else array

    @property
    def data(self) -> Tensor:
        """A constant alias: writes through it change this tensor and nothing that autograd notices."""
        out: Tensor = wrap(self._without_tangent())
        meta(out).versions = versions.Own(0, silent=True)
        meta(out).inference = self._meta is not None and self._meta.inference
        return out

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if self._node is not None and value._array.dtype.kind in "biu":
            raise RuntimeError(
                "data set to a tensor that requires gradients must be floating point or complex dtype "
                f"(got {value.dtype})"
            )
        inplace.replace(self, value._array)

    @property
    def _version(self) -> int:
        if self.is_inference():
            raise RuntimeError("Inference tensors do not track version counter.")
        own = None if self._meta is None else self._meta.versions
        return own.count if own is not None else versions.count(of(self._array).storage(self._array))

    @property
    def _base(self) -> Any:
        return None if self._meta is None or self._meta.view is None else self._meta.view.base

    def _is_view(self) -> bool:
        return self._base is not None

    def is_inference(self) -> bool:
        """Whether it was made in inference mode."""
        return self._meta is not None and self._meta.inference

    def as_subclass(self, cls: Any) -> Any:
        """The same array and history as an instance of `cls`."""
        out = object.__new__(cls)
        out._array, out._node, out._meta = self._array, inplace.target(self), self._meta
        return out

    # -- Python's protocols -------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        if self._array.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return len(self._array)

    def __iter__(self) -> Iterator[Tensor]:
        if self._array.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __reversed__(self) -> Tensor:
        return self.flip(0) if self._array.ndim else self

    def __contains__(self, element: Any) -> bool:
        if isinstance(element, (Tensor, int, float, complex)):
            return bool((self == element).any())  # type: ignore[attr-defined]
        raise RuntimeError(
            f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element).__name__}."
        )

    def __getitem__(self, index: Any) -> Tensor:
        return indexing.getitem(self, index)  # type: ignore[no-any-return]

    def __delitem__(self, index: Any) -> None:
        raise TypeError("Tensor does not support deleting items")

    __hash__ = object.__hash__

    def __repr__(self, *, tensor_contents: str | None = None) -> str:
        try:
            fn = self.grad_fn
            name = None if fn is None else fn.name().rpartition("::")[2]
        except RuntimeError:  # a view that was overtaken and may have no history
            name = "Invalid"
        shown: str = import_module("gradcore.printing").tensor_repr(
            self._array,
            device=self.device,
            grad_fn_name=name,
            requires_grad=self.requires_grad,
            tensor_contents=tensor_contents,
        )
        return shown

    def __format__(self, spec: str) -> str:
        shown: str = import_module("gradcore.printing").tensor_format(self, self._array, spec)
        return shown

    # Here and not with setattr afterwards: every attribute set on a class that exists makes Python look for what it changes.
    locals().update({name: ops.Later(name) for name in ops.METHODS})
    locals().update(methods)
