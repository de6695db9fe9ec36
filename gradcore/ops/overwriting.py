"""torch's functions that overwrite their first argument: methods under their own names. It must not know any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore.ops.arguments import need_tensor
from gradcore.ops.dropout import alpha_dropout, dropout, feature_alpha_dropout, feature_dropout
from gradcore.ops.registry import functions
from gradcore.recorder.inplace import inplace

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

    def __getattr__(name: str) -> Any:  # the functions
        ...

_METHODS = """
    abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ asin_ asinh_ atan_ atanh_ ceil_ clamp_
    clamp_max_ clamp_min_ clip_ conj_physical_ cos_ cosh_ deg2rad_ detach_ erf_ erfc_ exp2_ exp_ expm1_ fix_ floor_ frac_
    gcd_ i0_ lcm_ ldexp_ log10_ log1p_ log2_ log_ logit_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ resize_as_ round_
    rsqrt_ sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_ trunc_ xlogy_
"""


def _function(name: str, method: Any = None) -> Any:
    def overwrite(input: Tensor, *args: Any, **keywords: Any) -> Any:
        need_tensor(input, name)
        return (method or getattr(type(input), name))(input, *args, **keywords)

    overwrite.__name__ = overwrite.__qualname__ = name
    overwrite.__doc__ = f"Overwrite `input` as its method `{name}` does, and return it."
    return overwrite


def _dropping(function: Any) -> Any:
    def drop(input: Tensor, p: float, train: bool) -> Any:
        return function(input, p, train, inplace=True)

    drop.__name__ = drop.__qualname__ = f"{function.__name__}_"
    drop.__doc__ = f"Overwrite `input` with what `{function.__name__}` makes of it, and return it."
    return drop


_made = {name: _function(name) for name in _METHODS.split()}
_made.update({f"{random.__name__}_": _dropping(random) for random in (alpha_dropout, dropout, feature_alpha_dropout)})
_made["feature_dropout_"] = _function("feature_dropout_", inplace(feature_dropout, "feature_dropout_"))
functions[""].update(_made)
globals().update(_made)
