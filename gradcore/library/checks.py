"""`opcheck`: whether an operator does what was registered for it. It must not know how operators are run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn

from gradcore.autograd import grad
from gradcore.backends import of
from gradcore.graph import modes
from gradcore.library.custom import CustomOpDef, definitions
from gradcore.library.operators import COMPOSED, OpOverload, OpOverloadPacket
from gradcore.library.schema import tensors_in
from gradcore.ops import function
from gradcore.recorder.value import Value
from gradcore.transforms.trees import leaves_of

DEFAULT_UTILS: Final = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")
_RTOL, _ATOL = 1.3e-6, 1e-5


class OpCheckError(Exception):
    """What `opcheck` found wrong."""


class FakeImplCtx:
    """What a fake implementation asks for sizes that depend on values: other ones if `size` is 1 than if it is 2."""

    def __init__(self, size: int) -> None:
        self._size = size

    def new_dynamic_size(self, *, min: int = 0, max: int | None = None) -> int:
        """Return a size between `min` and `max`, not that of the results. Raises ValueError for negative `min`."""
        if min < 0:
            raise ValueError(
                f"ctx.new_dynamic_size(min={min}, ...): expected min to be greater than or equal to 0: this API can only "
                "create non-negative sizes."
            )
        size = min + self._size
        if max is None or size <= max:
            return size
        return max if self._size == 1 else min


_contexts: Final[list[FakeImplCtx]] = []


def get_ctx() -> FakeImplCtx | None:
    """Return what a fake implementation asks for sizes that depend on values; None outside of one."""
    return _contexts[-1] if _contexts else None


@contextmanager
def _context(size: int) -> Iterator[None]:
    _contexts.append(FakeImplCtx(size))
    try:
        yield
    finally:
        _contexts.pop()


def opcheck(
    op: OpOverload | OpOverloadPacket | CustomOpDef,
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    *,
    test_utils: str | Sequence[str] = DEFAULT_UTILS,
    raise_exception: bool = True,
    atol: float | None = None,
    rtol: float | None = None,
) -> dict[str, Any]:
    """Check on sample arguments that an operator does what is registered for it; `gradcheck` checks the derivative.

    "test_schema": it writes only what its schema says, and results share no memory. "test_autograd_registration": gradients
    do not pass through the operations inside a kernel. "test_faketensor": the fake implementation, on tensors of arbitrary
    values, gives the shapes, strides, dtypes and devices of the results. "test_aot_dispatch_dynamic" (there is no compiler
    here): results are the same recorded and unrecorded, gradients the same in a traced sweep (`create_graph`) and a plain
    one. Returns "SUCCESS" for each, or its exception if not `raise_exception`. Raises OpCheckError, and ValueError for
    unknown tests.
    """
    if (rtol is None) != (atol is None):
        raise ValueError("opcheck(op, ...): if you specify one of rtol/atol, you must specify both")
    found: Any = op._opoverload if isinstance(op, CustomOpDef) else op
    if isinstance(found, OpOverloadPacket):
        if len(found.overloads()) != 1:
            raise RuntimeError(f"opcheck can only test operators without overloads; {found} has {found.overloads()}")
        found = getattr(found, found.overloads()[0])
    if not isinstance(found, OpOverload):
        raise ValueError(
            "opcheck(op, ...): op must be instance of torch._ops.OpOverload, e.g. torch.ops.aten.sin.default, got "
            f"{type(found)}"
        )
    if test_utils == "ALL":
        test_utils = DEFAULT_UTILS
    names = (test_utils,) if isinstance(test_utils, str) else tuple(test_utils)
    if not set(names) <= set(_TESTS):
        raise ValueError(
            f"opcheck(op, ..., test_utils={names}), expected test_utils to be subset of {tuple(_TESTS)} but it was not"
        )
    sample = _Sample(found, args, kwargs or {}, _RTOL if rtol is None else rtol, _ATOL if atol is None else atol)
    outcome: dict[str, Any] = {}
    for name in names:
        try:
            _TESTS[name](sample)
            outcome[name] = "SUCCESS"
        except Exception as error:
            if raise_exception:
                raise OpCheckError(f"opcheck(op, ...): {name} failed with {error} (scroll up for stack trace)") from error
            outcome[name] = error
    return outcome


class _Sample:
    """An operator and arguments to try it on."""

    def __init__(self, op: OpOverload, args: Sequence[Any], keywords: dict[str, Any], rtol: float, atol: float) -> None:
        self.op, self.rtol, self.atol = op, rtol, atol
        self.values, self.named = op._schema.bind(args, keywords)

    def copy(self, make: Callable[[Any], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with tensors replaced by what `make` makes of them."""

        def each(value: Any) -> Any:
            if isinstance(value, list):
                return [each(v) for v in value]
            return make(value) if isinstance(value, Value) else value

        return tuple(map(each, self.values)), {name: each(value) for name, value in self.named.items()}

    def named_tensors(self, values: Sequence[Any], named: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
        """The declared arguments, each with a tensor in it."""
        for declared, value in zip(self.op._schema.arguments, [*values, *named.values()], strict=True):
            for t in tensors_in([value]):
                yield declared, t


def _fresh(t: Any) -> Any:
    return t.detach().clone().requires_grad_(t.requires_grad)


def _tensors(result: Any) -> list[Any]:
    return [t for t in leaves_of(result) if isinstance(t, Value)]


def _same_memory(a: Any, b: Any) -> bool:
    return of(a._array).storage(a._array) is of(b._array).storage(b._array)


def _schema(sample: _Sample) -> None:
    values, named = sample.copy(_fresh)
    before = [t.detach().clone() for _, t in sample.named_tensors(values, named)]
    with modes.no_grad():
        outs = _tensors(sample.op(*values, **named))
    for (declared, t), old in zip(sample.named_tensors(values, named), before, strict=True):
        unchanged = (t.detach() == old) | ((t.detach() != t.detach()) & (old != old))
        if not declared.type.is_write and not bool(unchanged.all()):
            raise RuntimeError(f"Argument {declared.name} is not defined as mutable but was mutated")
        if not declared.type.core.alias and any(_same_memory(t, out) for out in outs):
            raise RuntimeError(f"Argument {declared.name} is not defined to alias output but was aliasing")
    for j, out in enumerate(outs):
        for i in range(j):
            if _same_memory(outs[i], out):
                raise RuntimeError(f"Outputs {i} and {j} alias unexpectedly")


def _autograd_registration(sample: _Sample) -> None:
    op = sample.op
    values, named = sample.copy(_fresh)
    inputs = tensors_in([*values, *named.values()])
    if not any(t.requires_grad for t in inputs) or op.has_derivative(op._where(values, named)):
        return
    with modes.enable_grad():
        outs = _tensors(op.below(values, named))
    if any(out.requires_grad and not any(out is t for t in inputs) for out in outs):
        raise AssertionError(
            f"{op.name()}: at least one output of this operator has requires_grad=True but the operator does not have an "
            "autograd kernel defined at an autograd key (e.g. DispatchKey::Autograd). If it consists of operations, "
            "register it as CompositeImplicitAutograd; if it has a derivative of its own, use register_autograd."
        )


def _fake(sample: _Sample) -> None:
    op = sample.op
    fake = op.registered("Meta")
    if fake is None:
        if op.registered(COMPOSED) is not None or not op._schema.returns:
            return
        custom = definitions.get(op.name())
        by = f"{custom._init_fn.__name__}." if custom is not None else "gradcore.library."
        raise RuntimeError(
            f"There was no fake impl registered for {custom or op}. This is necessary for torch.compile/export/fx tracing "
            f"to work. Please use `{by}register_fake` to add an fake impl."
        )
    seen: list[list[Any]] = []
    shares = []
    for size in (1, 2):  # a size that changes is one that depends on values
        values, named = sample.copy(lambda t: function("", "empty_like")(t))
        with modes.no_grad(), _context(size):
            outs = _tensors(op.run(fake, values, named))
        seen.append(outs)
        shares.append(_shares(outs, values, named))
    with modes.no_grad():
        values, named = sample.copy(_fresh)
        real = _tensors(op(*values, **named))
    if len(real) != len(seen[0]):
        _mismatch(op, f"{len(seen[0])} and {len(real)} tensors")
    if _shares(real, values, named) != shares[0]:
        _mismatch(op, "one shares memory with an argument and the other does not")
    for a, b, c in zip(*seen, real, strict=True):
        fixed = [m == n for m, n in zip(a.shape, b.shape, strict=True)]
        if len(a.shape) != len(c.shape) or any(k and m != n for k, m, n in zip(fixed, a.shape, c.shape, strict=True)):
            _mismatch(op, f"Shapes {c.shape} and {a.shape} are not equal!")
        for what, m, n in (("Dtypes", c.dtype, a.dtype), ("Devices", c.device, a.device)):
            if m != n:
                _mismatch(op, f"{what} {m} and {n} are not equal!")
        if all(fixed) and c.numel() and c.stride() != a.stride():
            _mismatch(op, f"Strides {c.stride()} and {a.stride()} are not equal!")


def _shares(outs: list[Any], values: Sequence[Any], named: dict[str, Any]) -> bool:
    return any(_same_memory(out, t) for out in outs for t in tensors_in([*values, *named.values()]))


def _mismatch(op: OpOverload, what: str) -> NoReturn:
    raise RuntimeError(
        f"When comparing the output of {op} on FakeTensor and concrete Tensors, found mismatched tensor metadata: {what}"
    )


def _sweeps(sample: _Sample) -> None:
    op = sample.op
    values, named = sample.copy(_fresh)
    with modes.no_grad():
        expected = _tensors(op(*values, **named))
    values, named = sample.copy(_fresh)
    leaves = [t for t in tensors_in([*values, *named.values()]) if t.requires_grad]
    with modes.enable_grad():
        outs = _tensors(op(*values, **named))
        for found, without in zip(outs, expected, strict=True):
            _compare(sample, "results", found.detach(), without)
        outs = [out for out in outs if out.requires_grad]
        if not outs or op._schema.is_mutable:
            return
        seeds = [function("", "ones_like")(out) for out in outs]
        plain = grad(outs, leaves, seeds, retain_graph=True, allow_unused=True)
        traced = grad(outs, leaves, seeds, create_graph=True, allow_unused=True)
    for a, b in zip(plain, traced, strict=True):
        if (a is None) != (b is None):
            raise AssertionError(f"{op.name()}: a gradient is None in one sweep and not in the other")
        if a is not None and b is not None:
            _compare(sample, "gradients", a, b.detach())


def _compare(sample: _Sample, what: str, a: Any, b: Any) -> None:
    close = function("", "allclose")
    if not close(a, b.to(a.dtype), rtol=sample.rtol, atol=sample.atol, equal_nan=True):
        raise AssertionError(f"{sample.op.name()}: {what} of two runs differ: {a} and {b}")


_TESTS: Final[dict[str, Callable[[_Sample], None]]] = {
    "test_schema": _schema,
    "test_autograd_registration": _autograd_registration,
    "test_faketensor": _fake,
    "test_aot_dispatch_static": _sweeps,
    "test_aot_dispatch_dynamic": _sweeps,
}
