"""torch.linalg: linear algebra. It must not know what it computes; the operations register themselves."""

from typing import TYPE_CHECKING

from gradcore import ops
from gradcore.ops.registry import functions
from gradcore.primitives.linalg import LinAlgError as LinAlgError

if TYPE_CHECKING:
    # What the registry has; written by `python -m tests.public_names`.
    # operations: begin
    from gradcore.ops.elimination import (  # fmt: skip
        ldl_factor as ldl_factor, ldl_factor_ex as ldl_factor_ex, ldl_solve as ldl_solve, lu as lu, lu_factor as
        lu_factor, lu_factor_ex as lu_factor_ex, lu_solve as lu_solve,
    )
    from gradcore.ops.factorizations import (  # fmt: skip
        cholesky as cholesky, cholesky_ex as cholesky_ex, eig as eig, eigh as eigh, eigvals as eigvals, eigvalsh as
        eigvalsh, qr as qr, svd as svd, svdvals as svdvals,
    )
    from gradcore.ops.least_squares import (  # fmt: skip
        cond as cond, lstsq as lstsq, matrix_rank as matrix_rank, pinv as pinv,
    )
    from gradcore.ops.linalg import (  # fmt: skip
        det as det, inv as inv, inv_ex as inv_ex, matrix_exp as matrix_exp, slogdet as slogdet, solve as solve, solve_ex
        as solve_ex, solve_triangular as solve_triangular,
    )
    from gradcore.ops.matrix_products import (  # fmt: skip
        cross as cross, diagonal as diagonal, matrix_power as matrix_power, multi_dot as multi_dot, tensorinv as
        tensorinv, tensorsolve as tensorsolve, vander as vander, vecdot as vecdot,
    )
    from gradcore.ops.norms import (  # fmt: skip
        matrix_norm as matrix_norm, norm as norm, vector_norm as vector_norm,
    )
    from gradcore.ops.products import (  # fmt: skip
        matmul as matmul,
    )
    from gradcore.ops.reflections import (  # fmt: skip
        householder_product as householder_product,
    )
    # operations: end

ops.load()
globals().update(functions["linalg"])
