"""Attention as torch.nn.functional spells it. It must not know any derivative."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.ops.arguments import need_tensor
from gradcore.ops.dropout import drawing, dropout
from gradcore.ops.linear import linear
from gradcore.ops.padding import pad
from gradcore.ops.products import matmul
from gradcore.ops.reductions import mean
from gradcore.ops.registry import label, op
from gradcore.primitives import elementwise as e
from gradcore.primitives import shape as s
from gradcore.primitives.activations import masked
from gradcore.primitives.attention import attend
from gradcore.primitives.indexing import basic_getitem
from gradcore.primitives.joining import concatenate
from gradcore.primitives.products import matrix_transpose
from gradcore.primitives.selection import where
from gradcore.primitives.softmax import softmax
from gradcore.recorder import wrap
from gradcore.recorder.caller import warn

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


@op(namespace="nn.functional", method=False)
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return softmax(query key^T * scale + mask) value, of (*, L, E), (*, S, E) and (*, S, V).

    `scale` is 1 / sqrt(E) by default. A boolean `attn_mask` says who is looked at, any other is added; `is_causal` lets
    nobody look ahead; who may look at nobody gets 0. With `enable_gqa` several heads of the query share one of the key.
    Vaswani et al., "Attention Is All You Need" (2017).
    """
    for name, each in (("query", query), ("key", key), ("value", value)):
        need_tensor(each, "scaled_dot_product_attention", name)
        if each._array.ndim < 2:
            raise RuntimeError(
                "scaled_dot_product_attention: Expected query, key, and value to all be  at least 2 dimensional, but got "
                f"{name}.dim: {each._array.ndim}"
            )
        if each._array.dtype != query._array.dtype:
            raise RuntimeError(
                "Expected query, key, and value to have the same dtype, but got query.dtype: "
                f"{query.dtype}, {name}.dtype: {each.dtype} instead (scaled_dot_product_attention)"
            )
    if is_causal and attn_mask is not None:
        raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    if attn_mask is not None and attn_mask._array.dtype not in (dtypes.bool.numpy, query._array.dtype, dtypes.float32.numpy):
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: "
            f"{attn_mask.dtype} and  query.dtype: {query.dtype} instead."
        )
    if enable_gqa:
        key, value = (_repeated_heads(each, query._array.shape) for each in (key, value))
    scale = 1 / sqrt(query._array.shape[-1]) if scale is None and query._array.shape[-1] else scale
    scale = 1.0 if scale is None else scale
    one_node = query._array.ndim == 4 and query._array.shape[-1] == value._array.shape[-1]
    if attn_mask is not None and attn_mask._node is not None:
        one_node = False
    if one_node and _is_one(query, key, value, attn_mask):
        source = drawing(query, "dropout", key, value) if 0 < dropout_p < 1 else None
        if source is not None or not dropout_p:
            boolean = attn_mask is not None and attn_mask._array.dtype.kind == "b"
            mask = attn_mask if attn_mask is None or boolean else attn_mask.to(query.dtype)
            settings = {"scale": scale, "causal": bool(is_causal), "boolean": boolean, "drop": dropout_p, "source": source}
            return attend(query, key, value, mask, **settings)[0]  # type: ignore[no-any-return]
    scores = matmul(e.multiply(query, scale), matrix_transpose(key))
    shares = _shares(scores, attn_mask, is_causal)
    if dropout_p:
        shares = dropout(shares, dropout_p)
    made = matmul(shares, value)
    if one_node and not dropout_p:
        label(made, "ScaledDotProductFlashAttentionForCpuBackward0", (query, key, value))
    return made


def _is_one(query: Any, key: Any, value: Any, mask: Any) -> bool:
    """Whether it is the primitive `attend`: of real heads, as many of all, and of a mask that broadcasts to their scores."""
    q, k = query._array.shape, key._array.shape
    if len({tuple(each._array.shape[:2]) for each in (query, key, value)}) > 1 or query._array.dtype.kind not in "fV":
        return False
    scores = (*q[:-1], k[-2])
    sizes = () if mask is None else mask._array.shape
    return len(sizes) <= 4 and all(n in (1, m) for n, m in zip(sizes[::-1], scores[::-1], strict=False))


def _shares(scores: Any, mask: Any, is_causal: bool) -> Any:
    """The softmax of the scores, where the mask lets them count; 0 in rows where it lets none."""
    F, array = of(scores._array), scores._array
    axis = (array.ndim - 1,)
    if is_causal:
        rows, columns = array.shape[-2:]
        ahead = F.arange(columns) > F.arange(rows).reshape((rows, 1))
        return softmax(where(wrap(ahead), float("-inf"), scores), axis=axis)
    if mask is None:
        return softmax(scores, axis=axis)
    if mask._array.dtype.kind == "b":
        some = F.any(mask._array, -1, keepdims=True)
        scores = where(wrap(mask._array | F.logical_not(some)), scores, float("-inf"))
    else:
        scores = scores + mask
        some = F.max(scores._array, -1, keepdims=True) != float("-inf")
        scores = where(wrap(some), scores, 0.0)
    return masked(softmax(scores, axis=axis), wrap(some))


def _repeated_heads(x: Any, query: tuple[int, ...]) -> Any:
    """(*, H, S, E) with each head as often as makes them as many as the query's."""
    shape = tuple(x._array.shape)
    if len(shape) < 3 or len(query) < 3 or query[-3] % shape[-3]:
        raise RuntimeError(
            "scaled_dot_product_attention: the number of heads of the query must be a multiple of that of key and value, "
            f"but got query {list(query)} and {list(shape)}"
        )
    times = query[-3] // shape[-3]
    wide = s.expand(s.unsqueeze(x, shape=(*shape[:-2], 1, *shape[-2:])), shape=(*shape[:-2], times, *shape[-2:]))
    return s.reshape(wide, shape=(*shape[:-3], query[-3], *shape[-2:]))


# -- several heads -------------------------------------------------------------------------------------------


def _need(condition: bool, sentence: str) -> None:
    # torch checks these with `assert`, of whose kind the error therefore is.
    if not condition:
        raise AssertionError(sentence)


@op(namespace="nn.functional", method=False)
def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Return the attention of `num_heads` heads between the projected (L, N, E), (S, N, E), (S, N, E), projected back,
    and with `need_weights` the heads' shares (N, H, L, S), or their average (N, L, S).

    Without N, inputs are unbatched. Boolean masks (`key_padding_mask` (N, S), `attn_mask` (L, S) or (N * H, L, S)) say who
    is not looked at, others are added. Vaswani et al., "Attention Is All You Need" (2017).
    """
    for name, each in (("query", query), ("key", key), ("value", value)):
        need_tensor(each, "multi_head_attention_forward", name)
    batched = _is_batched(query, key, value, key_padding_mask, attn_mask, num_heads)
    q, k, v = query, key, value
    if not batched:
        q, k, v = (_with_axis(x, 1) for x in (query, key, value))
        if key is query:
            k = q
        if value is key:
            v = k
        key_padding_mask = None if key_padding_mask is None else _with_axis(key_padding_mask, 0)
    length, batch, width = q._array.shape
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )
    if key_padding_mask is not None and attn_mask is not None and key_padding_mask.dtype != attn_mask.dtype:
        warn(
            "Support for mismatched key_padding_mask and attn_mask is deprecated. Use same type for both instead.",
        )
    padding = _added(key_padding_mask, "key_padding_mask", q)
    hint = is_causal and key_padding_mask is None and not need_weights
    mask = None if hint else _added(attn_mask, "attn_mask", q)
    _need(width == embed_dim_to_check, f"was expecting embedding dimension of {embed_dim_to_check}, but got {width}")
    _need(width % num_heads == 0, f"embed_dim {width} not divisible by num_heads {num_heads}")
    sides = tuple(tuple(x._array.shape[: 2 if use_separate_proj_weight else 3]) for x in (k, v))
    _need(sides[0] == sides[1], f"key shape {list(sides[0])} does not match value shape {list(sides[1])}")
    weights = (
        (q_proj_weight, k_proj_weight, v_proj_weight)
        if use_separate_proj_weight
        else _thirds(in_proj_weight, "in_proj_weight")
    )
    biases = (None, None, None) if in_proj_bias is None else _thirds(in_proj_bias, "in_proj_bias")
    _need(all(w is not None for w in weights), "use_separate_proj_weight is True but a weight of q, k or v is None")
    q, k, v = (linear(x, w, b) for x, w, b in zip((q, k, v), weights, biases, strict=True))
    mask = _of_three_dimensions(mask, (length, k._array.shape[0]), batch * num_heads)
    if bias_k is not None and bias_v is not None:
        _need(static_k is None and static_v is None, "bias cannot be added to static key and value.")
        k, v = (concatenate(x, _expanded(b, batch), axis=0) for x, b in ((k, bias_k), (v, bias_v)))
        mask, padding = (None if each is None else pad(each, (0, 1)) for each in (mask, padding))
    else:
        _need(bias_k is None and bias_v is None, "bias_k and bias_v must both be given, or none of them")
    heads = (batch * num_heads, width // num_heads)
    q, k, v = (_split(x, heads, fixed) for x, fixed in ((q, None), (k, static_k), (v, static_v)))
    if add_zero_attn:
        F = of(k._array)
        none = wrap(F.zeros((heads[0], 1, heads[1]), k._array.dtype))
        k, v = concatenate(k, none, axis=1), concatenate(v, none, axis=1)
        mask, padding = (None if each is None else pad(each, (0, 1)) for each in (mask, padding))
    source = k._array.shape[1]
    if padding is not None:
        _need(
            tuple(padding._array.shape) == (batch, source),
            f"Expected key_padded_mask of shape {[batch, source]}, but got {list(padding._array.shape)}",
        )
        column = s.expand(s.reshape(padding, shape=(batch, 1, 1, source)), shape=(batch, num_heads, 1, source))
        column = s.reshape(column, shape=(heads[0], 1, source))
        mask = column if mask is None else mask + column
    drop = dropout_p if training else 0.0
    if not need_weights:
        q, k, v = (s.reshape(x, shape=(batch, num_heads, -1, heads[1])) for x in (q, k, v))
        if mask is not None:
            split = (1, 1) if mask._array.shape[0] == 1 else (batch, num_heads)
            mask = s.reshape(mask, shape=(*split, *mask._array.shape[1:]))
        seen = scaled_dot_product_attention(q, k, v, mask, drop, hint)
        seen = s.transpose(seen, axes=(2, 0, 1, 3))
        return _projected(seen, (length, batch, width), out_proj_weight, out_proj_bias, batched), None
    scores = matmul(q * sqrt(1.0 / heads[1]), matrix_transpose(k))
    shares = softmax(scores if mask is None else mask + scores, axis=(2,))
    shares = dropout(shares, drop) if drop else shares
    seen = s.transpose(matmul(shares, v), axes=(1, 0, 2))
    shares = s.reshape(shares, shape=(batch, num_heads, length, source))
    shares = mean(shares, 1) if average_attn_weights else shares
    out = _projected(seen, (length, batch, width), out_proj_weight, out_proj_bias, batched)
    return out, shares if batched else s.squeeze_one(shares, shape=shares._array.shape[1:])


def _is_batched(q: Any, k: Any, v: Any, padding: Any, mask: Any, heads: int) -> bool:
    """Whether there is a batch. Raises AssertionError, as torch does, for dimensions that do not go together."""
    n = q._array.ndim
    _need(n in (2, 3), f"query should be unbatched 2D or batched 3D tensor but received {n}-D query tensor")
    kind = f"For {'batched (3-D)' if n == 3 else 'unbatched (2-D)'} `query`, expected"
    _need(
        k._array.ndim == n and v._array.ndim == n,
        f"{kind} `key` and `value` to be {n}-D but found {k._array.ndim}-D and {v._array.ndim}-D tensors respectively",
    )
    _need(padding is None or padding._array.ndim == n - 1, f"{kind} `key_padding_mask` to be `None` or {n - 1}-D")
    _need(mask is None or mask._array.ndim in (2, 3), f"{kind} `attn_mask` to be `None`, 2-D or 3-D")
    if n == 2 and mask is not None and mask._array.ndim == 3:
        wanted, found = (heads, q._array.shape[0], k._array.shape[0]), tuple(mask._array.shape)
        _need(found == wanted, f"Expected `attn_mask` shape to be {wanted} but got {found}")
    return bool(n == 3)


def _added(mask: Any, name: str, like: Any) -> Any:
    """A mask to be added to scores: -inf where a boolean one is true."""
    if mask is None:
        return None
    kind = mask._array.dtype.kind
    _need(kind == "b" or mask.dtype.is_floating_point, f"only bool and floating types of {name} are supported")
    if kind != "b":
        return mask
    F, dtype = of(mask._array), like._array.dtype
    return wrap(F.astype(F.where(mask._array, float("-inf"), 0.0), dtype))


def _of_three_dimensions(mask: Any, places: tuple[int, int], heads: int) -> Any:
    if mask is None:
        return None
    shape = tuple(mask._array.shape)
    wanted = places if len(shape) == 2 else (heads, *places)
    if shape != wanted:
        raise RuntimeError(f"The shape of the {len(shape)}D attn_mask is {list(shape)}, but should be {wanted}.")
    return _with_axis(mask, 0) if len(shape) == 2 else mask


def _with_axis(x: Any, axis: int) -> Any:
    shape = x._array.shape
    return s.unsqueeze(x, shape=(*shape[:axis], 1, *shape[axis:]))


def _thirds(x: Any, name: str) -> tuple[Any, Any, Any]:
    _need(x is not None, f"use_separate_proj_weight is False but {name} is None")
    n = x._array.shape[0] // 3
    first, second, third = (basic_getitem(x, index=(slice(i * n, (i + 1) * n),)) for i in range(3))
    return first, second, third


def _expanded(bias: Any, batch: int) -> Any:
    return s.expand(bias, shape=(1, batch, bias._array.shape[-1]))


def _split(x: Any, heads: tuple[int, int], fixed: Any) -> Any:
    """(L, N, E) as (N * heads, L, E / heads), unless that is `fixed`."""
    if fixed is not None:
        shape = tuple(fixed._array.shape)
        wanted = f"{heads[0]}, *, {heads[1]}"
        _need(shape[::2] == heads, f"expecting static key and value of sizes {wanted}, but got {list(shape)}")
        return fixed
    return s.transpose(s.reshape(x, shape=(x._array.shape[0], *heads)), axes=(1, 0, 2))


def _projected(seen: Any, shape: tuple[int, int, int], weight: Any, bias: Any, batched: bool) -> Any:
    length, batch, width = shape
    out: Any = linear(s.reshape(seen, shape=(length * batch, width)), weight, bias)
    out = s.reshape(out, shape=(length, batch, out._array.shape[1]))
    return out if batched else s.squeeze_one(out, shape=(length, out._array.shape[2]))
