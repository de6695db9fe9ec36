"""What is imported when first asked for: modules, and the methods that Tensor has of them. It must not know any operation.

`python -m tests.public_names` writes the methods; tests/test_public_names.py says when they are not up to date.
"""

from typing import Final

MODULES: Final = (
    "activations",
    "adaptive_pooling",
    "arithmetic",
    "attention",
    "convolution",
    "counting",
    "ctc",
    "cumulative",
    "differences",
    "distance_losses",
    "distances",
    "distributions",
    "dropout",
    "einsum",
    "elimination",
    "embedding",
    "embedding_bags",
    "factorizations",
    "fft",
    "floating_point",
    "gates",
    "grids",
    "gumbel",
    "joining",
    "least_squares",
    "linalg",
    "linear",
    "logarithms",
    "losses",
    "low_rank",
    "margin_losses",
    "masked",
    "masks",
    "matrix_products",
    "normalization",
    "norms",
    "numpy_names",
    "ordering",
    "padding",
    "patches",
    "polynomials",
    "pooling",
    "positions",
    "quantiles",
    "queries",
    "reflections",
    "resampling",
    "sampling",
    "scatter",
    "scipy_special",
    "segments",
    "selection",
    "softmax",
    "sorting",
    "special",
    "spectrograms",
    "strides",
    "windows",
)

# operations: begin
METHODS: Final = """
        H T acosh acosh_ addcdiv addcdiv_ addcmul addcmul_ adjoint all any apply_ arccosh arccosh_ arcsinh arcsinh_
        arctanh arctanh_ argsort argwhere as_strided as_strided_ as_strided_scatter asinh asinh_ atanh atanh_ bernoulli
        bernoulli_ bincount cauchy_ ceil ceil_ cholesky cholesky_inverse cholesky_solve chunk clamp clamp_ clamp_max
        clamp_max_ clamp_min clamp_min_ clip clip_ combinations copysign copysign_ corrcoef count_nonzero cov cross
        cummax cummin cumprod cumprod_ cumsum cumsum_ deg2rad deg2rad_ det diag diag_embed diagflat diagonal
        diagonal_scatter diff digamma digamma_ dim_order dist dsplit erfc erfc_ erfinv erfinv_ exp2 exp2_ exponential_
        fill fix fix_ flip fliplr flipud float_power float_power_ floor floor_ fmax fmin frac frac_ frexp gather
        geometric_ hardshrink histc histogram householder_product hsplit hypot hypot_ i0 i0_ igamma igamma_ igammac
        igammac_ index_add index_add_ index_copy index_copy_ index_fill index_fill_ index_put index_put_ index_reduce
        index_reduce_ index_select inverse is_hpu is_meta is_mkldnn is_mps is_nested is_nonzero is_pinned is_quantized
        is_same_size is_set_to is_shared is_sparse is_sparse_csr is_vulkan is_xla is_xpu istft kron kthvalue layout
        ldexp ldexp_ lerp lerp_ lgamma lgamma_ log_normal_ log_softmax logaddexp logaddexp2 logcumsumexp logdet logit
        logit_ logsumexp lu lu_solve mH mT map_ masked_fill masked_fill_ masked_scatter masked_scatter_ masked_select
        matrix_exp matrix_power maximum median minimum mode moveaxis movedim msort multinomial mvlgamma mvlgamma_
        nan_to_num nan_to_num_ nanmedian nanquantile nextafter nextafter_ nonzero norm normal_ orgqr ormqr permute
        pin_memory pinverse polygamma polygamma_ prelu put put_ qr quantile rad2deg rad2deg_ random_ relu relu_ renorm
        renorm_ repeat_interleave roll rot90 round round_ scatter scatter_ scatter_add scatter_add_ scatter_reduce
        scatter_reduce_ select_scatter sgn sgn_ sign sign_ sinc sinc_ slice_scatter slogdet softmax sort split
        split_with_sizes stft svd swapaxes swapaxes_ swapdims swapdims_ t t_ take take_along_dim tensor_split topk
        transpose transpose_ triangular_solve tril tril_ triu triu_ trunc trunc_ unbind unfold uniform_ unique
        unique_consecutive untyped_storage vsplit where xlogy xlogy_
""".split()
# operations: end
