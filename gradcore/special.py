"""torch.special: special functions. It must not know what they compute; the operations register themselves."""

from typing import TYPE_CHECKING
from typing import Any as _Any

from gradcore import ops
from gradcore.ops.registry import functions

if TYPE_CHECKING:
    # What the registry has; written by `python -m tests.public_names`.
    # operations: begin
    from gradcore.ops.logarithms import (  # fmt: skip
        exp2 as exp2, logit as logit, xlogy as xlogy,
    )
    from gradcore.ops.pointwise import (  # fmt: skip
        erf as erf, expm1 as expm1, log1p as log1p,
    )
    from gradcore.ops.scipy_special import (  # fmt: skip
        boxcox as boxcox, cosm1 as cosm1, exp10 as exp10, fresnel as fresnel, huber as huber, inv_boxcox as inv_boxcox,
        log1pexp as log1pexp, log_expit as log_expit, pseudo_huber as pseudo_huber, voigt_profile as voigt_profile, wofz
        as wofz,
    )
    from gradcore.ops.selection import (  # fmt: skip
        round as round,
    )
    from gradcore.ops.softmax import (  # fmt: skip
        log_softmax as log_softmax, logsumexp as logsumexp, softmax as softmax,
    )
    from gradcore.ops.special import (  # fmt: skip
        airy_ai as airy_ai, digamma as digamma, entr as entr, erfc as erfc, erfcx as erfcx, erfinv as erfinv, i0 as i0,
        i0e as i0e, i1 as i1, i1e as i1e, log_ndtr as log_ndtr, modified_bessel_i0 as modified_bessel_i0,
        modified_bessel_i1 as modified_bessel_i1, ndtr as ndtr, ndtri as ndtri, polygamma as polygamma, sinc as sinc,
        spherical_bessel_j0 as spherical_bessel_j0, xlog1py as xlog1py, zeta as zeta,
    )
    bessel_j0: _Any
    bessel_j1: _Any
    bessel_y0: _Any
    bessel_y1: _Any
    beta: _Any
    betainc: _Any
    betaincc: _Any
    betaln: _Any
    chebyshev_polynomial_t: _Any
    chebyshev_polynomial_u: _Any
    chebyshev_polynomial_v: _Any
    chebyshev_polynomial_w: _Any
    dawsn: _Any
    ellipe: _Any
    ellipeinc: _Any
    ellipk: _Any
    ellipkinc: _Any
    erfcinv: _Any
    exp1: _Any
    expi: _Any
    expit: _Any
    expn: _Any
    exprel: _Any
    gamma: _Any
    gammainc: _Any
    gammaincc: _Any
    gammaincinv: _Any
    gammaln: _Any
    hermite_polynomial_h: _Any
    hermite_polynomial_he: _Any
    hyp1f1: _Any
    hyp2f1: _Any
    iv: _Any
    ive: _Any
    jn: _Any
    jv: _Any
    kl_div: _Any
    kv: _Any
    kve: _Any
    laguerre_polynomial_l: _Any
    lambertw: _Any
    legendre_polynomial_p: _Any
    modified_bessel_k0: _Any
    modified_bessel_k1: _Any
    multigammaln: _Any
    poch: _Any
    psi: _Any
    rel_entr: _Any
    rgamma: _Any
    scaled_modified_bessel_k0: _Any
    scaled_modified_bessel_k1: _Any
    shifted_chebyshev_polynomial_t: _Any
    shifted_chebyshev_polynomial_u: _Any
    shifted_chebyshev_polynomial_v: _Any
    shifted_chebyshev_polynomial_w: _Any
    spence: _Any
    struve: _Any
    yn: _Any
    yv: _Any
    # operations: end

ops.load()
globals().update(functions["special"])
