"""Dtypes, their limits and their promotion, against torch's over all pairs and triples."""

from __future__ import annotations

import copy
import itertools
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from gradcore import dtypes
from gradcore.dtypes import dtype

torch = pytest.importorskip("torch")

EVERY = list(dtypes._ALL.values())
STORED = [each for each in EVERY if each is not dtypes.complex32]
COMMON = [each for each in STORED if each.name not in {"uint16", "uint32", "uint64"}]
FLOATING = [each for each in EVERY if each.is_floating_point]
SCALARS = {bool: True, int: 1, float: 1.0, complex: 1j}
ALIASES = ["half", "float", "double", "short", "int", "long", "chalf", "cfloat", "cdouble"]

pytestmark = pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")


@pytest.fixture(autouse=True)
def _default() -> Iterator[None]:
    yield
    set_default(dtypes.float32)


def set_default(each: dtype) -> None:
    dtypes.set_default_dtype(each)
    torch.set_default_dtype(theirs(each))


def theirs(each: dtype) -> Any:
    return getattr(torch, each.name)


def outcome(function: Callable[..., Any], *arguments: Any) -> str:
    """What a call does: the repr of its result, or the type of its error."""
    try:
        return repr(function(*arguments))
    except (TypeError, RuntimeError) as error:
        return type(error).__name__


# -- The objects ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", EVERY, ids=str)
def test_attributes(each: dtype) -> None:
    other = theirs(each)
    for name in ("is_floating_point", "is_complex", "is_signed", "itemsize"):
        assert getattr(each, name) == getattr(other, name)
    assert repr(each) == str(each) == repr(other) == f"torch.{each.name}"
    assert outcome(each.to_real) == outcome(other.to_real)
    assert outcome(each.to_complex) == outcome(other.to_complex)


@pytest.mark.parametrize("alias", ALIASES)
def test_aliases(alias: str) -> None:
    assert repr(getattr(dtypes, alias)) == repr(getattr(torch, alias))


@pytest.mark.parametrize("each", EVERY, ids=str)
def test_one_object_per_name(each: dtype) -> None:
    assert pickle.loads(pickle.dumps(each)) is each
    assert copy.deepcopy(each) is copy.copy(each) is each
    assert len({each, getattr(dtypes, each.name)}) == 1


def test_immutable() -> None:
    with pytest.raises(TypeError, match="cannot create"):
        dtype()
    with pytest.raises(AttributeError, match="itemsize"):
        dtypes.float32.itemsize = 8
    with pytest.raises(AttributeError, match="itemsize"):
        del dtypes.float32.itemsize
    with pytest.raises(AttributeError, match="colour"):
        _ = dtypes.float32.colour
    assert dtypes.float32.itemsize == 4


# -- NumPy's names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", STORED, ids=str)
def test_numpy_dtype_and_back(each: dtype) -> None:
    assert each.numpy.itemsize == each.itemsize
    assert each.numpy.name == each.name
    assert dtypes.of(each.numpy) is dtypes.of(np.zeros(2, each.numpy).dtype) is each
    assert dtypes.as_dtype(each.numpy) is dtypes.as_dtype(each.numpy.type) is dtypes.as_dtype(each) is each


def test_c_names_of_one_dtype() -> None:
    assert dtypes.of(np.dtype(np.longlong)) is dtypes.of(np.dtype("l")) is dtypes.int64
    assert dtypes.as_dtype(np.longlong) is dtypes.int64


def test_complex32_has_no_storage() -> None:
    with pytest.raises(TypeError, match="complex32 cannot be stored"):
        _ = dtypes.complex32.numpy


@pytest.mark.parametrize("name", ["longdouble", "clongdouble", "object", "U3", "S2", "datetime64[s]", "V4"])
def test_unsupported_arrays(name: str) -> None:
    array = np.zeros(2, name)
    with pytest.raises(TypeError, match=r"can't convert np.ndarray of type") as ours:
        dtypes.of(array.dtype)
    with pytest.raises(TypeError) as other:
        torch.from_numpy(array)
    start = str(other.value).partition(" The only supported types")[0]
    assert str(ours.value).startswith(start)


def test_foreign_byte_order() -> None:
    with pytest.raises(ValueError, match="byte order"):
        dtypes.of(np.dtype(">f4"))
    with pytest.raises(ValueError, match="byte order"):
        torch.from_numpy(np.zeros(2, ">f4"))


@pytest.mark.parametrize("kind", SCALARS)
def test_python_types(kind: type) -> None:
    assert repr(dtypes.as_dtype(kind)) == repr(torch.zeros(1, dtype=kind).dtype)


@pytest.mark.parametrize("value", ["float32", None, 1, object, str, [1], "torch.float32"])
def test_what_is_no_dtype(value: object) -> None:
    with pytest.raises(TypeError, match=r"zeros\(\): argument 'dtype' must be a dtype"):
        dtypes.as_dtype(value, op="zeros")


def run_alone(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ml_dtypes_is_loaded_by_the_first_bfloat16() -> None:
    run_alone(
        "import sys; from gradcore import dtypes\n"
        "dtypes.promote_types(dtypes.bfloat16, dtypes.float16), dtypes.finfo(dtypes.bfloat16)\n"
        "assert 'ml_dtypes' not in sys.modules\n"
        "assert dtypes.bfloat16.numpy.itemsize == 2 and 'ml_dtypes' in sys.modules"
    )


def test_array_of_bfloat16_made_elsewhere() -> None:
    run_alone(
        "import ml_dtypes, numpy; from gradcore import dtypes\n"
        "assert dtypes.of(numpy.zeros(1, ml_dtypes.bfloat16).dtype) is dtypes.bfloat16\n"
        "assert dtypes.as_dtype(ml_dtypes.bfloat16) is dtypes.bfloat16"
    )


def test_without_ml_dtypes() -> None:
    run_alone(
        "import sys; sys.modules['ml_dtypes'] = None\n"
        "from gradcore import dtypes\n"
        "assert repr(dtypes.bfloat16) == 'torch.bfloat16'\n"
        "try: dtypes.bfloat16.numpy\n"
        "except ImportError as error: assert 'pip install ml_dtypes' in str(error)\n"
        "else: raise SystemExit('no error')"
    )


# -- Promotion -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", EVERY, ids=str)
def test_promote_types_and_can_cast(each: dtype) -> None:
    for other in EVERY:
        for name in ("promote_types", "can_cast"):
            expected = outcome(getattr(torch, name), theirs(each), theirs(other))
            assert outcome(getattr(dtypes, name), each, other) == expected, (name, each, other)


def test_message_of_a_refused_promotion() -> None:
    with pytest.raises(RuntimeError) as other:
        torch.promote_types(torch.uint16, torch.bool)
    with pytest.raises(RuntimeError) as ours:
        dtypes.promote_types(dtypes.uint16, dtypes.bool)
    assert str(ours.value).startswith(str(other.value))


@pytest.mark.parametrize("arguments", [(1, dtypes.bool), (dtypes.bool, "int")])
@pytest.mark.parametrize("function", [dtypes.promote_types, dtypes.can_cast])
def test_promotion_takes_dtypes(function: Callable[..., Any], arguments: tuple[Any, Any]) -> None:
    with pytest.raises(TypeError, match="must be a dtype"):
        function(*arguments)


def expected_type(dims: tuple[dtype, ...], zero_dims: tuple[dtype, ...], scalars: tuple[type, ...]) -> str:
    """torch's dtype of an operation on two operands, which is all that torch.result_type takes."""
    operands = [torch.empty(1, dtype=theirs(each)) for each in dims]
    operands += [torch.empty((), dtype=theirs(each)) for each in zero_dims]
    operands += [SCALARS[kind] for kind in scalars]
    return outcome(torch.result_type, *operands)


@pytest.mark.parametrize("default", FLOATING, ids=str)
def test_result_type_of_all_pairs(default: dtype) -> None:
    set_default(default)
    for pair in itertools.product(EVERY, repeat=2):
        for dims, zero_dims in (((*pair,), ()), (pair[:1], pair[1:]), ((), pair)):
            expected = expected_type(dims, zero_dims, ())
            assert outcome(dtypes.result_type, dims, zero_dims) == expected, (dims, zero_dims)
    for each, kind in itertools.product(EVERY, SCALARS):
        for dims, zero_dims in (((each,), ()), ((), (each,))):
            expected = expected_type(dims, zero_dims, (kind,))
            assert outcome(dtypes.result_type, dims, zero_dims, (kind,)) == expected, (dims, zero_dims, kind)
    for kinds in itertools.product(SCALARS, repeat=2):
        assert outcome(dtypes.result_type, (), (), kinds) == expected_type((), (), kinds)


def test_result_type_of_all_triples_of_tensors() -> None:
    """torch.clamp promotes its three tensors, each with dimensions or 0-d."""
    real = [each for each in COMMON if each is not dtypes.bool and not each.is_complex]
    for triple, ndims in itertools.product(
        itertools.product(real, repeat=3), itertools.product((0, 1), repeat=3)
    ):
        expected = torch.clamp(
            *[torch.empty((1,) * n, dtype=theirs(each)) for each, n in zip(triple, ndims, strict=True)]
        )
        groups = [[each for each, n in zip(triple, ndims, strict=True) if n == wanted] for wanted in (1, 0)]
        assert repr(dtypes.result_type(*groups)) == repr(expected.dtype), (triple, ndims)


@pytest.mark.parametrize("default", [dtypes.float32, dtypes.float64], ids=str)
def test_result_type_of_one_of_each_category(default: dtype) -> None:
    """No operation takes all three, but torch's own Python version of the rule does."""
    common = pytest.importorskip("torch._prims_common")
    kind = common.ELEMENTWISE_TYPE_PROMOTION_KIND.NO_OPMATH
    set_default(default)
    for first, second, scalar in itertools.product(COMMON, COMMON, SCALARS):
        operands = torch.empty(1, dtype=theirs(first)), torch.empty((), dtype=theirs(second)), SCALARS[scalar]
        _, expected = common.elementwise_dtypes(*operands, type_promotion_kind=kind)
        assert repr(dtypes.result_type((first,), (second,), (scalar,))) == repr(expected), (
            first,
            second,
            scalar,
        )


def test_order_and_repetition_do_not_matter() -> None:
    for triple in itertools.product(COMMON, repeat=3):
        expected = dtypes.result_type(triple)
        assert all(dtypes.result_type(order) is expected for order in itertools.permutations(triple))
        assert dtypes.result_type(triple + triple) is expected


def test_promote_speaks_numpy() -> None:
    f2, f4, f8, i4, c8 = map(np.dtype, ("float16", "float32", "float64", "int32", "complex64"))
    for default, of_int_and_float in ((dtypes.float32, f4), (dtypes.float64, f8)):
        set_default(default)
        assert dtypes.promote((i4,), (), (float,)) is of_int_and_float
    assert dtypes.promote((f2,), (f8,), (float, int)) is f2
    assert dtypes.promote((f4,), (c8,)) is c8
    assert dtypes.promote((f2, dtypes.bfloat16.numpy)) is f4
    with pytest.raises(TypeError, match="complex32 cannot be stored"):
        dtypes.promote((f2,), (), (complex,))


def test_nothing_to_promote() -> None:
    assert dtypes.result_type() is None
    assert dtypes.promote(()) is None


# -- The default dtype ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [*EVERY, float, int, "float32", None], ids=str)
def test_set_default_dtype(value: Any) -> None:
    other = theirs(value) if isinstance(value, dtype) else value
    assert outcome(dtypes.set_default_dtype, value) == outcome(torch.set_default_dtype, other)
    assert repr(dtypes.get_default_dtype()) == repr(torch.get_default_dtype())


@pytest.mark.parametrize("default", [dtypes.float16, dtypes.float32, dtypes.float64], ids=str)
@pytest.mark.parametrize("kind", SCALARS)
def test_dtype_of_a_python_number(kind: type, default: dtype) -> None:
    set_default(default)
    assert repr(dtypes.of_scalar(kind)) == repr(torch.tensor(SCALARS[kind]).dtype)


# -- Limits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", EVERY, ids=str)
def test_limits(each: dtype) -> None:
    for name in ("finfo", "iinfo"):
        ours, other = getattr(dtypes, name), getattr(torch, name)
        assert outcome(ours, each) == outcome(other, theirs(each))
        if outcome(ours, each).endswith("Error"):
            continue
        attributes = [name for name in dir(other(theirs(each))) if not name.startswith("_")]
        assert attributes == [name for name in dir(ours(each)) if not name.startswith("_")]
        for attribute in attributes:
            mine, reference = getattr(ours(each), attribute), getattr(other(theirs(each)), attribute)
            assert mine == reference
            assert type(mine) is type(reference)
        assert ours(each) == ours(each)
        assert hash(ours(each)) == hash(ours(each))


def test_limits_of_other_types() -> None:
    assert dtypes.finfo() == dtypes.finfo(dtypes.float32) != dtypes.finfo(dtypes.float64)
    assert repr(dtypes.finfo(float)) == repr(torch.finfo(float))
    assert repr(dtypes.iinfo(int)) == repr(torch.iinfo(int))
    set_default(dtypes.float64)
    assert repr(dtypes.finfo()) == repr(torch.finfo())
    with pytest.raises(TypeError, match=r"Use torch\.iinfo"):
        dtypes.finfo(dtypes.int8)
    with pytest.raises(TypeError, match=r"Use torch\.finfo"):
        dtypes.iinfo(dtypes.float16)
    for value in ("float32", 1):
        with pytest.raises(TypeError, match="must be a dtype"):
            dtypes.finfo(value)
