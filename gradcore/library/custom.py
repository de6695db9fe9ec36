"""Python functions as operators, and what may be registered for an operator by its name. It must not know how one is run."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn

from gradcore.backends import of
from gradcore.library.inference import infer_schema, refuse_tags
from gradcore.library.libraries import Library, for_registration, impl, key_of
from gradcore.library.operators import (
    EVERYWHERE,
    KEYS,
    Derivative,
    Kernel,
    OpOverload,
    kernels,
    lookup,
    parse_namespace,
)
from gradcore.library.reading import parse
from gradcore.library.schema import tensors_in
from gradcore.recorder.value import Value
from gradcore.transforms.trees import leaves_of

DeviceTypes = str | Sequence[str] | None

_log: Final = logging.getLogger(__name__)
definitions: Final[dict[str, CustomOpDef]] = {}


def custom_op(
    name: str,
    fn: Kernel | None = None,
    /,
    *,
    mutates_args: str | Iterable[str],
    device_types: DeviceTypes = None,
    schema: str | None = None,
    tags: Any = None,
) -> Any:
    """Make an operator "namespace::name" of a function with annotations; may be used as a decorator.

    The function gets tensors, unrecorded, and returns new ones: between them it may leave Tensors (`.numpy()`, a
    `cupy.RawKernel`). It is the kernel for `device_types` ("cpu", "cuda"; None means all). `mutates_args` names what it
    writes, so that a backward that needs the old values raises; as in torch, no gradient knows of the write itself.
    `schema` is inferred from the annotations if it is not given. Gradients come by `register_autograd`, in every order and
    in forward mode; `vmap` runs what `register_vmap` says, or the function in a loop, with a warning. Raises
    ValueError or RuntimeError for names and annotations that make no operator, NotImplementedError for tags and for tensors
    that have to be given by name.
    """

    def inner(f: Kernel) -> CustomOpDef:
        refuse_tags(tags)
        text = infer_schema(f, mutates_args=mutates_args) if schema is None else schema
        namespace, short = name.split("::")
        made = CustomOpDef(namespace, short, text, f)
        written = {each.name for each in made._opoverload._schema.arguments if each.type.is_write}
        if schema is not None and written != set(mutates_args):
            raise ValueError(
                f"Attempted to create a custom op with `mutates_args={mutates_args}` and `schema={schema}. The schema "
                f"suggests that the op mutates {written} which is different from what was provided to us in "
                "`mutates_args`. Please make these consistent."
            )
        made.register_kernel(device_types)(f)
        return made

    return inner if fn is None else inner(fn)


def triton_op(
    name: str, fn: Kernel | None = None, /, *, mutates_args: str | Iterable[str], schema: str | None = None
) -> Any:
    """Make an operator of a function, as `custom_op` does: of operations, since Triton's kernels cannot be launched."""
    return custom_op(name, fn, mutates_args=mutates_args, schema=schema)


def wrap_triton(triton_kernel: Kernel, /) -> NoReturn:
    """Raise NotImplementedError: Triton launches on torch's tensors alone."""
    raise NotImplementedError(
        "wrap_triton: Triton launches kernels on torch's tensors alone; launch a cupy.RawKernel or cupy.ElementwiseKernel "
        "inside a custom_op"
    )


class CustomOpDef:
    """An operator made of a function by `custom_op`, with what was registered for it."""

    def __init__(self, namespace: str, name: str, schema: str, fn: Kernel) -> None:
        self._namespace, self._name, self._schema, self._init_fn = namespace, name, schema, fn
        self._disabled: set[str | None] = set()
        self._kernels: dict[str | None, Kernel] = {}
        read = parse(name + schema)
        if read.has_kwarg_only_tensors():
            raise NotImplementedError(
                f"custom_op with kwarg-only Tensor args. Please make your tensors not kwarg-only. Got: {name}{schema}"
            )
        self._lib = Library(namespace, "FRAGMENT")
        if self._qualname in definitions:
            definitions.pop(self._qualname)._lib._destroy()
        self._lib.define(name + schema)
        self._opoverload = lookup(self._qualname)
        self._opoverload.derivative = Derivative()
        definitions[self._qualname] = self

    @property
    def _qualname(self) -> str:
        return f"{self._namespace}::{self._name}"

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._qualname})>"

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the operator."""
        return self._opoverload(*args, **kwargs)

    def register_kernel(self, device_types: DeviceTypes, fn: Kernel | None = None, /) -> Any:
        """Register what runs for tensors of "cpu", "cuda", or (None) of any device; may be used as a decorator.

        Raises RuntimeError for other devices, ValueError if no tensor and no device is among the arguments to tell.
        """
        kinds = {each.type.core.kind for each in self._opoverload._schema.arguments}
        if device_types is not None and not kinds & {"Tensor", "Device"}:
            raise ValueError("Functions without tensor inputs are required to have a `device: torch.device` argument")
        several: Sequence[str | None] = [device_types] if isinstance(device_types, str | None) else device_types

        def inner(f: Kernel) -> Kernel:
            for each in several:
                key = key_of(each)
                if each not in self._kernels:
                    self._lib.impl(self._name, self._caller(each), key)
                self._kernels[each] = f
            return f

        return inner if fn is None else inner(fn)

    def _caller(self, kind: str | None) -> Kernel:
        def run(*args: Any, **keywords: Any) -> Any:
            fn = self._init_fn if kind in self._disabled else self._kernels[kind]
            result = fn(*args, **keywords)
            if not self._opoverload._schema.is_view:
                self._check_apart(result, [*args, *keywords.values()], fn)
            return result

        return run

    def _check_apart(self, result: Any, given: Sequence[Any], fn: Kernel) -> None:
        """Raise RuntimeError if a result shares memory with an argument or with another result."""
        seen = [_memory(t) for t in tensors_in(given)]
        for t in leaves_of(result):
            if isinstance(t, Value):
                memory = _memory(t)
                if any(memory is each for each in seen):
                    raise RuntimeError(
                        f"{self._name} (with implementation in {inspect.getmodule(fn)}): The output of this custom operator "
                        "(1) must not also be an input to this custom operator and (2) may not alias any inputs to this "
                        "custom operator or other returns. The most common way to trigger this error is if we have y = "
                        "custom_op(x) and y and x are the same Tensor. Please instead return a clone of the offending "
                        "output tensor(s) (e.g. return x.clone()) or refactor the custom operator to not return y."
                    )
                seen.append(memory)

    @contextmanager
    def set_kernel_enabled(self, device_type: str, enabled: bool = True) -> Iterator[None]:
        """Let the function that the operator was made of stand in for a kernel in a block, or the other way round."""
        action, before = "enable" if enabled else "disable", device_type in self._disabled
        if device_type not in self._kernels:
            what = "Attempted to %s kernel for %s but no kernel was registered for this device type."
            _log.warning(what, action, device_type)
        if before is not enabled:
            _log.warning("Attempted to %s kernel for %s but it was already %sd.", action, device_type, action)
        (self._disabled.discard if enabled else self._disabled.add)(device_type)
        try:
            yield
        finally:
            (self._disabled.add if before else self._disabled.discard)(device_type)

    def register_fake(self, fn: Kernel, /) -> Kernel:
        """Register what tells the shapes of the results without computing them. See `gradcore.library.register_fake`."""
        kernels.setdefault(self._qualname, {})["Meta"] = [fn]
        return fn

    def register_autograd(self, backward: Kernel, /, *, setup_context: Kernel | None = None) -> None:
        """Register the derivative. See `gradcore.library.register_autograd`."""
        _check_functional(self._opoverload, self, views=True)
        self._opoverload.derivative = Derivative(backward, setup_context)

    def register_vmap(self, func: Kernel | None = None) -> Any:
        """Register the operator for batches. See `gradcore.library.register_vmap`."""
        return _register_vmap(self._opoverload, func, self._lib)

    def register_autocast(self, device_type: str, cast_inputs: Any) -> NoReturn:
        """Raise NotImplementedError: there is no autocast."""
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        raise NotImplementedError(
            f"register_autocast({self._qualname}): there is no automatic mixed precision; cast with .to(dtype) inside it"
        )

    def register_torch_dispatch(self, torch_dispatch_class: Any, fn: Kernel | None = None, /) -> NoReturn:
        """Raise NotImplementedError: no class has a `__torch_dispatch__` here."""
        raise NotImplementedError(
            f"register_torch_dispatch({self._qualname}): nothing has a __torch_dispatch__ here; wrap the operator in a "
            "function instead"
        )


def _memory(t: Value) -> Any:
    return of(t._array).storage(t._array)


def _check_functional(op: OpOverload, shown: Any, *, views: bool = False) -> None:
    if op._schema.is_mutable or (op._schema.is_view and not views):
        raise RuntimeError(
            f"Cannot register autograd formula for non-functional operator {shown} with schema {op._schema}. Please create "
            "a functional operator and register an autograd formula for that."
        )


def _register_vmap(op: OpOverload, func: Kernel | None, lib: Library | None) -> Any:
    def register(f: Kernel) -> None:
        op.vmap_rule = f
        if lib is not None:
            lib._undos.append(lambda: setattr(op, "vmap_rule", None))

    return register if func is None else register(func)


# -- by name ----------------------------------------------------------------------------------------------------------

Op = str | OpOverload | CustomOpDef


def _found(op: Op, registration: str) -> str | CustomOpDef:
    if not isinstance(op, (str, OpOverload, CustomOpDef)):
        raise ValueError(f"{registration}({op}): got unexpected type for op: {type(op)}")
    name = op.name() if isinstance(op, OpOverload) else op
    return name if isinstance(name, CustomOpDef) else definitions.get(name, name)


def register_kernel(op: Op, device_types: DeviceTypes, func: Kernel | None = None, /, *, lib: Library | None = None) -> Any:
    """Register what runs an operator for types of devices (None: all); may be used as a decorator. Errors as in `impl`."""
    found = _found(op, "register_kernel")
    if isinstance(found, CustomOpDef):
        return found.register_kernel(device_types, func)
    return impl(found, EVERYWHERE if device_types is None else device_types, func, lib=lib)


def register_fake(
    op: Op,
    func: Kernel | None = None,
    /,
    *,
    lib: Library | None = None,
    _stacklevel: int = 1,
    allow_override: bool = True,
) -> Any:
    """Register a function of the same arguments that gives results of the right shapes and dtypes, without computing.

    There are no tensors without data here, so nothing ever runs it instead of the operator; `opcheck` holds it against the
    operator. May be used as a decorator. Raises RuntimeError without `allow_override` if there is one.
    """
    found = _found(op, "register_fake")
    if isinstance(found, CustomOpDef):
        return found.register_fake if func is None else found.register_fake(func)
    namespace, _ = parse_namespace(found)

    def register(f: Kernel) -> Kernel:
        if kernels.get(found, {}).get("Meta") and not allow_override:
            raise RuntimeError(f"register_fake(...): the operator {found} already has a fake impl registered.")
        for_registration(namespace, lib).impl(found, f, "Meta")
        return f

    return register if func is None else register(func)


def register_autograd(
    op: Op, backward: Kernel, /, *, setup_context: Kernel | None = None, lib: Library | None = None
) -> None:
    """Register the derivative of an operator.

    `setup_context(ctx, inputs, output)` leaves in `ctx` what is needed; it also gets `keyword_only_inputs` if the schema has
    any. `backward(ctx, *grads)` returns a gradient or None for each argument by position, in a list for a list of tensors.
    Raises RuntimeError for operators that write their arguments.
    """
    found = _found(op, "register_autograd")
    if isinstance(found, CustomOpDef):
        found.register_autograd(backward, setup_context=setup_context)
        return
    overload = lookup(found)
    _check_functional(overload, overload)
    _check_positional(overload, "register_autograd")
    overload.derivative = Derivative(backward, setup_context)
    if lib is not None:
        lib._undos.append(lambda: setattr(overload, "derivative", None))


def register_vmap(op: Op, func: Kernel | None = None, /, *, lib: Library | None = None) -> Any:
    """Register what `vmap` runs: `func(info, in_dims, *args, **kwargs)` returns the results and their batch dimensions.

    `in_dims` is like `args`, None for what is no tensor and not mapped over. May be used as a decorator.
    """
    found = _found(op, "register_vmap")
    if isinstance(found, CustomOpDef):
        return found.register_vmap(func)
    overload = lookup(found)
    _check_positional(overload, "register_vmap")
    return _register_vmap(overload, func, lib)


def _check_positional(op: OpOverload, registration: str) -> None:
    if op._schema.has_kwarg_only_tensors():
        raise NotImplementedError(
            f"{registration} with kwarg-only Tensor args. In the original definition of the op, please make your tensors "
            f"not kwarg-only. Got: {op._schema}"
        )


def register_autocast(op: Op, device_type: str, cast_inputs: Any, /, *, lib: Library | None = None) -> NoReturn:
    """Raise NotImplementedError: there is no autocast."""
    _refuse(op, "register_autocast", "there is no automatic mixed precision; cast with .to(dtype) inside the operator")


def register_torch_dispatch(
    op: Op, torch_dispatch_class: Any, func: Kernel | None = None, /, *, lib: Library | None = None
) -> NoReturn:
    """Raise NotImplementedError: no class has a `__torch_dispatch__` here."""
    _refuse(op, "register_torch_dispatch", "nothing has a __torch_dispatch__ here; wrap the operator in a function instead")


def _refuse(op: Op, registration: str, why: str) -> NoReturn:
    raise NotImplementedError(f"{registration}({_found(op, registration)}): {why}")


class RegisteredKernel:
    """A kernel taken out of an operator, to be called by others."""

    def __init__(self, op: OpOverload, key: str, kernel: Callable[..., Any]) -> None:
        self._op, self._key, self._kernel = op, key, kernel

    def __repr__(self) -> str:
        return f"RegisteredKernel({self._op.name()}, {self._key})"

    def call_boxed(self, dispatch_keys: Any, /, *args: Any, **keywords: Any) -> Any:
        """Run it on the arguments behind the first, a key, which says nothing here."""
        values, named = self._op._schema.bind(args, keywords)
        return self._op.run(self._kernel, values, named)


def get_kernel(op: str | OpOverload, dispatch_key: str) -> RegisteredKernel:
    """Return the kernel that an operator has for a key, "CPU" or "CUDA" or another. Raises RuntimeError if it has none."""
    if not isinstance(op, (str, OpOverload)):
        raise ValueError(f"get_kernel({op}): got unexpected type for op: {type(op)}")
    if dispatch_key not in KEYS:
        raise ValueError(f"Invalid dispatch key: {dispatch_key}")
    try:
        found = lookup(op) if isinstance(op, str) else op
    except (AttributeError, ValueError):
        raise RuntimeError(f"operator {op} does not exist") from None
    kernel = found.kernel(dispatch_key) if dispatch_key in ("CPU", "CUDA") else found.registered(dispatch_key)
    if kernel is None:
        raise RuntimeError(f"operator {found.name()} has no kernel for {dispatch_key}")
    return RegisteredKernel(found, dispatch_key, kernel)
