"""What is compared besides derivatives: function, method, in-place, operator, alias, out= and errors."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import torch

from tests.oracle.catalogue import Entry
from tests.oracle.compare import REFERENCE, difference
from tests.oracle.library import Library, tensors_in
from tests.oracle.trial import Arguments, Attempt, Check, NotApplicable, Trial, attempt

# A decomposition is unique up to signs or phases; op_db's output_process_fn_grad removes them.
GAUGE = {"linalg.svd", "svd", "linalg.eigh", "linalg.eig", "svd_lowrank", "pca_lowrank"}
# The values are whatever the memory held.
UNINITIALISED = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "empty_permuted"}
# The values are drawn; tests/oracle/randomness.py has what can be said.
RANDOM = {
    "bernoulli",
    "cauchy",
    "exponential",
    "geometric",
    "log_normal",
    "multinomial",
    "nn.functional.alpha_dropout",
    "nn.functional.dropout",
    "nn.functional.dropout2d",
    "nn.functional.dropout3d",
    "nn.functional.feature_alpha_dropout",
    "nn.functional.fractional_max_pool2d",
    "nn.functional.fractional_max_pool3d",
    "nn.functional.multi_head_attention_forward",
    "nn.functional.rrelu",
    "nn.functional.scaled_dot_product_attention",
    "normal",
    "pca_lowrank",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "svd_lowrank",
    "uniform",
}


def set_item(x: Any, *args: Any, **kwargs: Any) -> Any:
    """Spell index_put, masked_fill and fill as the assignment that means the same."""
    match args:
        case (index, value) if kwargs in ({}, {"accumulate": False}):
            x[index] = value
        case (value,) if not kwargs:
            x[...] = value
        case _:
            raise NotApplicable
    return x


def get_real(x: Any) -> Any:
    return x.real


def get_imag(x: Any) -> Any:
    return x.imag


# op_db finds an operator by the op's name; these have another name, or are attributes and assignments.
OPERATORS: dict[str, Callable[..., Any]] = {
    "bitwise_and": operator.and_,
    "bitwise_left_shift": operator.lshift,
    "bitwise_not": operator.invert,
    "bitwise_or": operator.or_,
    "bitwise_right_shift": operator.rshift,
    "bitwise_xor": operator.xor,
    "floor_divide": operator.floordiv,
    "imag": get_imag,
    "positive": operator.pos,
    "real": get_real,
    "true_divide": operator.truediv,
}
INPLACE_OPERATORS: dict[str, Callable[..., Any]] = {
    "bitwise_and": operator.iand,
    "bitwise_left_shift": operator.ilshift,
    "bitwise_or": operator.ior,
    "bitwise_right_shift": operator.irshift,
    "bitwise_xor": operator.ixor,
    "fill": set_item,
    "floor_divide": operator.ifloordiv,
    "index_put": set_item,
    "masked_fill": set_item,
    "true_divide": operator.itruediv,
}


def operator_of(info: Any) -> Callable[..., Any] | None:
    if info.name == "div":
        return operator.truediv if info.variant_test_name == "no_rounding_mode" else None
    if info.name == "__getitem__":
        return None
    return OPERATORS.get(info.name) or info.get_operator()


def inplace_operator_of(info: Any) -> Callable[..., Any] | None:
    if info.name == "div":
        return operator.itruediv if info.variant_test_name == "no_rounding_mode" else None
    return INPLACE_OPERATORS.get(info.name) or info.get_inplace_operator()


def compared(trial: Trial, sample: Any, expected: Attempt, actual: Attempt) -> str | None:
    """Give the verdict on two results, as far as the op determines them."""
    gauge = trial.info.name in GAUGE
    found = trial.verdict(expected, actual, values=not gauge and trial.info.name not in UNINITIALISED)
    if found or not gauge or expected.error:
        return found
    process = sample.output_process_fn_grad
    actual = attempt(trial.library.resolve(process), actual.value)
    return trial.verdict(attempt(process, expected.value), actual)


def variant(trial: Trial, sample: Any, torch_function: Callable[..., Any], path: str) -> str | None:
    """Call one spelling of the op on both sides and compare results and arguments."""
    function = trial.library.resolve(torch_function, path)
    theirs = trial.arguments(REFERENCE, sample)
    ours = trial.arguments(trial.library, sample)
    expected = attempt(torch_function, theirs.input, *theirs.args, **theirs.kwargs)
    actual = attempt(trial.library.call, function, ours.input, *ours.args, **ours.kwargs)
    return compared(trial, sample, expected, actual) or trial.inputs_differ(theirs, ours)


def check_function(trial: Trial, sample: Any) -> str | None:
    return variant(trial, sample, trial.info.op, trial.info.name)


def check_method(trial: Trial, sample: Any) -> str | None:
    if not isinstance(sample.input, torch.Tensor):
        raise NotApplicable
    return variant(trial, sample, trial.info.get_method(), f"Tensor.{trial.info.name}")


def expected_to_resize(trial: Trial, sample: Any, torch_function: Callable[..., Any]) -> bool:
    """Whether torch, instead of refusing, lets the written tensor grow: a slip of some of its BLAS ops."""
    theirs = trial.arguments(REFERENCE, sample)
    done = attempt(torch_function, theirs.input, *theirs.args, **theirs.kwargs)
    return done.error is None and tuple(theirs.input.shape) != tuple(sample.input.shape)


def written(trial: Trial, sample: Any, torch_function: Callable[..., Any], path: str) -> str | None:
    """Call an in-place spelling: same result, same object, and the memory that a view of the input sees."""
    if not isinstance(sample.input, torch.Tensor):
        raise NotApplicable
    function = trial.library.resolve(torch_function, path)
    theirs, ours = trial.arguments(REFERENCE, sample), trial.arguments(trial.library, sample)
    if sample.broadcasts_input and expected_to_resize(trial, sample, torch_function):
        raise NotApplicable
    their_view, our_view = theirs.input.detach(), ours.input.detach()
    expected = attempt(torch_function, theirs.input, *theirs.args, **theirs.kwargs)
    actual = attempt(trial.library.call, function, ours.input, *ours.args, **ours.kwargs)
    found = compared(trial, sample, expected, actual) or trial.inputs_differ(theirs, ours)
    if found or expected.error:
        return found
    if expected.value is theirs.input and actual.value is not ours.input:
        return "the result is not the tensor it was called on"
    seen = difference(their_view, our_view, trial.library, trial.tolerance)
    return seen and f"a view taken before does not see what torch's sees: {seen}"


def check_inplace(trial: Trial, sample: Any) -> str | None:
    return written(trial, sample, trial.info.get_inplace(), f"Tensor.{trial.info.name}_")


def check_operator(trial: Trial, sample: Any) -> str | None:
    function = operator_of(trial.info)
    assert function is not None
    if sample.kwargs or not isinstance(sample.input, torch.Tensor):
        raise NotApplicable
    if len(sample.args) == 1 and isinstance(sample.args[0], int | float | complex):
        return variant(trial, sample, function, "") or variant(trial, sample, swapped(function), "")
    return variant(trial, sample, function, "")


def swapped(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, y: function(y, x)


def check_inplace_operator(trial: Trial, sample: Any) -> str | None:
    function = inplace_operator_of(trial.info)
    assert function is not None
    if sample.kwargs and function is not set_item:
        raise NotApplicable
    return written(trial, sample, function, "")


def check_alias(trial: Trial, sample: Any) -> str | None:
    """Compare every alias's function, method and in-place method with torch's."""
    for alias in trial.info.aliases:
        found = variant(trial, sample, alias.op, alias.name.removeprefix("torch."))
        if not found and isinstance(sample.input, torch.Tensor):
            if alias.method_variant:
                found = variant(trial, sample, alias.method_variant, f"Tensor.{alias.name}")
            if not found and alias.inplace_variant:
                found = written(trial, sample, alias.inplace_variant, f"Tensor.{alias.name}_")
        if found:
            return f"alias {alias.name}: {found}"
    return None


def a_few_samples(trial: Trial) -> Iterator[Any]:
    """An alias is the same function under another name: the first samples tell whether it is there."""
    for index, sample in enumerate(trial.samples(requires_grad=False)):
        if index == 4:
            return
        yield sample


def check_out(trial: Trial, sample: Any) -> str | None:
    """Write into out= of the right shape and dtype, contiguous or not, and refuse an integer out for a float result."""
    plain = trial.arguments(REFERENCE, sample)
    result = attempt(trial.info.op, plain.input, *plain.args, **plain.kwargs)
    if result.error or not all_tensors(result.value):
        raise NotApplicable
    for prepare in (like, strided_like, integer_like):
        out = prepared(result.value, prepare)
        theirs, ours = trial.arguments(REFERENCE, sample), trial.arguments(trial.library, sample)
        expected = called_with_out(REFERENCE, trial.info.op, theirs, out)
        if isinstance(expected.error, TypeError) or (expected.error and prepare is like):
            raise NotApplicable  # this overload takes no out=
        function = trial.library.resolve(trial.info.op, trial.info.name)
        actual = called_with_out(trial.library, function, ours, out)
        values = trial.info.name not in UNINITIALISED | RANDOM | GAUGE
        found = trial.verdict(expected, actual, values=values)
        if found and prepare is not integer_like and not expected.error:  # torch leaves some unwritten: ihfftn's, gelu's
            expected.value = [result.value] if isinstance(result.value, torch.Tensor) else list(result.value)
            found = trial.verdict(expected, actual, values=values)
        if found:
            return f"out= ({prepare.__name__}): {found}"
    return None


def called_with_out(library: Library, function: Callable[..., Any], given: Arguments, out: Any) -> Attempt:
    """Call with a copy of `out` as this library's tensors; the value is what stands in them afterwards."""
    target = library.convert(out, {})
    done = attempt(library.call, function, given.input, *given.args, **given.kwargs, out=target)
    if done.error is None:
        members = [target] if library.is_tensor(target) else list(target)
        returned = [done.value] if library.is_tensor(done.value) else list(done.value)
        if [id(t) for t in members] != [id(t) for t in returned]:
            return Attempt(error=AssertionError("the result is not the tensor given as out="))
        done.value = members
    return done


def all_tensors(value: Any) -> bool:
    return isinstance(value, torch.Tensor) or (
        isinstance(value, tuple) and bool(value) and all(isinstance(v, torch.Tensor) for v in value)
    )


def prepared(value: Any, prepare: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    return prepare(value) if isinstance(value, torch.Tensor) else tuple(prepare(v) for v in value)


def like(result: torch.Tensor) -> torch.Tensor:
    return torch.full_like(result, 7 if result.dtype is not torch.bool else 1, requires_grad=False)


def strided_like(result: torch.Tensor) -> torch.Tensor:
    doubled = torch.zeros((*result.shape, 2), dtype=result.dtype)
    return doubled[..., 0]


def integer_like(result: torch.Tensor) -> torch.Tensor:
    return torch.zeros(result.shape, dtype=torch.long)


def error_samples(trial: Trial) -> Iterator[Any]:
    for error in trial.info.error_inputs("cpu"):
        yield error.sample_input


def check_errors(trial: Trial, sample: Any) -> str | None:
    """Give the bad input of op_db: where torch raises, the same type must be raised, and nothing changed."""
    theirs, ours = trial.arguments(REFERENCE, sample), trial.arguments(trial.library, sample)
    expected = attempt(trial.info.op, theirs.input, *theirs.args, **theirs.kwargs)
    if expected.error is None:
        raise NotApplicable  # op_db means another device or build
    if "descriptor" in str(expected.error):
        raise NotApplicable  # an unbound method of an extension type: no refusal of torch's own, and ours is a function
    if "out of bounds" in str(expected.error) and hasattr(trial.library, "device"):
        raise NotApplicable  # indices are values, at which no device looks; torch's then stops for good
    function = trial.library.resolve(trial.info.op, trial.info.name)
    found = trial.verdict(expected, attempt(trial.library.call, function, ours.input, *ours.args, **ours.kwargs))
    if found:
        return found
    before = tensors_in((sample.input, sample.args, sample.kwargs))
    for i, (original, left, ours_left) in enumerate(zip(before, theirs.tensors, ours.tensors, strict=True)):
        kept = difference(original, left, REFERENCE, trial.tolerance) is None
        found = difference(original, ours_left, trial.library, trial.tolerance)
        if kept and found:
            return f"the call failed, as it must, but changed tensor argument {i}: {found}"
    return None


def determined(entry: Entry, dtype: torch.dtype) -> bool:
    return entry.info.name not in RANDOM


def has(find: Callable[[Any], Any]) -> Callable[[Entry, torch.dtype], bool]:
    return lambda entry, dtype: determined(entry, dtype) and bool(find(entry.info))


def once(entry: Entry, dtype: torch.dtype) -> bool:
    """Error inputs do not depend on the dtype."""
    return dtype is torch.float32 and entry.info.error_inputs_func is not None


CHECKS = [
    Check("function", determined, check_function),
    Check("method", has(lambda info: info.get_method()), check_method),
    Check("inplace", has(lambda info: info.get_inplace()), check_inplace),
    Check("operator", has(operator_of), check_operator),
    Check("inplace_operator", has(inplace_operator_of), check_inplace_operator),
    Check(
        "alias", has(lambda info: info.aliases), check_alias, samples=a_few_samples, counts_samples=False
    ),
    Check("out", has(lambda info: info.supports_out), check_out),
    Check("errors", once, check_errors, samples=error_samples, counts_samples=False),
]
