"""Random tensors: constructors, distributions, fills in place. It must not know any derivative.

Every number comes from a Generator; the CPU's gives torch's numbers for torch's seed (see
backends/mersenne.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Unpack

from gradcore import dtypes
from gradcore.backends import of
from gradcore.generator import Generator, source_for
from gradcore.ops import arguments
from gradcore.ops.arguments import whole
from gradcore.ops.creation import Array, Options, made
from gradcore.ops.filling import in_order_of, size_of
from gradcore.ops.registry import functions, op
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

# What draws an array: from a backend, its generator, a shape and a NumPy dtype.
Draw = Callable[[ModuleType, Any, tuple[int, ...], Any], Array]


class Random(Options, total=False):
    """What every random constructor takes."""

    generator: Generator | None


def floating(kernel: str, dtype: Any, *, complex_: bool = True) -> None:
    if dtype.kind in ("biu" if complex_ else "biuc"):
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtypes.of(dtype)._title}'")


# -- what draws ----------------------------------------------------------------------------------------------


def uniform(low: float = 0.0, high: float = 1.0) -> Draw:
    """Return what draws numbers uniform in [low, high)."""

    def draw(F: ModuleType, source: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        floating("check_uniform_bounds", dtype)
        if (low, high) == (0.0, 1.0):
            return F.random_uniform(source, shape, dtype)
        if dtype.itemsize == 2:  # rounded once
            return F.astype(draw(F, source, shape, F.dtype("f4")), dtype)
        low_end, high_end = dtype.type(low), dtype.type(high)
        array = F.random_uniform(source, shape, dtype)
        return _scaled(F, array, high_end - low_end, low_end * (1 + 1j) if dtype.kind == "c" else low_end)

    return draw


def normal_numbers(mean: float = 0.0, std: float = 1.0) -> Draw:
    """Return what draws normal numbers. Raises RuntimeError for std < 0."""
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")

    def draw(F: ModuleType, source: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        if 0 not in shape:
            floating(f"normal_kernel_{F.device_type}", dtype)
        if (mean, std) == (0.0, 1.0):
            return F.random_normal(source, shape, dtype)
        few = math.prod(shape) < _FEW and F.device_type == "cpu"
        if dtype.itemsize == 2 or (few and dtype == "f4"):  # rounded once
            return F.astype(_scaled(F, F.random_normal(source, shape, F.dtype("f8" if few else "f4")), std, mean), dtype)
        return _scaled(F, F.random_normal(source, shape, dtype), dtype.type(std), dtype.type(mean))

    return draw


# Fewer normal numbers than this are double ones for torch, whatever the dtype.
_FEW = 16


def _scaled(F: ModuleType, array: Array, factor: Any, offset: Any) -> Array:
    """Return array * factor + offset, on the host rounded once, as the processor does for torch."""
    if F.device_type != "cpu" or array.dtype not in ("f4", "f8"):
        return array * factor + offset
    if array.dtype == "f4":
        return F.astype(F.astype(array, "f8") * float(factor) + float(offset), "f4")
    # Dekker's exact product and Knuth's exact sum (Ogita, Rump and Oishi, 2005).
    product, (high, low), (factor_high, factor_low) = array * factor, _halves(array), _halves(factor)
    lost = ((high * factor_high - product) + high * factor_low + low * factor_high) + low * factor_low
    total = product + offset
    rest = total - product
    return total + (((product - (total - rest)) + (offset - rest)) + lost)


def _halves(x: Any) -> tuple[Any, Any]:
    """Return two parts of double numbers whose products are exact."""
    high = 134217729.0 * x
    high = high - (high - x)
    return high, x - high


def integers(low: int, high: int) -> Draw:
    """Return what draws integers in [low, high). Raises RuntimeError if there are none."""
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")

    def draw(F: ModuleType, source: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        if dtype.kind == "c":
            raise RuntimeError("check_random_bounds handles only integral, floating-point and boolean types")
        smallest, largest = limits(dtypes.of(dtype))
        for name, bound in (("from", low), ("to - 1", high - 1)):
            if not smallest <= bound <= largest:
                raise RuntimeError(f"{name} is out of bounds for {dtypes.of(dtype).name} (it is {bound})")
        first, end = _narrowed(dtypes.of(dtype), low, high) if dtypes.of(dtype).is_floating_point else (low, high)
        return F.random_integers(source, first, end, shape, dtype)

    return draw


def _narrowed(dtype: dtypes.dtype, low: int, high: int) -> tuple[int, int]:
    """Return the range [low, high) without what would be rounded out of it, as torch counts that."""
    digits = 1 - round(math.log2(dtypes.finfo(dtype).eps))
    if (rounded := int(dtype.numpy.type(low + 1))) < low:
        low = rounded + (1 << (abs(low + 1).bit_length() - digits))
    if (rounded := int(dtype.numpy.type(high - 1))) >= high:
        high = rounded - (1 << (abs(high - 1).bit_length() - digits))
    return low, high


def limits(dtype: dtypes.dtype) -> tuple[float, float]:
    if dtype.is_floating_point:
        return dtypes.finfo(dtype).min, dtypes.finfo(dtype).max
    return (0, 1) if dtype is dtypes.bool else (dtypes.iinfo(dtype).min, dtypes.iinfo(dtype).max)


def transformed(kernel: str, transform: Callable[[ModuleType, Array], Array], *, whole: bool = False) -> Draw:
    """Return what draws `transform(F, u)` of uniform float64 numbers u, of a floating dtype unless
    `whole`."""

    def draw(F: ModuleType, source: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        if not whole and dtype.kind in "biuc":
            raise RuntimeError(
                f"{kernel} distribution is a continuous probability distribution. dtype must be a floating "
                f"point but you specified {dtypes.of(dtype)._title}"
            )
        before = F.noise()
        try:
            F.quiet()
            return F.astype(transform(F, F.random_uniform(source, shape, "f8")), dtype)
        finally:
            F.unquiet(before)

    return draw


def exponential(rate: float) -> Draw:
    """Return what draws numbers of the exponential distribution."""
    return transformed("Exponential", lambda F, u: F.log1p(-u) / -rate)


# -- constructors --------------------------------------------------------------------------------------------


def sampled(
    name: str,
    draw: Draw,
    shape: tuple[int, ...],
    options: Random,
    *,
    like: Value | None = None,
    default: dtypes.dtype | None = None,
) -> Tensor:
    generator = options.pop("generator", None)

    def make(F: ModuleType, dtype: Any) -> Array:
        source = source_for(F, F.current_device(), generator, name)
        if like is None:
            return draw(F, source, shape, dtype)
        return in_order_of(like._array, lambda ordered: draw(F, source, ordered, dtype), options)

    return made(name, make, options, like=like, default=default)


def _forms(name: str, draw: Draw, what: str) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Make `name(*size)` and `name_like(input)`."""

    def plain(*sizes: Any, size: Any = None, **options: Unpack[Random]) -> Tensor:
        return sampled(name, draw, size_of(name, sizes, size), options)

    def like(input: Tensor, **options: Unpack[Random]) -> Tensor:
        arguments.need_tensor(input, f"{name}_like")
        return sampled(f"{name}_like", draw, input._array.shape, options, like=input)

    plain.__name__ = plain.__qualname__ = name
    plain.__doc__ = f"Return {what}, of the default dtype unless another is given."
    like.__name__ = like.__qualname__ = f"{name}_like"
    like.__doc__ = f"Return {what} with the shape, dtype and device of `input`."
    functions[""].update({name: plain, f"{name}_like": like})
    return plain, like


rand, rand_like = _forms("rand", uniform(), "numbers uniform in [0, 1)")
randn, randn_like = _forms("randn", normal_numbers(), "standard normal numbers")


@op(method=False)
def randint(*bounds: Any, low: int = 0, high: Any = None, size: Any = None, **options: Unpack[Random]) -> Tensor:
    """Return integers uniform in [low, high): `randint(high, size)` or `randint(low, high, size)`; int64 by
    default.

    Raises RuntimeError for an empty range or one that the dtype does not hold.
    """
    given = list(bounds)
    if given and size is None:
        size = given.pop()
    if given and high is None:
        high = given.pop()
    if given:
        low = given.pop()
    if size is None or high is None or given:
        raise TypeError("randint() takes (high, size) or (low, high, size)")
    if isinstance(size, int):
        raise TypeError("randint(): argument 'size' must be tuple of ints, not int")
    draw = integers(whole("randint", "low", low), whole("randint", "high", high))
    return sampled("randint", draw, size_of("randint", (size,)), options, default=dtypes.int64)


@op(method=False)
def randint_like(input: Tensor, *bounds: Any, low: int = 0, high: Any = None, **options: Unpack[Random]) -> Tensor:
    """Return integers uniform in [low, high) with the shape, dtype and device of `input`."""
    arguments.need_tensor(input, "randint_like")
    given = list(bounds)
    if given and high is None:
        high = given.pop()
    if given:
        low = given.pop()
    if high is None or given:
        raise TypeError("randint_like() takes (input, high) or (input, low, high)")
    draw = integers(whole("randint_like", "low", low), whole("randint_like", "high", high))
    return sampled("randint_like", draw, input._array.shape, options, like=input)


@op(method=False)
def randperm(n: int, **options: Unpack[Random]) -> Tensor:
    """Return 0 ... n-1 in random order, int64 by default. Raises RuntimeError for n < 0."""
    n = whole("randperm", "n", n)
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}] (randperm)")

    def draw(F: ModuleType, source: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        if dtype.kind in "bc":
            raise NotImplementedError(f"\"randperm\" not implemented for '{dtypes.of(dtype)._title}'")
        if n and not n - 1 <= limits(dtypes.of(dtype))[1]:
            raise RuntimeError(f"value cannot be converted to type {dtypes.of(dtype).name} without overflow ({n})")
        if dtype.kind == "f" and n - 1 > round(2 / dtypes.finfo(dtypes.of(dtype)).eps):
            raise RuntimeError(f"n cannot be greater than what {dtypes.of(dtype)._title} counts exactly (randperm of {n})")
        return F.astype(F.random_permutation(source, n), dtype)

    return sampled("randperm", draw, (n,), options, default=dtypes.int64)


def drawn_like(x: Tensor, name: str, draw: Draw, generator: Generator | None) -> Array:
    """Return an array of the shape, dtype, device and order in memory of `x`, drawn from a generator."""
    array, F = x._array, of(x._array)
    with F.on_device(F.device_of(array)[1]):
        source = source_for(F, F.current_device(), generator, name)
        return in_order_of(array, lambda shape: draw(F, source, shape, array.dtype))
