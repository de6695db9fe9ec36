"""Special functions beside torch's, SciPy's and closed forms. It must not know how they are computed."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcore

special = pytest.importorskip("scipy.special")
torch = pytest.importorskip("torch")

from tests.beside import names  # noqa: E402
from tests.twin import same  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
ONE = """
    digamma entr erf erfc erfcx erfinv expit expm1 gammaln i0 i0e i1 i1e log1p log_ndtr modified_bessel_i0
    modified_bessel_i1 modified_bessel_k0 modified_bessel_k1 ndtr ndtri psi scaled_modified_bessel_k0
    scaled_modified_bessel_k1 sinc spherical_bessel_j0 airy_ai
""".split()
EXPRESSIONS = [
    *(f"torch.special.{name}(x)" for name in ONE),
    *(f"torch.special.{name}(l)" for name in ONE if name not in ("modified_bessel_k0", "modified_bessel_k1")),
    *(f"torch.special.{name}(w * 0.1)" for name in "digamma entr erfc erfcx erfinv i0 i0e i1 i1e log_ndtr ndtr".split()),
    "torch.lgamma(w + 0.5)", "w.digamma()", "torch.mvlgamma(w + 3, 2)", "torch.special.multigammaln(x + 3, p=3)",
    "torch.polygamma(1, w + 0.5)", "(w + 0.5).polygamma(3)", "u.polygamma_(2)", "torch.special.polygamma(0, w)",
    "torch.igamma(x + 1, w)", "torch.igammac(x3[0, :2] + 1, y[:2, None])", "torch.special.gammaincc(z, z)",
    "torch.special.zeta(2, w + 1)", "torch.special.zeta(x + 2, 2.5)", "torch.special.zeta(x + 2, y + 1)",
    "torch.special.xlog1py(w, 2)", "torch.special.xlog1py(2.5, w)", "torch.special.xlog1py(w, x)",
    *(f"torch.special.{f}_polynomial_{k}(x * 0.2, 4)" for f in ("chebyshev", "shifted_chebyshev") for k in "tuvw"),
    *(f"torch.special.{f}(x * 0.2, l)" for f in ("hermite_polynomial_h", "laguerre_polynomial_l")),
    "torch.special.chebyshev_polynomial_t(x * 0.2, y)", "torch.special.chebyshev_polynomial_u(x * 0.2, 0)",
    "torch.special.legendre_polynomial_p(0.5, l)", "torch.special.hermite_polynomial_he(x, -1)",
    "torch.polygamma(-1, x)", "torch.mvlgamma(x + 3, 0)", "torch.lgamma(2.0)",
]  # fmt: skip


@pytest.mark.parametrize("code", dict.fromkeys(EXPRESSIONS))
def test_functions_are_torchs(code: str) -> None:
    same(lambda T: eval(code, names(T)), torch, words=3, may_raise=True)


def test_the_namespace_has_all_of_torchs_names() -> None:
    theirs = {name for name in vars(torch.special) if name[0] != "_" and name not in ("Tensor", "common_args")}
    theirs = {name for name in theirs if callable(getattr(torch.special, name))}
    assert theirs <= set(dir(gradcore.special))


def slope(f: Any, *values: Any, by: int = 0) -> np.ndarray:
    """The derivative of a function of tensors by one of them."""
    leaves = [gradcore.tensor(v, dtype=gradcore.float64, requires_grad=i == by) for i, v in enumerate(values)]
    (g,) = gradcore.autograd.grad(f(*leaves).sum(), leaves[by])
    return np.asarray(g.numpy())


def test_derivatives_that_torch_has_not() -> None:
    s, rng = gradcore.special, np.random.default_rng()
    x, a = rng.uniform(0.2, 6, 9), rng.uniform(0.4, 30, 9)
    np.testing.assert_allclose(
        slope(s.gammaincc, np.ones(9), x), np.exp(-x) * (np.log(x) + np.euler_gamma) + special.exp1(x), rtol=1e-9
    )
    h = 1e-4 * a
    five = [special.gammainc(a + i * h, a * x / 3) for i in (-2, -1, 1, 2)]
    numeric = (five[0] - 8 * five[1] + 8 * five[2] - five[3]) / (12 * h)
    np.testing.assert_allclose(slope(s.gammainc, a, a * x / 3), numeric, rtol=1e-6, atol=1e-8)
    assert slope(s.zeta, 2.0, 1.0) == pytest.approx(-0.9375482543158437, rel=1e-13)
    half = math.log(2) * 2**3.5 * special.zeta(3.5) + (2**3.5 - 1) * slope(s.zeta, 3.5, 1.0)
    assert slope(s.zeta, 3.5, 0.5) == pytest.approx(half, rel=1e-12)
    np.testing.assert_allclose(slope(s.airy_ai, -x), special.airy(-x)[1], rtol=1e-10)
    np.testing.assert_allclose(slope(s.bessel_j1, x), special.jvp(1, x), rtol=1e-9, atol=1e-12)
    scaled = special.kve(1, x) + np.exp(x) * special.kvp(1, x)
    np.testing.assert_allclose(slope(s.scaled_modified_bessel_k1, x), scaled, rtol=1e-9)
    np.testing.assert_allclose(slope(lambda t: s.kv(1.3, t), x), special.kvp(1.3, x), rtol=1e-9)
    np.testing.assert_allclose(slope(s.lambertw, x) * (1 + 1 / special.lambertw(x).real) * x, 1, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("chebyshev_polynomial_t", special.eval_chebyt),
        ("chebyshev_polynomial_u", special.eval_chebyu),
        ("shifted_chebyshev_polynomial_t", special.eval_sh_chebyt),
        ("hermite_polynomial_h", special.eval_hermite),
        ("hermite_polynomial_he", special.eval_hermitenorm),
        ("laguerre_polynomial_l", special.eval_laguerre),
        ("legendre_polynomial_p", special.eval_legendre),
    ],
)
def test_polynomials_are_scipys_with_their_derivatives(name: str, reference: Any) -> None:
    x, n = np.random.default_rng().uniform(-0.9, 0.9, 6), np.arange(6)
    function = getattr(gradcore.special, name)
    values = function(gradcore.tensor(x), gradcore.tensor(n)).numpy()
    np.testing.assert_allclose(values, reference(n, x), rtol=1e-9, atol=1e-9)
    for k in (1, 4):
        fitted = np.polynomial.Polynomial.fit(np.linspace(-1, 1, 30), reference(k, np.linspace(-1, 1, 30)), k)
        np.testing.assert_allclose(slope(lambda t, k=k: function(t, k), x), fitted.deriv()(x), rtol=1e-8, atol=1e-8)


def test_parameters_without_a_derivative_are_refused() -> None:
    with pytest.raises(TypeError, match="'v' must be a number, not Tensor"):
        gradcore.special.struve(gradcore.ones(2), gradcore.ones(2))
    with pytest.raises(TypeError, match="takes a, b and x"):
        gradcore.special.hyp1f1(1, gradcore.ones(2))


def test_without_scipy_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['scipy'] = None; import gradcore as g; x = g.ones(2, requires_grad=True)\n"
        "print(x.erf().sum().item() > 1, g.special.entr(x).sum().item(), g.special.hermite_polynomial_h(x, 2)[0].item())\n"
        "try: x.lgamma()\nexcept ImportError as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True 0.0 2.0", "gammaln needs SciPy: pip install scipy"]


def test_what_cupy_lacks_is_an_error_that_says_so(strict_cuda: Any) -> None:
    x = gradcore.tensor(strict_cuda.array(np.ones(2)))
    with pytest.raises(NotImplementedError, match="CuPy has no special function no_such: compute it on the CPU"):
        strict_cuda.backend.special("no_such", x._array)
    assert gradcore.digamma(x).is_cuda


SCIPY: dict[str, Any] = {
    **dict.fromkeys("expi exp1 exprel dawsn lambertw spence gamma exp10 cosm1 log_expit j0 k1e".split(), (0.3, 2.0)),
    **dict.fromkeys("erfcinv ellipk ellipe".split(), (0.1, 0.9)),
}


@pytest.mark.parametrize("name", SCIPY)
def test_scipys_functions_take_tensors(name: str) -> None:
    x, h = np.random.default_rng().uniform(*SCIPY[name], 5), 1e-5
    function = getattr(special, name)
    leaf = gradcore.tensor(x, requires_grad=True)
    # SciPy's lambertw is no ufunc itself, and its result complex.
    out = gradcore.special.lambertw(leaf) if name == "lambertw" else function(leaf)
    np.testing.assert_allclose(out.detach().numpy(), function(x).real, rtol=1e-10)
    (g,) = gradcore.autograd.grad(out.sum(), leaf)
    np.testing.assert_allclose(g.numpy(), (function(x + h) - function(x - h)).real / (2 * h), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "numbers", "places"),
    [
        ("beta", (), [(0.5, 3), (0.5, 3)]),
        ("betaln", (), [(0.5, 9), (0.5, 9)]),
        ("betainc", (), [(0.5, 9), (0.5, 9), (0.1, 0.9)]),
        ("gammaincinv", (), [(0.5, 9), (0.1, 0.9)]),
        ("rel_entr", (), [(0.5, 3), (0.5, 3)]),
        ("kl_div", (), [(0.5, 3), (0.5, 3)]),
        ("boxcox", (), [(0.5, 3), (-1, 1)]),
        ("inv_boxcox", (), [(-0.5, 0.5), (0.2, 1)]),
        ("huber", (1.1,), [(-3, 3)]),
        ("pseudo_huber", (), [(0.5, 2), (-3, 3)]),
        *((name, (), [(0.3, 9), (0.5, 9)]) for name in ("jv", "yv", "iv", "kv", "ive", "kve")),
        ("jv", (1.5,), [(0.5, 9)]),
        ("yv", (2,), [(0.5, 9)]),
        ("jn", (2,), [(0.5, 9)]),
        ("yn", (1,), [(0.5, 9)]),
        ("struve", (0.7,), [(0.5, 9)]),
        ("betaincc", (), [(0.5, 9), (0.5, 9), (0.1, 0.9)]),
        ("poch", (), [(0.5, 3), (0.5, 3)]),
        ("rgamma", (), [(-0.9, 3)]),
        ("ellipkinc", (), [(0.1, 1.5), (-2, 0.9)]),
        ("ellipeinc", (), [(0.1, 1.5), (-2, 0.9)]),
        ("voigt_profile", (), [(-3, 3), (0.5, 2), (0.1, 2)]),
        ("expn", (3,), [(0.5, 3)]),
        ("hyp1f1", (0.5, 1.5), [(-2, 2)]),
        ("hyp2f1", (0.5, 1.5, 2.5), [(-2, 0.8)]),
    ],
)
def test_functions_of_several_arguments_have_the_derivatives_of_all(name: str, numbers: Any, places: Any) -> None:
    rng, h = np.random.default_rng(), 1e-5
    points = [rng.uniform(*place, 6) for place in places]
    leaves = [gradcore.tensor(point, requires_grad=True) for point in points]
    reference = getattr(special, name)
    for function in (getattr(gradcore.special, name), reference):  # ours, and SciPy's given tensors
        out = function(*numbers, *leaves)
        np.testing.assert_allclose(out.detach().numpy(), reference(*numbers, *points), rtol=1e-9, atol=1e-12)
    grads = gradcore.autograd.grad(out.sum(), leaves)
    for i, grad in enumerate(grads):
        ends = [reference(*numbers, *points[:i], points[i] + s, *points[i + 1 :]) for s in (h, -h)]
        np.testing.assert_allclose(grad.numpy(), (ends[0] - ends[1]) / (2 * h), rtol=1e-5, atol=1e-6)


def test_derivatives_by_the_order_of_bessel_functions() -> None:
    s, x = gradcore.special, np.random.default_rng().uniform(0.3, 30, 9)
    half = np.full(9, 0.5)
    np.testing.assert_allclose(slope(s.kv, half, x), np.sqrt(np.pi / (2 * x)) * np.exp(x) * special.exp1(2 * x), rtol=1e-9)
    ci, si = special.sici(2 * x)[::-1]
    expected = np.sqrt(2 / (np.pi * x)) * (np.sin(x) * ci - np.cos(x) * si)  # DLMF 10.15.6
    np.testing.assert_allclose(slope(s.jv, half, x), expected, rtol=1e-9, atol=1e-11)
    expected = np.sqrt(2 / (np.pi * x)) * (np.cos(x) * ci + np.sin(x) * (si - np.pi))  # DLMF 10.15.8
    np.testing.assert_allclose(slope(s.yv, half, x), expected, rtol=1e-9, atol=1e-11)
    v = np.random.default_rng().uniform(20, 30, 9)
    for name in ("jv", "iv", "kve"):
        f, h = getattr(special, name), 1e-3
        five = [f(v + i * h, x) for i in (-2, -1, 1, 2)]
        numeric = (five[0] - 8 * five[1] + 8 * five[2] - five[3]) / (12 * h)
        np.testing.assert_allclose(slope(getattr(s, name), v, x), numeric, rtol=1e-6, atol=1e-9)
    assert np.isnan(slope(s.jv, [1.0], [-2.0])).all()  # a number of no meaning is none


def test_fresnel_faddeeva_and_softplus_are_scipys() -> None:
    x = np.random.default_rng().uniform(-2, 2, 6)
    leaf = gradcore.tensor(x, requires_grad=True)
    for ours, theirs in zip(gradcore.special.fresnel(leaf), special.fresnel(x), strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-12)
    np.testing.assert_allclose(slope(lambda t: gradcore.special.fresnel(t)[0], x), np.sin(np.pi / 2 * x**2), rtol=1e-9)
    np.testing.assert_allclose(slope(lambda t: gradcore.special.fresnel(t)[1], x), np.cos(np.pi / 2 * x**2), rtol=1e-9)
    np.testing.assert_allclose(gradcore.special.wofz(leaf).detach().numpy(), special.wofz(x), rtol=1e-12)
    real = slope(lambda t: gradcore.special.wofz(t).real, x)
    np.testing.assert_allclose(real, -2 * x * np.exp(-(x**2)), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(slope(gradcore.special.log1pexp, x * 400), special.expit(x * 400), rtol=1e-9)


def test_one_of_several_arguments_must_be_a_tensor() -> None:
    assert gradcore.special.betainc(2, 3.0, gradcore.tensor(0.5)).item() == pytest.approx(0.6875)
    wide = gradcore.tensor(0.3, dtype=gradcore.float64)  # what is a number keeps the precision of a tensor beside it
    assert gradcore.special.betainc(2.1, 3.3, wide).item() == pytest.approx(special.betainc(2.1, 3.3, 0.3), rel=1e-14)
    assert gradcore.special.boxcox(2.1, wide).item() == pytest.approx(special.boxcox(2.1, 0.3), rel=1e-14)
    expected = special.voigt_profile(0.7, 1.1, 0.3)
    assert gradcore.special.voigt_profile(0.7, 1.1, wide).item() == pytest.approx(expected, rel=1e-13)
    with pytest.raises(TypeError, match="one of a, b, x must be a Tensor"):
        gradcore.special.betainc(2, 3, 0.5)
    with pytest.raises(TypeError, match="takes a, b, not 1 arguments"):
        gradcore.special.beta(gradcore.ones(1))
