"""What is imported when first asked for: modules by the names that they make public, and which of these are methods.

`python -m tests.public_names` writes it; tests/test_public_names.py says when it is not up to date. It must not know any
operation.
"""

from typing import Final

# operations: begin
MODULES: Final = {
    "activations": """
        celu celu_ elu gelu hardtanh leaky_relu log_softmax logsigmoid relu relu6 relu_ selu selu_ silu softmax softmin
        softplus
    """,
    "adaptive_pooling": """
        adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool1d_with_indices
        adaptive_max_pool2d adaptive_max_pool2d_with_indices adaptive_max_pool3d adaptive_max_pool3d_with_indices
        fractional_max_pool2d fractional_max_pool2d_with_indices fractional_max_pool3d
        fractional_max_pool3d_with_indices max_unpool1d max_unpool2d max_unpool3d
    """,
    "arithmetic": """
        addcdiv addcdiv_ addcmul addcmul_ deg2rad deg2rad_ float_power float_power_ hypot hypot_ ldexp ldexp_ lerp lerp_
        rad2deg rad2deg_
    """,
    "assigning": """
        __setitem__ copy_ fill_ zero_
    """,
    "aten_forms": """
        batch_norm binary_cross_entropy_with_logits convolution embedding empty_permuted frobenius_norm grid_sampler_2d
        grid_sampler_3d gru_cell instance_norm kl_div lstm_cell native_batch_norm native_group_norm native_layer_norm
        norm_except_dim nuclear_norm poisson_nll_loss rnn_relu_cell rnn_tanh_cell vander
    """,
    "attention": """
        multi_head_attention_forward scaled_dot_product_attention
    """,
    "comparison": """
        allclose bitwise_and bitwise_and_ bitwise_left_shift bitwise_left_shift_ bitwise_not bitwise_not_ bitwise_or
        bitwise_or_ bitwise_right_shift bitwise_right_shift_ bitwise_xor bitwise_xor_ eq eq_ equal gcd gcd_ ge ge_
        greater greater_ greater_equal greater_equal_ gt gt_ heaviside heaviside_ isclose isfinite isinf isnan isneginf
        isposinf isreal lcm lcm_ le le_ less less_ less_equal less_equal_ logical_and logical_and_ logical_not
        logical_not_ logical_or logical_or_ logical_xor logical_xor_ lt lt_ ne ne_ not_equal not_equal_ signbit
    """,
    "conv_tbc": """
        conv_tbc
    """,
    "convolution": """
        conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    """,
    "copying": """
        __copy__ __deepcopy__ __reduce_ex__
    """,
    "counting": """
        all any bincount bucketize count_nonzero histc histogram histogramdd isin searchsorted unique unique_consecutive
    """,
    "ctc": """
        ctc_loss
    """,
    "cumulative": """
        cummax cummin cumprod cumprod_ cumsum cumsum_ logcumsumexp prod
    """,
    "deviations": """
        std std_mean var var_mean
    """,
    "differences": """
        corrcoef cov cumulative_trapezoid diff gradient trapezoid trapz
    """,
    "distance_losses": """
        cosine_embedding_loss cosine_similarity gaussian_nll_loss hinge_embedding_loss huber_loss kl_div
        margin_ranking_loss multilabel_soft_margin_loss pairwise_distance poisson_nll_loss smooth_l1_loss
        soft_margin_loss triplet_margin_loss triplet_margin_with_distance_loss
    """,
    "distances": """
        cdist pdist
    """,
    "distributions": """
        bernoulli bernoulli_ cauchy_ exponential_ geometric_ log_normal_ multinomial normal normal_ poisson random_
        uniform_
    """,
    "dropout": """
        alpha_dropout dropout dropout1d dropout2d dropout3d feature_alpha_dropout feature_dropout
    """,
    "einsum": """
        einsum
    """,
    "elimination": """
        ldl_factor ldl_factor_ex ldl_solve lu lu_factor lu_factor_ex lu_solve
    """,
    "embedding": """
        embedding
    """,
    "embedding_bags": """
        embedding_bag
    """,
    "exports": """
        __array__ __array_wrap__ __bool__ __complex__ __cuda_array_interface__ __dlpack__ __dlpack_device__ __float__
        __index__ __int__ item numpy tolist type
    """,
    "extrema": """
        amax amin aminmax argmax argmin max min
    """,
    "factorizations": """
        cholesky cholesky_ex eig eigh eigvals eigvalsh qr svd svdvals
    """,
    "fft": """
        fft fft2 fftfreq fftn fftshift hfft hfft2 hfftn ifft ifft2 ifftn ifftshift ihfft ihfft2 ihfftn irfft irfft2
        irfftn rfft rfft2 rfftfreq rfftn
    """,
    "floating_point": """
        copysign copysign_ fmax fmin frac frac_ frexp nan_to_num nan_to_num_ nextafter nextafter_
    """,
    "gates": """
        glu hardshrink hardsigmoid hardswish mish prelu rrelu rrelu_ softshrink softsign tanhshrink threshold threshold_
    """,
    "gradients": """
        _backward_hooks _grad_fn _post_accumulate_grad_hooks grad_dtype reinforce volatile
    """,
    "grids": """
        affine_grid affine_grid_generator grid_sample grid_sampler
    """,
    "gumbel": """
        gumbel_softmax
    """,
    "joining": """
        block_diag cartesian_prod cat chunk column_stack combinations concat concatenate dsplit dstack hsplit hstack
        row_stack split split_with_sizes stack tensor_split unbind vsplit vstack
    """,
    "least_squares": """
        cond lstsq matrix_rank pinv pinverse
    """,
    "linalg": """
        cholesky_inverse cholesky_solve det inv inv_ex inverse logdet matrix_exp slogdet solve solve_ex solve_triangular
    """,
    "linear": """
        bilinear linear
    """,
    "linear_cross_entropy": """
        linear_cross_entropy
    """,
    "logarithms": """
        acosh acosh_ arccosh arccosh_ arcsinh arcsinh_ arctanh arctanh_ asinh asinh_ atanh atanh_ exp2 exp2_ logaddexp
        logaddexp2 logit logit_ xlogy xlogy_
    """,
    "losses": """
        binary_cross_entropy binary_cross_entropy_with_logits cross_entropy l1_loss mse_loss nll_loss one_hot
    """,
    "low_rank": """
        pca_lowrank svd_lowrank
    """,
    "margin_losses": """
        multi_margin_loss multilabel_margin_loss
    """,
    "masked": """
        amax amin argmax argmin cumprod cumsum log_softmax logaddexp logsumexp mean median norm normalize prod softmax
        softmin std sum var
    """,
    "masks": """
        index_fill index_fill_ masked_fill masked_fill_ masked_scatter masked_scatter_ masked_select
    """,
    "matrix_products": """
        chain_matmul cross diagonal kron matrix_power multi_dot tensorinv tensorsolve vander vecdot
    """,
    "normalization": """
        batch_norm group_norm instance_norm layer_norm local_response_norm normalize rms_norm
    """,
    "norms": """
        dist matrix_norm norm renorm renorm_ vector_norm
    """,
    "numpy_names": """
        apply_along_axis convolve correlate interp piecewise polyval unwrap
    """,
    "ordering": """
        H T adjoint flip fliplr flipud mH mT moveaxis movedim permute roll rot90 swapaxes swapaxes_ swapdims swapdims_ t
        t_ transpose transpose_
    """,
    "overwriting": """
        abs_ acos_ acosh_ addmv_ alpha_dropout_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ asin_ asinh_ atan_
        atanh_ ceil_ clamp_ clamp_max_ clamp_min_ clip_ conj_physical_ cos_ cosh_ deg2rad_ detach_ dropout_ erf_ erfc_
        exp2_ exp_ expm1_ feature_alpha_dropout_ feature_dropout_ fix_ floor_ frac_ gcd_ i0_ lcm_ ldexp_ log10_ log1p_
        log2_ log_ logit_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ resize_as_ round_ rsqrt_ sigmoid_ sin_ sinc_
        sinh_ sqrt_ square_ tan_ tanh_ trunc_ xlogy_
    """,
    "padding": """
        constant_pad_nd pad
    """,
    "patches": """
        channel_shuffle fold native_channel_shuffle pixel_shuffle pixel_unshuffle unfold
    """,
    "polynomials": """
        chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w hermite_polynomial_h
        hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p shifted_chebyshev_polynomial_t
        shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v shifted_chebyshev_polynomial_w
    """,
    "pooling": """
        avg_pool1d avg_pool2d avg_pool3d lp_pool1d lp_pool2d lp_pool3d max_pool1d max_pool1d_with_indices max_pool2d
        max_pool2d_with_indices max_pool3d max_pool3d_with_indices
    """,
    "positions": """
        argwhere nonzero nonzero_static tril_indices triu_indices unravel_index
    """,
    "products": """
        __matmul__ __rmatmul__ addbmm addbmm_ addmm addmm_ addmv addmv_ addr addr_ baddbmm baddbmm_ bmm dot ger inner
        matmul mm mv outer tensordot trace vdot
    """,
    "quantiles": """
        nanquantile quantile
    """,
    "queries": """
        _make_subclass apply_ detach dim_order get_device is_hpu is_inference is_meta is_mkldnn is_mps is_nested
        is_nonzero is_pinned is_quantized is_same_size is_set_to is_shared is_sparse is_sparse_csr is_storage is_tensor
        is_vulkan is_warn_always_enabled is_xla is_xpu layout map_ numel pin_memory record_stream result_type
        set_warn_always share_memory_ typename untyped_storage why_no_grad
    """,
    "reflections": """
        householder_product lu lu_solve lu_unpack orgqr ormqr triangular_solve
    """,
    "resampling": """
        interpolate upsample upsample_bilinear upsample_nearest
    """,
    "sampling": """
        rand rand_like randint randint_like randn randn_like randperm
    """,
    "scatter": """
        gather index_add index_add_ index_copy index_copy_ index_put index_put_ index_select put put_ repeat_interleave
        scatter scatter_ scatter_add scatter_add_ take take_along_dim
    """,
    "scipy_special": """
        beta betainc betaincc betaln boxcox cosm1 dawsn ellipe ellipeinc ellipk ellipkinc erfcinv exp1 exp10 expi expn
        exprel fresnel gamma gammaincinv huber hyp1f1 hyp2f1 inv_boxcox iv ive jn jv kl_div kv kve lambertw log1pexp
        log_expit poch pseudo_huber rel_entr rgamma spence struve voigt_profile wofz yn yv
    """,
    "segments": """
        index_reduce index_reduce_ scatter_reduce scatter_reduce_ segment_reduce
    """,
    "selection": """
        ceil ceil_ clamp clamp_ clamp_max clamp_max_ clamp_min clamp_min_ clip clip_ fill fix fix_ floor floor_ maximum
        minimum round round_ sgn sgn_ sign sign_ trunc trunc_ where
    """,
    "shaping": """
        atleast_1d atleast_2d atleast_3d broadcast_shapes broadcast_tensors broadcast_to expand expand_as flatten
        meshgrid ravel repeat reshape reshape_as squeeze squeeze_ tile unflatten unsqueeze unsqueeze_ view view_as
    """,
    "simpson": """
        cumulative_simpson simpson
    """,
    "softmax": """
        log_softmax logsumexp softmax
    """,
    "sorting": """
        argsort kthvalue median mode msort nanmedian sort topk
    """,
    "special": """
        airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 digamma digamma_ entr erfc erfc_ erfcx erfinv erfinv_ gammainc
        gammaincc gammaln i0 i0_ i0e i1 i1e igamma igamma_ igammac igammac_ lgamma lgamma_ log_ndtr modified_bessel_i0
        modified_bessel_i1 modified_bessel_k0 modified_bessel_k1 multigammaln mvlgamma mvlgamma_ ndtr ndtri polygamma
        polygamma_ psi scaled_modified_bessel_k0 scaled_modified_bessel_k1 sinc sinc_ spherical_bessel_j0 xlog1py zeta
    """,
    "spectrograms": """
        istft stft
    """,
    "storing": """
        fill_diagonal_ resize_ resize_as_ set_
    """,
    "strides": """
        as_strided as_strided_ as_strided_scatter diag diag_embed diagflat diagonal diagonal_scatter select_scatter
        slice_scatter tril tril_ triu triu_ unfold
    """,
    "typed": """
        BFloat16Tensor BoolTensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor IntTensor LongTensor
        ShortTensor new
    """,
    "view_copies": """
        alias_copy as_strided_copy detach_copy diagonal_copy expand_copy permute_copy select_copy slice_copy split_copy
        split_with_sizes_copy squeeze_copy t_copy transpose_copy unbind_copy unfold_copy unsafe_chunk unsafe_split
        unsafe_split_with_sizes unsqueeze_copy view_as_complex_copy view_as_real_copy view_copy
    """,
    "windows": """
        bartlett_window blackman_window hamming_window hann_window kaiser_window
    """,
}

METHODS: Final = """
        H T __array__ __array_wrap__ __bool__ __complex__ __copy__ __cuda_array_interface__ __deepcopy__ __dlpack__
        __dlpack_device__ __float__ __index__ __int__ __matmul__ __reduce_ex__ __rmatmul__ __setitem__ _backward_hooks
        _grad_fn _make_subclass _post_accumulate_grad_hooks acosh acosh_ addbmm addbmm_ addcdiv addcdiv_ addcmul
        addcmul_ addmm addmm_ addmv addmv_ addr addr_ adjoint all allclose amax amin aminmax any apply_ arccosh arccosh_
        arcsinh arcsinh_ arctanh arctanh_ argmax argmin argsort argwhere as_strided as_strided_ as_strided_scatter asinh
        asinh_ atanh atanh_ baddbmm baddbmm_ bernoulli bernoulli_ bincount bitwise_and bitwise_and_ bitwise_left_shift
        bitwise_left_shift_ bitwise_not bitwise_not_ bitwise_or bitwise_or_ bitwise_right_shift bitwise_right_shift_
        bitwise_xor bitwise_xor_ bmm broadcast_to cauchy_ ceil ceil_ cholesky cholesky_inverse cholesky_solve chunk
        clamp clamp_ clamp_max clamp_max_ clamp_min clamp_min_ clip clip_ combinations copy_ copysign copysign_ corrcoef
        count_nonzero cov cross cummax cummin cumprod cumprod_ cumsum cumsum_ deg2rad deg2rad_ det diag diag_embed
        diagflat diagonal diagonal_scatter diff digamma digamma_ dim_order dist dot dsplit eq eq_ equal erfc erfc_
        erfinv erfinv_ exp2 exp2_ expand expand_as exponential_ fill fill_ fill_diagonal_ fix fix_ flatten flip fliplr
        flipud float_power float_power_ floor floor_ fmax fmin frac frac_ frexp gather gcd gcd_ ge ge_ geometric_ ger
        grad_dtype greater greater_ greater_equal greater_equal_ gt gt_ hardshrink heaviside heaviside_ histc histogram
        householder_product hsplit hypot hypot_ i0 i0_ igamma igamma_ igammac igammac_ index_add index_add_ index_copy
        index_copy_ index_fill index_fill_ index_put index_put_ index_reduce index_reduce_ index_select inner inverse
        is_hpu is_meta is_mkldnn is_mps is_nested is_nonzero is_pinned is_quantized is_same_size is_set_to is_shared
        is_sparse is_sparse_csr is_vulkan is_xla is_xpu isclose isfinite isinf isnan isneginf isposinf isreal istft item
        kron kthvalue layout lcm lcm_ ldexp ldexp_ le le_ lerp lerp_ less less_ less_equal less_equal_ lgamma lgamma_
        log_normal_ log_softmax logaddexp logaddexp2 logcumsumexp logdet logical_and logical_and_ logical_not
        logical_not_ logical_or logical_or_ logical_xor logical_xor_ logit logit_ logsumexp lt lt_ lu lu_solve mH mT
        map_ masked_fill masked_fill_ masked_scatter masked_scatter_ masked_select matmul matrix_exp matrix_power max
        maximum median min minimum mm mode moveaxis movedim msort multinomial mv mvlgamma mvlgamma_ nan_to_num
        nan_to_num_ nanmedian nanquantile ne ne_ new nextafter nextafter_ nonzero nonzero_static norm normal_ not_equal
        not_equal_ numpy orgqr ormqr outer permute pin_memory pinverse polygamma polygamma_ prelu prod put put_ qr
        quantile rad2deg rad2deg_ random_ ravel record_stream reinforce relu relu_ renorm renorm_ repeat
        repeat_interleave reshape reshape_as resize_ resize_as_ roll rot90 round round_ scatter scatter_ scatter_add
        scatter_add_ scatter_reduce scatter_reduce_ select_scatter set_ sgn sgn_ share_memory_ sign sign_ signbit sinc
        sinc_ slice_scatter slogdet softmax sort split split_with_sizes squeeze squeeze_ std std_mean stft svd swapaxes
        swapaxes_ swapdims swapdims_ t t_ take take_along_dim tensor_split tile tolist topk trace transpose transpose_
        triangular_solve tril tril_ triu triu_ trunc trunc_ type unbind unflatten unfold uniform_ unique
        unique_consecutive unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze unsqueeze_ untyped_storage var
        var_mean vdot view view_as volatile vsplit where why_no_grad xlogy xlogy_ zero_
""".split()

# operations: end
