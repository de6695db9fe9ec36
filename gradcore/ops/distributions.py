"""Random numbers with tensors as parameters, and fills in place. It must not know any derivative."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Unpack

from gradcore import dtypes
from gradcore.backends import of
from gradcore.generator import Generator, source_for
from gradcore.ops.arguments import python_number, whole
from gradcore.ops.creation import Array, Options, finished
from gradcore.ops.filling import in_order_of, size_of
from gradcore.ops.numbers import in_dtype
from gradcore.ops.registry import methods, op
from gradcore.ops.sampling import (
    Draw,
    drawn_like,
    exponential,
    floating,
    integers,
    limits,
    normal_numbers,
    sampled,
    transformed,
    uniform,
)
from gradcore.primitives import conversion as c
from gradcore.recorder import renamed
from gradcore.recorder.errors import broadcast_mismatch
from gradcore.recorder.inplace import check_writable, store
from gradcore.recorder.value import Value, wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

# -- distributions with tensors as parameters ----------------------------------------------------------------

_normals = (
    renamed(c.drawn, "NormalBackward1"),
    renamed(c.drawn, "NormalBackward2"),
    renamed(c.drawn_of_two, "NormalBackward3"),
)
_bernoulli = renamed(c.drawn, "Bernoulli")
_poisson = renamed(c.drawn, "Poisson")


@op(method=False, out=True)
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    **options: Unpack[Options],
) -> Tensor:
    """Return normal numbers of given mean and standard deviation: two numbers and a size, or one or two
    tensors.

    Raises RuntimeError for a negative standard deviation.
    """
    tensors = [x for x in (mean, std) if isinstance(x, Value) and size is None]
    if tensors and options:
        raise TypeError(f"normal() received an invalid combination of arguments: '{min(options)}' beside a tensor")
    if not tensors:
        if size is None:
            raise TypeError('normal() missing 1 required positional arguments: "size", which normal(mean, std, size) needs')
        draw = normal_numbers(python_number(mean, "normal", "mean"), python_number(std, "normal", "std"))
        return sampled("normal", draw, size_of("normal", (size,)), {**options, "generator": generator})
    array = tensors[0]._array
    F = of(array)
    if isinstance(std, Value):
        if std._array.dtype.kind == "c":
            raise RuntimeError("normal expects standard deviation to be non-complex")
        if std._array.size and not bool(F.to_host(F.all(std._array >= 0))):
            raise RuntimeError("normal expects all elements of std >= 0.0")
    elif std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    floating(f"normal_kernel_{F.device_type}", array.dtype)
    raw = [x._array if isinstance(x, Value) else x for x in (mean, std)]
    shape = _broadcast(*(x._array.shape for x in tensors))
    with F.on_device(F.device_of(array)[1]):
        numbers = F.random_normal(source_for(F, F.current_device(), generator, "normal"), shape, array.dtype)
        value = F.astype(F.as_array(numbers * raw[1] + raw[0]), array.dtype)
    which = 2 if len(tensors) == 2 else 0 if isinstance(mean, Value) else 1
    return _normals[which](*(in_dtype(x, array.dtype) for x in tensors), wrap(value))  # type: ignore[no-any-return]


def _broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    if len(shapes) == 2 and (mismatch := broadcast_mismatch(*shapes)):
        raise RuntimeError(f"{mismatch} (normal, with mean of shape {list(shapes[0])}, std of {list(shapes[1])})")
    width = max(map(len, shapes))
    padded = [(1,) * (width - len(shape)) + shape for shape in shapes]
    return tuple(next((n for n in sizes if n != 1), 1) for sizes in zip(*padded, strict=True))


def _checked_chance(p: Any, name: str) -> Array | float:
    """A probability as a number or an array. Raises RuntimeError if it is outside [0, 1]."""
    if not isinstance(p, Value):
        if not 0 <= p <= 1:
            raise RuntimeError(f"{name} expects p to be in [0, 1], but got p={p}")
        return float(p)
    array, F = p._array, of(p._array)
    if array.dtype.kind not in "fV":
        raise NotImplementedError(f"\"bernoulli_tensor_p_\" not implemented for '{dtypes.of(array.dtype)._title}'")
    if F.device_type == "cpu" and not F.all((array >= 0) & (array <= 1)):
        raise RuntimeError(f"Expected p_in >= 0 && p_in <= 1 to be true, but got false ({name})")
    return array


def chances(x: Tensor, p: Any, name: str, generator: Generator | None = None) -> Array:
    """1 with probability `p`, a number or a tensor that broadcasts, else 0, of the shape and dtype of `x`."""
    chance = _checked_chance(p, name)
    kind = "f8" if isinstance(chance, float) or chance.itemsize == 8 else "f4"
    F = of(x._array)
    if not isinstance(chance, float) and _broadcast(x._array.shape, chance.shape) != x._array.shape:
        raise RuntimeError(f"{name}: p of shape {list(chance.shape)} cannot be expanded to {list(x._array.shape)}")
    numbers = drawn_like(x, name, lambda F, source, shape, dtype: F.random_uniform(source, shape, kind), generator)
    return F.astype(F.as_array(numbers < chance), x._array.dtype)


@op(out=True)
def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """Return 0s and 1s of the dtype of `input`: 1 with the probability that the element says, or with `p`."""
    chance = input if p is None else python_number(p, "bernoulli", "p")
    value = chances(input.contiguous(), chance, "bernoulli", generator)
    return _bernoulli(input, wrap(value))  # type: ignore[no-any-return]


@op(method=False)
def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Return numbers of the Poisson distribution, each of the rate that the element says, in the dtype of `input`.

    Raises RuntimeError for negative rates.
    """
    rates = input.contiguous()._array
    F = of(rates)
    floating("poisson_cpu", rates.dtype, complex_=False)
    if F.device_type == "cpu" and not F.all((rates >= 0) & (rates < math.inf)):
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    with F.on_device(F.device_of(rates)[1]):
        counts = F.random_poisson(source_for(F, F.current_device(), generator, "poisson"), rates)
    return _poisson(input, wrap(counts))  # type: ignore[no-any-return]


@op(out="exact")
def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None) -> Tensor:
    """Return `num_samples` indices for each row of `input`, drawn with probabilities proportional to its
    entries.

    `input` is a vector or a matrix. Raises RuntimeError for entries that are no probabilities and for more
    samples than there are entries, without replacement.
    """
    weights, F = input._array, of(input._array)
    if weights.ndim not in (1, 2):
        raise RuntimeError(f"prob_dist must be 1 or 2 dim (multinomial got {weights.ndim})")
    if weights.dtype.kind not in "fV":
        raise RuntimeError(
            f"multinomial only supports floating-point dtypes for input, got: {dtypes.of(weights.dtype)._title}"
        )
    num_samples = whole("multinomial", "num_samples", num_samples)
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples (multinomial)")
    if not replacement and num_samples > weights.shape[-1]:
        raise RuntimeError(
            f"cannot sample n_sample > prob_dist.size(-1) samples without replacement ({num_samples} of {weights.shape[-1]})"
        )
    if weights.dtype.itemsize == 2:
        weights = F.astype(weights, "f4")
    total = F.sum(weights, -1, keepdims=True)
    valid, positive = F.to_host(F.stack([F.all((weights >= 0) & F.isfinite(weights)), F.all(total > 0)]))
    if not valid:
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0 (multinomial)")
    if not positive:
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    with F.on_device(F.device_of(weights)[1]):
        source = source_for(F, F.current_device(), generator, "multinomial")
        if not replacement or num_samples == 1:
            waits = in_order_of(weights, lambda shape: exponential(1.0)(F, source, shape, weights.dtype))
            order = F.argsort(-(weights / waits), -1)[..., :num_samples]
            return finished(F.ascontiguousarray(order))
        chances = F.cumsum(weights, -1) / total
        chances[..., -1] = 1
        picks = F.random_uniform(source, (*weights.shape[:-1], num_samples), "f8")
        if weights.ndim == 1 or not len(weights):
            return finished(F.searchsorted(chances, picks) if weights.ndim == 1 else F.zeros(picks.shape, "int64"))
        return finished(F.stack([F.searchsorted(row, pick) for row, pick in zip(chances, picks, strict=True)]))


# -- in place ------------------------------------------------------------------------------------------------


def _random_range(x: Tensor, from_: Any, to: Any) -> Draw:
    """The integers in [from_, to): from 0 if `from_` is None, up to the last that the dtype holds exactly if `to` is."""
    dtype = dtypes.of(x._array.dtype)
    if to is None:
        exact = {dtypes.float16: 2**11, dtypes.bfloat16: 2**8, dtypes.float32: 2**24, dtypes.float64: 2**53}
        to = int(exact.get(dtype) or limits(dtype)[1]) + 1
    return integers(0 if from_ is None else from_, to)


def _fill(name: str, node: str, draw_of: Callable[..., Draw]) -> None:
    """Make the method `name_`, which overwrites a tensor with what `draw_of(tensor, *parameters)` draws."""
    record = renamed(c.drawn, node)

    def fill(self: Tensor, *parameters: Any, generator: Generator | None = None, **named: Any) -> Tensor:
        given = ((python_number(x, f"{name}_", "parameter") if isinstance(x, Value) else x) for x in parameters)
        draw = draw_of(self, *given, **named)
        check_writable(self, f"{name}_")
        value = drawn_like(self, f"{name}_", draw, generator)
        return store(self, record(self, wrap(value)), f"{name}_")  # type: ignore[return-value]

    fill.__name__ = f"{name}_"
    fill.__qualname__ = f"Tensor.{name}_"
    fill.__doc__ = draw_of.__doc__
    methods[f"{name}_"] = fill


_bernoulli_in_place = renamed(c.drawn, "BernoulliBackward2")


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with 1 with probability `p`, a number or a tensor that broadcasts, else 0."""
    check_writable(self, "bernoulli_")
    value = chances(self, p, "bernoulli_", generator)
    return store(self, _bernoulli_in_place(self, wrap(value)), "bernoulli_")  # type: ignore[return-value]


methods["bernoulli_"] = bernoulli_


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise RuntimeError(message)


def _normal(self: Tensor, mean: float = 0.0, std: float = 1.0) -> Draw:
    """Overwrite with normal numbers."""
    return normal_numbers(mean, std)


def _uniform(self: Tensor, from_: float = 0.0, to: float = 1.0, **named: float) -> Draw:
    """Overwrite with numbers uniform in [from, to)."""
    from_ = named.pop("from", from_)
    dtype = dtypes.of(self._array.dtype)
    floating("check_uniform_bounds", self._array.dtype)
    largest = dtypes.finfo(dtype).max
    for name, bound in (("from", from_), ("to", to), ("to - from", to - from_)):
        _require(-largest <= bound <= largest, f"{name} is out of bounds for {dtype.name} (uniform_ got {bound})")
    _require(from_ <= to, f"uniform_ expects to return a [from, to) range, but found from={from_} > to={to}")
    return uniform(from_, to)


def _random(self: Tensor, *bounds: Any, to: Any = None, **named: Any) -> Draw:
    """Overwrite with integers: of [0, to), of [from, to), or from 0 (or `from`, with None for `to`) on of all that the
    dtype holds exactly."""
    if len(bounds) + len(named) + (to is not None) > 2 or named.keys() - {"from", "from_"}:
        raise TypeError(f"random_() takes (), (to) or (from, to), but got {[*bounds, *named]} and to={to}")
    from_ = None
    if len(bounds) == 2:
        from_, to = bounds
    elif bounds and to is None and not named:
        to = whole("random_", "to", bounds[0])
    elif bounds or named:
        from_ = (*bounds, *named.values())[0]
    return _random_range(self, *(n if n is None else whole("random_", "from and to", n) for n in (from_, to)))


def _exponential_fill(self: Tensor, lambd: float = 1.0) -> Draw:
    """Overwrite with numbers of the exponential distribution of rate `lambd`."""
    _require(lambd > 0, f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    return exponential(lambd)


def _cauchy(self: Tensor, median: float = 0.0, sigma: float = 1.0) -> Draw:
    """Overwrite with numbers of the Cauchy distribution."""
    _require(sigma > 0, f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    return transformed("Cauchy", lambda F, u: median + sigma * F.tan(math.pi * (u - 0.5)))


def _geometric(self: Tensor, p: float) -> Draw:
    """Overwrite with the numbers of trials up to the first success of probability `p`."""
    _require(0 < p < 1, f"geometric_ expects p to be in (0, 1), but got p={p}")
    if self._array.dtype.kind in "bc":
        raise NotImplementedError(f"\"geometric_cpu\" not implemented for '{dtypes.of(self._array.dtype)._title}'")
    return transformed("Geometric", lambda F, u: F.ceil(F.log(u) / math.log1p(-p)), whole=True)


def _log_normal(self: Tensor, mean: float = 1.0, std: float = 2.0) -> Draw:
    """Overwrite with numbers whose logarithm is normal."""
    _require(std > 0, f"log_normal_ expects std > 0.0, but found std={std}")

    def draw(F: ModuleType, source: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        floating("log_normal", dtype, complex_=False)
        return F.astype(F.exp(F.random_normal(source, shape, "f8") * std + mean), dtype)

    return draw


for _name, _node, _draw_of in (
    ("normal", "Normal", _normal),
    ("uniform", "Uniform", _uniform),
    ("random", "RandomBackward1", _random),
    ("exponential", "Exponential", _exponential_fill),
    ("cauchy", "Cauchy", _cauchy),
    ("geometric", "Geometric", _geometric),
    ("log_normal", "LogNormal", _log_normal),
):
    _fill(_name, _node, _draw_of)
