"""Operations that do no arithmetic on values: they make, move, choose and look up."""

from __future__ import annotations

import torch

_MADE = """
arange bernoulli empty empty_like empty_strided exponential eye fill full full_like lift_fresh
lift_fresh_copy linspace multinomial new_empty new_empty_strided new_full new_ones new_zeros normal ones
ones_like ones_out rand rand_like randint randint_like randn randn_like random randperm scalar_tensor tril
tril_indices triu triu_indices uniform zero zeros zeros_like
"""
_MOVED = """
_assert_async _assert_scalar _assert_tensor_metadata _conj _copy_from _fw_primal _local_scalar_dense
_make_dual _neg_view _pack_padded_sequence _pad_packed_sequence _reshape_alias _reshape_copy _to_copy
_unique2 _unsafe_index _unsafe_index_put _unsafe_view _upsample_nearest_exact1d _upsample_nearest_exact2d
_upsample_nearest_exact3d alias as_strided as_strided_scatter bincount bucketize cat channel_shuffle clone
complex constant_pad_nd contiguous copy detach diagonal_scatter dropout embedding equal expand_copy flip
gather im2col imag index index_copy index_fill index_put index_select is_same_size item masked_fill
masked_scatter masked_select max_unpool2d max_unpool3d narrow_copy nonzero one_hot pad permute_copy
pixel_shuffle pixel_unshuffle polar real reflection_pad1d reflection_pad2d reflection_pad3d repeat
repeat_interleave replication_pad1d replication_pad2d replication_pad3d resize resize_as resolve_conj
resolve_neg roll rot90 scatter searchsorted select_scatter set_ size slice_backward slice_scatter split_copy
split_with_sizes_copy squeeze stack stride sym_numel sym_size sym_storage_offset sym_stride t t_copy take to
transpose unbind_copy unfold_copy unique unique_dim unsafe_split unsafe_split_with_sizes unsqueeze
upsample_nearest1d upsample_nearest2d upsample_nearest3d view_as_complex view_as_real view_copy where
"""
SILENT = frozenset(f"aten::{name.rstrip('_')}" for name in (_MADE + _MOVED).split()) | {"prim::device"}
"""Names, without overload and the underscore of in-place forms."""


def is_view(operation: torch._ops.OpOverload) -> bool:
    """Say whether it returns memory that it was given, unchanged."""
    return any(
        returned.alias_info is not None and not returned.alias_info.is_write
        for returned in operation._schema.returns
    )
