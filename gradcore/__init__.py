"""Gradients for the arrays people already have: PyTorch's autograd over NumPy and CuPy. See docs/architecture.md."""

from importlib import import_module as _import_module
from math import e as e, inf as inf, nan as nan, pi as pi
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

# The backends first, for they import NumPy. From as deep in the stack as the other imports go, NumPy's import would cross
# the end of the interpreter's chunk of frames again and again, which makes `import gradcore` a tenth slower.
from gradcore import backends as _backends  # isort: skip
from gradcore import autograd as autograd, ops as ops
from gradcore import dtypes as _dtypes
from gradcore.devices import (
    device as device, get_default_device as get_default_device, set_default_device as set_default_device,
)  # fmt: skip
from gradcore.dtypes import (
    bfloat16 as bfloat16, can_cast as can_cast, cdouble as cdouble, cfloat as cfloat, complex64 as complex64, complex128
    as complex128, double as double, dtype as dtype, finfo as finfo, float16 as float16, float32 as float32, float64 as
    float64, get_default_dtype as get_default_dtype, half as half, iinfo as iinfo, int8 as int8, int16 as int16, int32 as
    int32, int64 as int64, long as long, promote_types as promote_types, set_default_dtype as set_default_dtype, short as
    short, uint8 as uint8, uint16 as uint16, uint32 as uint32, uint64 as uint64,
)  # fmt: skip
from gradcore.graph.modes import (
    enable_grad as enable_grad, inference_mode as inference_mode, is_grad_enabled as is_grad_enabled,
    is_inference_mode_enabled as is_inference_mode_enabled, no_grad as no_grad, set_grad_enabled as set_grad_enabled,
)  # fmt: skip
from gradcore.layouts import (
    channels_last as channels_last, channels_last_3d as channels_last_3d, contiguous_format as contiguous_format, layout
    as layout, memory_format as memory_format, preserve_format as preserve_format, sparse_coo as sparse_coo, sparse_csr
    as sparse_csr, strided as strided,
)  # fmt: skip
from gradcore.backends.shared import OutOfMemoryError as OutOfMemoryError
from gradcore.size import Size as Size
from gradcore.tensor import Tensor as Tensor

# torch's names for these hide Python's own, so they are not imported by name above.
bool, int, float = _dtypes.bool, _dtypes.int, _dtypes.float
newaxis = None

if _TYPE_CHECKING:
    # What the registry has, for type checkers and editors; written by `python -m tests.public_names`.
    from gradcore import cuda as cuda, fft as fft, linalg as linalg, nn as nn, optim as optim, special as special
    from gradcore.autograd.anomaly_mode import (
        is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled, is_anomaly_enabled as is_anomaly_enabled,
    )
    from gradcore.autograd.held import memory as memory
    from gradcore.autograd.per_sample import per_sample_grad as per_sample_grad
    from gradcore.autograd.pulls import trace_backward as trace_backward
    from gradcore.determinism import (
        are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled, get_deterministic_debug_mode as
        get_deterministic_debug_mode, is_deterministic_algorithms_warn_only_enabled as
        is_deterministic_algorithms_warn_only_enabled, set_deterministic_debug_mode as set_deterministic_debug_mode,
        use_deterministic_algorithms as use_deterministic_algorithms,
    )
    from gradcore.func import vmap as vmap
    from gradcore.generator import (
        Generator as Generator, default_generator as default_generator, get_rng_state as get_rng_state, initial_seed as
        initial_seed, manual_seed as manual_seed, seed as seed, set_rng_state as set_rng_state,
    )
    from gradcore.printing import (
        get_printoptions as get_printoptions, printoptions as printoptions, set_printoptions as set_printoptions,
    )
    from gradcore.serialization import load as load, save as save

    # operations: begin
    from gradcore.ops.activations import (  # fmt: skip
        celu as celu, celu_ as celu_, relu_ as relu_, selu as selu, selu_ as selu_,
    )
    from gradcore.ops.adaptive_pooling import (  # fmt: skip
        adaptive_avg_pool1d as adaptive_avg_pool1d, adaptive_max_pool1d_with_indices as _adaptive_max_pool1d,
    )
    from gradcore.ops.arithmetic import (  # fmt: skip
        addcdiv as addcdiv, addcmul as addcmul, deg2rad as deg2rad, float_power as float_power, hypot as hypot, ldexp as
        ldexp, lerp as lerp, rad2deg as rad2deg,
    )
    from gradcore.ops.assigning import (  # fmt: skip
        fill_ as fill_, zero_ as zero_,
    )
    from gradcore.ops.aten_forms import (  # fmt: skip
        batch_norm as batch_norm, binary_cross_entropy_with_logits as binary_cross_entropy_with_logits, convolution as
        convolution, embedding_ as _embedding, empty_permuted as empty_permuted, frobenius_norm as frobenius_norm,
        grid_sampler_2d as grid_sampler_2d, grid_sampler_3d as grid_sampler_3d, gru_cell as gru_cell, instance_norm as
        instance_norm, kl_div as kl_div, lstm_cell as lstm_cell, native_batch_norm as native_batch_norm,
        native_group_norm as native_group_norm, native_layer_norm as native_layer_norm, norm_except_dim as
        norm_except_dim, nuclear_norm as nuclear_norm, poisson_nll_loss as poisson_nll_loss, rnn_relu_cell as
        rnn_relu_cell, rnn_tanh_cell as rnn_tanh_cell, vander as vander,
    )
    from gradcore.ops.comparison import (  # fmt: skip
        allclose as allclose, bitwise_and as bitwise_and, bitwise_left_shift as bitwise_left_shift, bitwise_not as
        bitwise_not, bitwise_or as bitwise_or, bitwise_right_shift as bitwise_right_shift, bitwise_xor as bitwise_xor,
        eq as eq, equal as equal, gcd as gcd, ge as ge, gt as _greater, ge as _greater_equal, gt as gt, heaviside as
        heaviside, isclose as isclose, isfinite as isfinite, isinf as isinf, isnan as isnan, isneginf as isneginf,
        isposinf as isposinf, isreal as isreal, lcm as lcm, le as le, lt as _less, le as _less_equal, logical_and as
        logical_and, logical_not as logical_not, logical_or as logical_or, logical_xor as logical_xor, lt as lt, ne as
        ne, ne as _not_equal, signbit as signbit,
    )
    from gradcore.ops.complex_numbers import (  # fmt: skip
        angle as angle, conj as conj, conj_physical as conj_physical, imag as imag, is_conj as is_conj, is_conj as
        _is_neg, real as real, resolve_conj as resolve_conj, resolve_conj as _resolve_neg, view_as_complex as
        view_as_complex, view_as_real as view_as_real,
    )
    from gradcore.ops.conv_tbc import (  # fmt: skip
        conv_tbc as conv_tbc,
    )
    from gradcore.ops.conversion import (  # fmt: skip
        clone as clone,
    )
    from gradcore.ops.convolution import (  # fmt: skip
        conv1d as conv1d, conv2d as conv2d, conv3d as conv3d, conv_transpose1d as conv_transpose1d, conv_transpose2d as
        conv_transpose2d, conv_transpose3d as conv_transpose3d,
    )
    from gradcore.ops.counting import (  # fmt: skip
        all as all, any as any, bincount as bincount, bucketize as bucketize, count_nonzero as count_nonzero, histc as
        histc, histogram as histogram, histogramdd as histogramdd, isin as isin, searchsorted as searchsorted, unique as
        unique, unique_consecutive as unique_consecutive,
    )
    from gradcore.ops.creation import (  # fmt: skip
        as_tensor as as_tensor, asarray as asarray, from_dlpack as from_dlpack, from_numpy as from_numpy, frombuffer as
        frombuffer, tensor as tensor,
    )
    from gradcore.ops.ctc import (  # fmt: skip
        ctc_loss as ctc_loss,
    )
    from gradcore.ops.cumulative import (  # fmt: skip
        cummax as cummax, cummin as cummin, cumprod as cumprod, cumsum as cumsum, logcumsumexp as logcumsumexp, prod as
        prod,
    )
    from gradcore.ops.deviations import (  # fmt: skip
        std as std, std_mean as std_mean, var as var, var_mean as var_mean,
    )
    from gradcore.ops.differences import (  # fmt: skip
        corrcoef as corrcoef, cov as cov, cumulative_trapezoid as cumulative_trapezoid, diff as diff, gradient as
        gradient, trapezoid as trapezoid, trapezoid as _trapz,
    )
    from gradcore.ops.distance_losses import (  # fmt: skip
        cosine_embedding_loss as cosine_embedding_loss, cosine_similarity as cosine_similarity, hinge_embedding_loss as
        hinge_embedding_loss, margin_ranking_loss as margin_ranking_loss, pairwise_distance as pairwise_distance,
        triplet_margin_loss as triplet_margin_loss,
    )
    from gradcore.ops.distances import (  # fmt: skip
        cdist as cdist, pdist as pdist,
    )
    from gradcore.ops.distributions import (  # fmt: skip
        bernoulli as bernoulli, multinomial as multinomial, normal as normal, poisson as poisson,
    )
    from gradcore.ops.dropout import (  # fmt: skip
        feature_dropout as feature_dropout,
    )
    from gradcore.ops.einsum import (  # fmt: skip
        einsum as einsum,
    )
    from gradcore.ops.extrema import (  # fmt: skip
        amax as amax, amin as amin, aminmax as aminmax, argmax as argmax, argmin as argmin, max as max, min as min,
    )
    from gradcore.ops.factorizations import (  # fmt: skip
        cholesky_ as _cholesky, qr_ as _qr, svd_ as _svd,
    )
    from gradcore.ops.filling import (  # fmt: skip
        arange as arange, empty as empty, empty_strided as empty_strided, eye as eye, full as full, full_like as
        full_like, linspace as linspace, logspace as logspace, ones as ones, range_ as _range, scalar_tensor as
        scalar_tensor, zeros as zeros,
    )
    from gradcore.ops.floating_point import (  # fmt: skip
        copysign as copysign, fmax as fmax, fmin as fmin, frac as frac, frexp as frexp, nan_to_num as nan_to_num,
        nextafter as nextafter,
    )
    from gradcore.ops.gates import (  # fmt: skip
        hardshrink as hardshrink, prelu as prelu, rrelu as rrelu, rrelu_ as rrelu_, threshold as threshold, threshold_
        as threshold_,
    )
    from gradcore.ops.grids import (  # fmt: skip
        affine_grid as _affine_grid_generator, grid_sampler as grid_sampler,
    )
    from gradcore.ops.indexing import (  # fmt: skip
        narrow as narrow, narrow_copy as narrow_copy, select as select,
    )
    from gradcore.ops.joining import (  # fmt: skip
        block_diag as block_diag, cartesian_prod as cartesian_prod, cat as cat, chunk as chunk, column_stack as
        column_stack, combinations as combinations, cat as _concat, cat as _concatenate, dsplit as dsplit, dstack as
        dstack, hsplit as hsplit, hstack as hstack, vstack as _row_stack, split as split, split_with_sizes as
        split_with_sizes, stack as stack, tensor_split as tensor_split, unbind as unbind, vsplit as vsplit, vstack as
        vstack,
    )
    from gradcore.ops.least_squares import (  # fmt: skip
        pinverse as pinverse,
    )
    from gradcore.ops.linalg import (  # fmt: skip
        cholesky_inverse as cholesky_inverse, cholesky_solve as cholesky_solve, det_ as _det, inverse as inverse, logdet
        as logdet, matrix_exp as matrix_exp, slogdet_ as _slogdet,
    )
    from gradcore.ops.linear import (  # fmt: skip
        bilinear as bilinear,
    )
    from gradcore.ops.logarithms import (  # fmt: skip
        acosh as acosh, acosh as _arccosh, asinh as _arcsinh, atanh as _arctanh, asinh as asinh, atanh as atanh, exp2 as
        exp2, logaddexp as logaddexp, logaddexp2 as logaddexp2, logit as logit, xlogy as xlogy,
    )
    from gradcore.ops.low_rank import (  # fmt: skip
        pca_lowrank as pca_lowrank, svd_lowrank as svd_lowrank,
    )
    from gradcore.ops.masks import (  # fmt: skip
        index_fill as index_fill, masked_fill as masked_fill, masked_scatter as masked_scatter, masked_select as
        masked_select,
    )
    from gradcore.ops.matrix_products import (  # fmt: skip
        chain_matmul as chain_matmul, cross_ as _cross, kron as kron, matrix_power as matrix_power,
    )
    from gradcore.ops.normalization import (  # fmt: skip
        group_norm as group_norm, layer_norm as layer_norm, rms_norm as rms_norm,
    )
    from gradcore.ops.norms import (  # fmt: skip
        dist as dist, norm_ as _norm, renorm as renorm,
    )
    from gradcore.ops.numpy_names import (  # fmt: skip
        apply_along_axis as apply_along_axis, convolve as convolve, correlate as correlate, interp as interp, piecewise
        as piecewise, polyval as polyval, unwrap as unwrap,
    )
    from gradcore.ops.ordering import (  # fmt: skip
        adjoint as adjoint, flip as flip, fliplr as fliplr, flipud as flipud, movedim as _moveaxis, movedim as movedim,
        permute as permute, roll as roll, rot90 as rot90, swapaxes as swapaxes, transpose as _swapdims, t as t,
        transpose as transpose,
    )
    from gradcore.ops.overwriting import (  # fmt: skip
        abs_ as abs_, acos_ as acos_, acosh_ as acosh_, addmv_ as addmv_, alpha_dropout_ as alpha_dropout_, arccos_ as
        arccos_, arccosh_ as arccosh_, arcsin_ as arcsin_, arcsinh_ as arcsinh_, arctan_ as arctan_, arctanh_ as
        arctanh_, asin_ as asin_, asinh_ as asinh_, atan_ as atan_, atanh_ as atanh_, ceil_ as ceil_, clamp_ as clamp_,
        clamp_max_ as clamp_max_, clamp_min_ as clamp_min_, clip_ as clip_, conj_physical_ as conj_physical_, cos_ as
        cos_, cosh_ as cosh_, deg2rad_ as deg2rad_, detach_ as detach_, dropout_ as dropout_, erf_ as erf_, erfc_ as
        erfc_, exp2_ as exp2_, exp_ as exp_, expm1_ as expm1_, feature_alpha_dropout_ as feature_alpha_dropout_,
        feature_dropout_ as feature_dropout_, fix_ as fix_, floor_ as floor_, frac_ as frac_, gcd_ as gcd_, i0_ as i0_,
        lcm_ as lcm_, ldexp_ as ldexp_, log10_ as log10_, log1p_ as log1p_, log2_ as log2_, log_ as log_, logit_ as
        logit_, nan_to_num_ as nan_to_num_, neg_ as neg_, negative_ as negative_, rad2deg_ as rad2deg_, reciprocal_ as
        reciprocal_, resize_as_ as resize_as_, round_ as round_, rsqrt_ as rsqrt_, sigmoid_ as sigmoid_, sin_ as sin_,
        sinc_ as sinc_, sinh_ as sinh_, sqrt_ as sqrt_, square_ as square_, tan_ as tan_, tanh_ as tanh_, trunc_ as
        trunc_, xlogy_ as xlogy_,
    )
    from gradcore.ops.padding import (  # fmt: skip
        constant_pad_nd as constant_pad_nd,
    )
    from gradcore.ops.patches import (  # fmt: skip
        channel_shuffle as channel_shuffle, native_channel_shuffle as native_channel_shuffle, pixel_shuffle as
        pixel_shuffle, pixel_unshuffle as pixel_unshuffle,
    )
    from gradcore.ops.pointwise import (  # fmt: skip
        abs as abs, abs as _absolute, acos as acos, add as add, acos as _arccos, asin as _arcsin, atan as _arctan, atan2
        as _arctan2, asin as asin, atan as atan, atan2 as atan2, cos as cos, cosh as cosh, div as div, div as _divide,
        erf as erf, exp as exp, expm1 as expm1, floor_divide as floor_divide, fmod as fmod, log as log, log10 as log10,
        log1p as log1p, log2 as log2, mul as mul, mul as _multiply, neg as neg, neg as _negative, positive as positive,
        pow as pow, reciprocal as reciprocal, remainder as remainder, rsqrt as rsqrt, rsub as rsub, sigmoid as sigmoid,
        sin as sin, sinh as sinh, sqrt as sqrt, square as square, sub as sub, sub as _subtract, tan as tan, tanh as
        tanh, div as _true_divide,
    )
    from gradcore.ops.pooling import (  # fmt: skip
        avg_pool1d as avg_pool1d, max_pool1d as max_pool1d, max_pool1d_with_indices as max_pool1d_with_indices,
        max_pool2d as max_pool2d, max_pool3d as max_pool3d,
    )
    from gradcore.ops.positions import (  # fmt: skip
        argwhere as argwhere, nonzero as nonzero, nonzero_static as nonzero_static, tril_indices as tril_indices,
        triu_indices as triu_indices, unravel_index as unravel_index,
    )
    from gradcore.ops.products import (  # fmt: skip
        addbmm as addbmm, addmm as addmm, addmv as addmv, addr as addr, baddbmm as baddbmm, bmm as bmm, dot as dot,
        outer as _ger, inner as inner, matmul as matmul, mm as mm, mv as mv, outer as outer, tensordot as tensordot,
        trace as trace, vdot as vdot,
    )
    from gradcore.ops.quantiles import (  # fmt: skip
        nanquantile as nanquantile, quantile as quantile,
    )
    from gradcore.ops.queries import (  # fmt: skip
        detach as detach, get_device as get_device, is_inference as is_inference, is_nonzero as is_nonzero, is_same_size
        as is_same_size, is_storage as is_storage, is_tensor as is_tensor, is_warn_always_enabled as
        is_warn_always_enabled, numel as numel, result_type as result_type, set_warn_always as set_warn_always, typename
        as typename,
    )
    from gradcore.ops.reductions import (  # fmt: skip
        mean as mean, nanmean as nanmean, nansum as nansum, sum as sum,
    )
    from gradcore.ops.reflections import (  # fmt: skip
        householder_product as householder_product, lu as lu, lu_solve as lu_solve, lu_unpack as lu_unpack,
        householder_product as _orgqr, ormqr as ormqr, triangular_solve as triangular_solve,
    )
    from gradcore.ops.sampling import (  # fmt: skip
        rand as rand, rand_like as rand_like, randint as randint, randint_like as randint_like, randn as randn,
        randn_like as randn_like, randperm as randperm,
    )
    from gradcore.ops.scatter import (  # fmt: skip
        gather as gather, index_add as index_add, index_copy as index_copy, index_put as index_put, index_put_ as
        index_put_, index_select as index_select, put as put, repeat_interleave as repeat_interleave, scatter as
        scatter, scatter_add as scatter_add, take as take, take_along_dim as take_along_dim,
    )
    from gradcore.ops.segments import (  # fmt: skip
        index_reduce as index_reduce, scatter_reduce as scatter_reduce, segment_reduce as segment_reduce,
    )
    from gradcore.ops.selection import (  # fmt: skip
        ceil as ceil, clamp as clamp, clamp_max as clamp_max, clamp_min as clamp_min, clamp as _clip, fill as fill,
        trunc as _fix, floor as floor, maximum as maximum, minimum as minimum, round as round, sgn as sgn, sign as sign,
        trunc as trunc, where as where,
    )
    from gradcore.ops.shaping import (  # fmt: skip
        atleast_1d as atleast_1d, atleast_2d as atleast_2d, atleast_3d as atleast_3d, broadcast_shapes as
        broadcast_shapes, broadcast_tensors as broadcast_tensors, broadcast_to as broadcast_to, flatten as flatten,
        meshgrid as meshgrid, ravel as ravel, reshape as reshape, squeeze as squeeze, tile as tile, unflatten as
        unflatten, unsqueeze as unsqueeze,
    )
    from gradcore.ops.simpson import (  # fmt: skip
        cumulative_simpson as cumulative_simpson, simpson as simpson,
    )
    from gradcore.ops.softmax import (  # fmt: skip
        log_softmax as log_softmax, logsumexp as logsumexp, softmax as softmax,
    )
    from gradcore.ops.sorting import (  # fmt: skip
        argsort as argsort, kthvalue as kthvalue, median as median, mode as mode, msort as msort, nanmedian as
        nanmedian, sort as sort, topk as topk,
    )
    from gradcore.ops.special import (  # fmt: skip
        digamma as digamma, erfc as erfc, erfinv as erfinv, i0 as i0, igamma as igamma, igammac as igammac, lgamma as
        lgamma, mvlgamma as mvlgamma, polygamma as polygamma, sinc as sinc,
    )
    from gradcore.ops.spectrograms import (  # fmt: skip
        istft as istft, stft as stft,
    )
    from gradcore.ops.strides import (  # fmt: skip
        as_strided as as_strided, as_strided_ as as_strided_, as_strided_scatter as as_strided_scatter, diag as diag,
        diag_embed as diag_embed, diagflat as diagflat, diagonal as diagonal, diagonal_scatter as diagonal_scatter,
        select_scatter as select_scatter, slice_scatter as slice_scatter, tril as tril, triu as triu,
    )
    from gradcore.ops.view_copies import (  # fmt: skip
        alias_copy as alias_copy, as_strided_copy as as_strided_copy, detach_copy as detach_copy, diagonal_copy as
        diagonal_copy, expand_copy as expand_copy, permute_copy as permute_copy, select_copy as select_copy, slice_copy
        as slice_copy, split_copy as split_copy, split_with_sizes_copy as split_with_sizes_copy, squeeze_copy as
        squeeze_copy, t_copy as t_copy, transpose_copy as transpose_copy, unbind_copy as unbind_copy, unfold_copy as
        unfold_copy, unsafe_chunk as unsafe_chunk, unsafe_split as unsafe_split, unsafe_split_with_sizes as
        unsafe_split_with_sizes, unsqueeze_copy as unsqueeze_copy, view_as_complex_copy as view_as_complex_copy,
        view_as_real_copy as view_as_real_copy, view_copy as view_copy,
    )
    from gradcore.ops.windows import (  # fmt: skip
        bartlett_window as bartlett_window, blackman_window as blackman_window, hamming_window as hamming_window,
        hann_window as hann_window, kaiser_window as kaiser_window,
    )
    BFloat16Tensor: _Any
    BoolTensor: _Any
    ByteTensor: _Any
    CharTensor: _Any
    DoubleTensor: _Any
    FloatTensor: _Any
    HalfTensor: _Any
    IntTensor: _Any
    LongTensor: _Any
    ShortTensor: _Any
    alpha_dropout: _Any
    complex: _Any
    dropout: _Any
    empty_like: _Any
    feature_alpha_dropout: _Any
    is_complex: _Any
    is_floating_point: _Any
    is_signed: _Any
    ones_like: _Any
    polar: _Any
    relu: _Any
    zeros_like: _Any
    absolute, adaptive_max_pool1d, affine_grid_generator = _absolute, _adaptive_max_pool1d, _affine_grid_generator
    arccos, arccosh, arcsin, arcsinh, arctan, arctan2 = _arccos, _arccosh, _arcsin, _arcsinh, _arctan, _arctan2
    arctanh, cholesky, clip, concat, concatenate, cross = _arctanh, _cholesky, _clip, _concat, _concatenate, _cross
    det, divide, embedding, fix, ger, greater = _det, _divide, _embedding, _fix, _ger, _greater
    greater_equal, is_neg, less, less_equal, moveaxis = _greater_equal, _is_neg, _less, _less_equal, _moveaxis
    multiply, negative, norm, not_equal, orgqr, qr, range = _multiply, _negative, _norm, _not_equal, _orgqr, _qr, _range
    resolve_neg, row_stack, slogdet, subtract, svd = _resolve_neg, _row_stack, _slogdet, _subtract, _svd
    swapdims, trapz, true_divide = _swapdims, _trapz, _true_divide
    # operations: end

# The operations. Namespaces, and what most programs never use or not at once, are imported when they are first asked for.
globals().update(ops.functions[""])

_NAMESPACES = {"cuda", "fft", "func", "library", "linalg", "masked", "nn", "optim", "random", "special", "testing", "utils"}
_LATER = {
    "autograd.anomaly_mode": "is_anomaly_check_nan_enabled is_anomaly_enabled",
    "autograd.held": "memory",
    "autograd.per_sample": "per_sample_grad",
    "autograd.pulls": "trace_backward",
    "determinism": """are_deterministic_algorithms_enabled get_deterministic_debug_mode set_deterministic_debug_mode
        is_deterministic_algorithms_warn_only_enabled use_deterministic_algorithms""",
    "func": "vmap",
    "generator": "Generator default_generator get_rng_state initial_seed manual_seed seed set_rng_state",
    "printing": "get_printoptions printoptions set_printoptions",
    "serialization": "load save",
}


def __getattr__(name: str) -> _Any:
    if name in _NAMESPACES:
        return _import_module(f"gradcore.{name}")
    for module, names in _LATER.items():
        if name in names.split():
            globals()[name] = found = getattr(_import_module(f"gradcore.{module}"), name)
            return found
    globals()[name] = found = ops.function("", name)
    return found


def __dir__() -> list[str]:
    ops.load()
    later = [name for names in _LATER.values() for name in names.split()]
    return sorted({*globals(), *ops.functions[""], *_NAMESPACES, *later})


__version__ = "0.1.0"
