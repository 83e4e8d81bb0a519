"""Batch normalisation and its relatives: one formula each, forward and backward.

Every function takes NumPy arrays or CuPy arrays and returns the same kind. Importing
this package imports NumPy and nothing else. Layers with state are in `bnlib.nn`, the
checks of the problem sets in `bnlib.check`.
"""

from bnlib._formula import Cache
from bnlib._tiers import kernels
from bnlib.batch import (
    batch_norm,
    batch_norm_backward,
    batch_norm_inference,
    batch_norm_inference_backward,
    update_running,
)
from bnlib.filter_response import (
    filter_response_norm,
    filter_response_norm_backward,
)
from bnlib.fold import fold_batch_norm
from bnlib.ghost import ghost_batch_norm, ghost_batch_norm_backward
from bnlib.group import group_norm, group_norm_backward
from bnlib.instance import instance_norm, instance_norm_backward
from bnlib.layer import layer_norm, layer_norm_backward
from bnlib.moments import merge_moments
from bnlib.renorm import batch_renorm, batch_renorm_backward
from bnlib.rms import rms_norm, rms_norm_backward
from bnlib.spectral import (
    SpectralNormCache,
    spectral_norm,
    spectral_norm_backward,
)
from bnlib.standardisation import (
    weight_standardisation,
    weight_standardisation_backward,
)
from bnlib.tanh import DynamicTanhCache, dynamic_tanh, dynamic_tanh_backward
from bnlib.weight import WeightNormCache, weight_norm, weight_norm_backward

from bnlib import nn  # isort: skip (its layers call the functions above)

__all__ = [
    "Cache",
    "DynamicTanhCache",
    "SpectralNormCache",
    "WeightNormCache",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_inference",
    "batch_norm_inference_backward",
    "batch_renorm",
    "batch_renorm_backward",
    "dynamic_tanh",
    "dynamic_tanh_backward",
    "filter_response_norm",
    "filter_response_norm_backward",
    "fold_batch_norm",
    "ghost_batch_norm",
    "ghost_batch_norm_backward",
    "group_norm",
    "group_norm_backward",
    "instance_norm",
    "instance_norm_backward",
    "kernels",
    "layer_norm",
    "layer_norm_backward",
    "merge_moments",
    "nn",
    "rms_norm",
    "rms_norm_backward",
    "spectral_norm",
    "spectral_norm_backward",
    "update_running",
    "weight_norm",
    "weight_norm_backward",
    "weight_standardisation",
    "weight_standardisation_backward",
]
