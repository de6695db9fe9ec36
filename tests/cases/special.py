"""The cases of special functions. It must not know how they are tested."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.cases import Case, pointwise


def _gamma(*shapes: tuple[int, ...]) -> Any:
    """Shapes of gamma distributions, and places around their modes."""

    def make(rng: np.random.Generator) -> tuple[Any, ...]:
        a = np.asarray(rng.uniform(0.7, 4.0, size=shapes[0]))
        return a, np.asarray(rng.uniform(0.3, 5.0, size=shapes[1]))

    return make


def _beta(*shapes: tuple[int, ...]) -> Any:
    """Shapes of beta distributions, and places on both sides of their means."""

    def make(rng: np.random.Generator) -> tuple[Any, ...]:
        a, b = (np.asarray(rng.uniform(0.7, 4.0, size=shape)) for shape in shapes[:2])
        return a, b, np.asarray(rng.uniform(0.2, 0.8, size=shapes[2]))

    return make


_SCIPY = [
    *(case for name in ("erfcx", "log_ndtr", "i0", "i1", "i0e", "i1e") for case in pointwise(name, low=0.2)),
    *pointwise("i0", low=-2.0, high=-0.2),
    *pointwise("erfinv", low=-0.7, high=0.7),
    *pointwise("ndtri", low=0.2, high=0.8),
    *(case for name in ("lgamma", "digamma") for case in pointwise(name, low=0.7)),
    *(case for order in (0, 1, 3) for case in pointwise("polygamma", low=0.9, order=order)),
    *(case for name in ("bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1") for case in pointwise(name, low=0.7, high=9)),
    *(
        case
        for name in ("modified_bessel_k0", "modified_bessel_k1", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1")
        for case in pointwise(name, low=0.7)
    ),
    Case("bessel_j1", lambda rng: (np.zeros(2),), label="0", smooth=False),
    *pointwise("lambertw", low=-0.3, high=4.0),
    *(case for name in ("expi", "exp1") for case in pointwise(name, low=0.5)),
    *(Case("expn", lambda rng: (rng.uniform(0.5, 2, size=(2, 3)),), {"n": n}, str(n)) for n in (0, 2)),
    *pointwise("erfcinv", low=0.4, high=1.6),
    *pointwise("gamma", low=0.7, high=3.0),
    *(case for name in ("beta", "betaln") for case in pointwise(name, 2, low=0.7)),
    *(case for name in ("rel_entr", "kl_div") for case in pointwise(name, 2, low=0.4)),
    Case("betainc", _beta((2, 3), (2, 3), (2, 3))),
    Case("betainc", _beta((3, 1), (2,), ()), label="broadcast"),
    *(Case("beta_moment", _beta((3,), (3,), (3,)), {"j": j, "k": k}, f"{j}{k}") for j, k in ((1, 0), (0, 1), (1, 2))),
    Case("gammaincinv", lambda rng: (rng.uniform(0.7, 3, size=4), rng.uniform(0.2, 0.8, size=4))),
    *pointwise("zeta", 2, low=1.5, high=4.0),
    *(Case(name, _gamma((2, 3), (2, 3))) for name in ("gammainc", "gammaincc")),
    Case("gammainc", _gamma((3, 1), (2,)), label="broadcast"),
    *(Case("gamma_moment", _gamma((3,), (3,)), {"k": k}) for k in (1, 2)),
]
_HOST = [
    *(case for name in ("airy_ai", "airy_slope", "dawsn") for case in pointwise(name, host=True)),
    *pointwise("spence", low=0.3, host=True),
    *pointwise("exprel", host=True),
    Case("spence", lambda rng: (np.ones(2),), label="1", host=True),
    *(case for name in ("ellipk", "ellipe") for case in pointwise(name, low=-0.8, high=0.8, host=True)),
    *pointwise("hyp1f1", a=0.7, b=1.6, host=True),
    *pointwise("hyp2f1", low=-0.8, high=0.7, a=0.7, b=-1.4, c=2.2, host=True),
    *(case for name in ("jv", "yv", "iv", "kv", "ive", "kve") for case in pointwise(name, 2, low=0.8, high=4.0, host=True)),
    *(case for kind in "jyik" for case in pointwise("bessel_by_order", 2, low=0.8, kind=kind, k=1, host=True)),
    *pointwise("bessel_by_order", 2, low=0.8, kind="k", k=2, host=True),
    *(case for name in ("fresnel_s", "fresnel_c") for case in pointwise(name, host=True)),
    *pointwise("struve", low=0.4, v=1.3, host=True),
    *pointwise("rgamma", low=0.4, host=True),
    *pointwise("poch", 2, low=0.4, host=True),
    *(case for name in ("ellipkinc", "ellipeinc") for case in pointwise(name, 2, low=0.2, high=0.8, host=True)),
    Case("wofz", lambda rng: (rng.uniform(-1, 1, 4) + 1j * rng.uniform(-0.5, 1, 4),), complex_=True, host=True),
    Case("betaincc", _beta((2, 3), (2, 3), (2, 3)), host=True),
]

CASES = [
    *pointwise("sinc", low=0.3, complex_=True),
    Case("sinc", lambda rng: (np.zeros(2),), label="0", smooth=False),
    *pointwise("erfc"),
    *pointwise("entr", low=0.3),
    Case("entr", lambda rng: (np.array([0.0, -1.0, 1.0, np.nan]),), label="ends", smooth=False),
    *pointwise("xlog1py", 2, low=0.3),
    Case("xlog1py", lambda rng: (np.zeros(3), np.array([-1.0, 2.0, np.nan])), label="0", smooth=False),
    *_SCIPY,
    *_HOST,
]
