"""Dtypes and torch's promotion between them; knows the names of array dtypes, never an array or a Tensor.

The names torch gives its dtypes hide Python's `bool`, `int` and `float` in this file; the Python types are
spelled `builtins.int` here.
"""

from __future__ import annotations

import builtins
import functools
import importlib
from collections.abc import Iterable
from typing import Any, NoReturn, final

from gradcore.backends import numpy as F


@final
class dtype:
    """A dtype: one immutable object per name, compared by identity.

    `.numpy` is the NumPy dtype that stores it. It raises ImportError for bfloat16 when ml_dtypes is not
    installed and TypeError for complex32, which exists here only as a result of promotion.
    """

    __module__ = "gradcore"
    __slots__ = ("_title", "is_complex", "is_floating_point", "is_signed", "itemsize", "name", "numpy")

    name: str
    numpy: Any
    itemsize: builtins.int
    is_floating_point: builtins.bool
    is_complex: builtins.bool
    is_signed: builtins.bool
    _title: str  # C++ torch's own name, which its error messages use

    def __new__(cls) -> dtype:
        raise TypeError("cannot create 'dtype' instances; use one of the existing, such as float32")

    def __getattr__(self, name: str) -> Any:
        # `numpy` gets here only while its slot is empty: the first user of bfloat16 imports ml_dtypes.
        if name == "numpy":
            return _load_storage(self)
        raise AttributeError(f"{self!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{self!r} is immutable, its attribute {name!r} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{self!r} is immutable, its attribute {name!r} cannot be deleted")

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str | tuple[Any, ...]:
        return self.name if self.name != "complex32" else (_named, (self.name,))

    def to_complex(self) -> dtype:
        """Return the complex dtype whose parts are of this floating dtype (complex64 for bfloat16).

        Raises RuntimeError for booleans and integers.
        """
        if self.is_complex:
            return self
        if not self.is_floating_point:
            raise RuntimeError(f"Unknown Complex ScalarType for {self._title}")
        return _COMPLEX_OF[self]

    def to_real(self) -> dtype:
        """Return the dtype of the real part."""
        return _REAL_OF.get(self, self)


_ALL: dict[str, dtype] = {}


def _named(name: str) -> dtype:
    return _ALL[name]


_BY_NUMPY: dict[Any, dtype] = {}
_NO_STORAGE = frozenset({"bfloat16", "complex32"})


def _define(name: str, title: str, itemsize: builtins.int) -> dtype:
    kind = name.rstrip("0123456789")
    self: dtype = object.__new__(dtype)
    fields = {
        "name": name,
        "_title": title,
        "itemsize": itemsize,
        "is_floating_point": kind in {"float", "bfloat"},
        "is_complex": kind == "complex",
        "is_signed": kind not in {"bool", "uint"},
    }
    if name not in _NO_STORAGE:
        fields["numpy"] = storage = F.dtype(name)
        _BY_NUMPY[storage] = self
    for field, value in fields.items():
        object.__setattr__(self, field, value)
    _ALL[name] = self
    return self


def _load_storage(self: dtype) -> Any:
    if self.name == "complex32":
        raise TypeError(
            "torch.complex32 cannot be stored: NumPy and CuPy have no complex numbers of two halves. "
            "Convert the float16 operand to float32, or the result to complex64"
        )
    try:
        ml_dtypes = importlib.import_module("ml_dtypes")
    except ImportError as error:
        raise ImportError("torch.bfloat16 needs the package ml_dtypes: pip install ml_dtypes") from error
    storage = F.dtype(ml_dtypes.bfloat16)
    _BY_NUMPY[storage] = self
    object.__setattr__(self, "numpy", storage)
    return storage


bool = _define("bool", "Bool", 1)
uint8 = _define("uint8", "Byte", 1)
int8 = _define("int8", "Char", 1)
int16 = short = _define("int16", "Short", 2)
int32 = int = _define("int32", "Int", 4)
int64 = long = _define("int64", "Long", 8)
uint16 = _define("uint16", "UInt16", 2)
uint32 = _define("uint32", "UInt32", 4)
uint64 = _define("uint64", "UInt64", 8)
float16 = half = _define("float16", "Half", 2)
bfloat16 = _define("bfloat16", "BFloat16", 2)
float32 = float = _define("float32", "Float", 4)
float64 = double = _define("float64", "Double", 8)
complex32 = chalf = _define("complex32", "ComplexHalf", 4)
complex64 = cfloat = _define("complex64", "ComplexFloat", 8)
complex128 = cdouble = _define("complex128", "ComplexDouble", 16)

_REAL_OF = {complex32: float16, complex64: float32, complex128: float64}
_COMPLEX_OF = {real: complex_ for complex_, real in _REAL_OF.items()} | {bfloat16: complex64}
_BY_PYTHON_TYPE = {builtins.bool: bool, builtins.int: int64, builtins.float: float64, complex: complex128}
_STORAGE_ONLY = frozenset({uint16, uint32, uint64})


# -- Between NumPy's names and ours --------------------------------------------------------------------------


def of(numpy_dtype: Any) -> dtype:
    """Return the dtype of arrays of a NumPy dtype.

    Raises TypeError for what torch has no dtype for (object, str, longdouble, ...), ValueError for a foreign
    byte order.
    """
    found = _BY_NUMPY.get(numpy_dtype)
    if found is not None:
        return found
    if numpy_dtype.name == "bfloat16" and numpy_dtype == bfloat16.numpy:
        return bfloat16
    if numpy_dtype.newbyteorder("=") in _BY_NUMPY:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion between byte "
            "orders is currently not supported; use array.astype(array.dtype.newbyteorder('='))"
        )
    supported = ", ".join(each.name for each in reversed(_ALL.values()) if each is not complex32)
    raise TypeError(
        f"can't convert np.ndarray of type {numpy_dtype.type.__module__}.{numpy_dtype.type.__name__}. "
        f"The only supported types are: {supported}."
    )


def as_dtype(value: object, *, op: str = "gradcore") -> dtype:
    """Return the dtype meant by a dtype, a Python number type, a NumPy dtype or a NumPy scalar type.

    Raises TypeError, naming `op`, for anything else: strings are refused as torch does.
    """
    if isinstance(value, dtype):
        return value
    if isinstance(value, type):
        if value in _BY_PYTHON_TYPE:
            return _BY_PYTHON_TYPE[value]
        if issubclass(value, F.generic):
            return of(F.dtype(value))
    elif isinstance(value, F.dtype):
        return of(value)
    raise TypeError(
        f"{op}(): argument 'dtype' must be a dtype such as float32, not {type(value).__name__} ({value!r})"
    )


# -- The default ---------------------------------------------------------------------------------------------

_default = float32


def get_default_dtype() -> dtype:
    """Return the dtype of new floating tensors and of Python floats in promotion."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Set the default dtype. Raises TypeError for what is not a floating dtype."""
    global _default
    if not isinstance(d, dtype):
        raise TypeError("invalid dtype object: only floating-point types are supported as the default type")
    if not d.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    _default = d
    _combined.cache_clear()
    promote.cache_clear()


def of_scalar(kind: type) -> dtype:
    """Return the dtype that a Python number of this type becomes: int64, bool, the default or its complex."""
    if kind is builtins.float:
        return _default
    if kind is complex:
        return _default.to_complex()
    return _BY_PYTHON_TYPE[kind]


# -- Promotion -----------------------------------------------------------------------------------------------


@functools.cache
def promote_types(type1: dtype, type2: dtype) -> dtype:
    """Return the smallest dtype, no narrower in kind or size, that both convert to.

    Raises TypeError for what is not a dtype, RuntimeError for uint16, uint32 and uint64 with other
    integers or complex numbers.
    """
    type1, type2 = (as_dtype(each, op="promote_types") for each in (type1, type2))
    if type1 is type2:
        return type1
    low, high = sorted((type1, type2), key=lambda each: (_category(each), each.itemsize))
    if high.is_complex:
        if low in _STORAGE_ONLY:
            raise _no_promotion(type1, type2)
        return promote_types(low.to_real(), high.to_real()).to_complex()
    if high.is_floating_point:
        both_half = low.is_floating_point and low.itemsize == high.itemsize
        return float32 if both_half else high
    if low in _STORAGE_ONLY or high in _STORAGE_ONLY:
        raise _no_promotion(type1, type2)
    return int16 if {low, high} == {uint8, int8} else high


def _category(each: dtype) -> builtins.int:
    return 3 if each.is_complex else 2 if each.is_floating_point else 0 if each is bool else 1


def _no_promotion(type1: dtype, type2: dtype) -> RuntimeError:
    return RuntimeError(
        "Promotion for uint16, uint32, uint64 types is not supported, "
        f"attempted to promote {type1._title} and {type2._title}; convert one of them first"
    )


def result_type(
    dims: Iterable[dtype] = (), zero_dims: Iterable[dtype] = (), scalars: Iterable[type] = ()
) -> dtype | None:
    """Return the dtype of an operation on tensors with dimensions, 0-d tensors and scalars (given by type).

    A 0-d tensor counts only if its kind (bool, integer, floating, complex) is above that of every dimensioned
    one; a Python scalar only if it is above both. None when there is no operand.
    """
    return _combined(tuple(dims), tuple(zero_dims), tuple(scalars))


@functools.cache
def _combined(
    dims: tuple[dtype, ...], zero_dims: tuple[dtype, ...], scalars: tuple[type, ...]
) -> dtype | None:
    result = None
    for group in (tuple(of_scalar(kind) for kind in scalars), zero_dims, dims):
        if group:
            result = _outranked(functools.reduce(promote_types, group), result)
    return result


def _outranked(strong: dtype, weak: dtype | None) -> dtype:
    if weak is None or _category(strong) >= _category(weak):
        return strong
    if strong.is_floating_point:
        return strong.to_complex()
    # Of a bool and an integer the integer, but promote_types says so, because it refuses uint16 and its like.
    return promote_types(strong, weak) if _category(weak) == 1 else weak


@functools.cache
def promote(dims: tuple[Any, ...], zero_dims: tuple[Any, ...] = (), scalars: tuple[type, ...] = ()) -> Any:
    """Return the NumPy dtype that `result_type` gives for NumPy dtypes, from memory when asked again."""
    result = _combined(tuple(map(of, dims)), tuple(map(of, zero_dims)), scalars)
    return None if result is None else result.numpy


def can_cast(from_: dtype, to: dtype) -> builtins.bool:
    """Say whether an in-place result of dtype `from_` may be stored as `to`: the kind must not fall."""
    return _category(as_dtype(to, op="can_cast")) >= _category(as_dtype(from_, op="can_cast"))


# -- Limits --------------------------------------------------------------------------------------------------


class finfo:
    """The limits of a floating dtype (the default one when none is given), or of a complex dtype's parts.

    Raises TypeError for booleans and integers.
    """

    __slots__ = ("bits", "dtype", "eps", "max", "min", "resolution", "smallest_normal", "tiny")

    def __init__(self, type: dtype | None = None) -> None:
        wanted = _default if type is None else _as_info_type(type, "finfo").to_real()
        if not wanted.is_floating_point:
            raise TypeError(
                "torch.finfo() requires a floating point input type. Use torch.iinfo for integers"
            )
        exponent, mantissa, decimals = _FORMAT[wanted]
        bias = 2 ** (exponent - 1) - 1
        self.bits = 8 * wanted.itemsize
        self.dtype = wanted.name
        self.eps = 2.0**-mantissa
        self.max = (2.0 - self.eps) * 2.0**bias
        self.min = -self.max
        self.smallest_normal = self.tiny = 2.0 ** (1 - bias)
        self.resolution = builtins.float(f"1e-{decimals}")

    def __eq__(self, other: object) -> builtins.bool:
        return isinstance(other, finfo) and self.dtype == other.dtype

    def __hash__(self) -> builtins.int:
        return hash(self.dtype)

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        return f"finfo({', '.join(f'{name}={getattr(self, name):g}' for name in names)}, dtype={self.dtype})"


# Bits of exponent and of mantissa, and the decimal digits that survive a round trip.
_FORMAT = {float16: (5, 10, 3), bfloat16: (8, 7, 2), float32: (8, 23, 6), float64: (11, 52, 15)}


class iinfo:
    """The limits of an integer dtype. Raises TypeError for other dtypes."""

    __slots__ = ("bits", "dtype", "max", "min")

    def __init__(self, type: dtype) -> None:
        wanted = _as_info_type(type, "iinfo")
        if wanted.is_floating_point or wanted.is_complex:
            raise TypeError(
                "torch.iinfo() requires an integer input type. Use torch.finfo for floating types"
            )
        if wanted is bool:
            raise TypeError("torch.bool is not supported by torch.iinfo")
        self.bits = 8 * wanted.itemsize
        self.dtype = wanted.name
        self.max = 2 ** (self.bits - wanted.is_signed) - 1
        self.min = -self.max - 1 if wanted.is_signed else 0

    def __eq__(self, other: object) -> builtins.bool:
        return isinstance(other, iinfo) and self.dtype == other.dtype

    def __hash__(self) -> builtins.int:
        return hash(self.dtype)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


def _as_info_type(value: object, op: str) -> dtype:
    if isinstance(value, dtype) or (isinstance(value, type) and value in _BY_PYTHON_TYPE):
        return as_dtype(value)
    raise TypeError(f"{op}(): argument 'type' (position 1) must be a dtype, not {type(value).__name__}")
