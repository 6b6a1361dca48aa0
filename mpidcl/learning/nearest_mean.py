"""Answers by the nearest class mean, in place of a head."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mpidcl.learning.batches import Prepared
from mpidcl.learning.terms.base import Answering
from mpidcl.model.base import Model

LEAST = float(np.finfo(np.float32).min)
"""Output of a class without rows."""


def nearest_mean(model: Model, rows: Prepared, mirrored: bool) -> Answering:
    """-|f - m_c|^2 for every class c of a head that has rows. In eval mode.

    f is an encoding of length 1, m_c the mean of those of the rows of c, made of length 1 (Rebuffi et al.
    2017, arXiv 1611.07725, algorithm 1); if `mirrored` also of those of their mirror images.
    """
    classes, features = model.shape.classes_per_head, _features(model, rows, mirrored)
    known, number = torch.unique(rows.heads * classes + rows.y, return_inverse=True)
    # a product in place of index_add_, which adds in any order on a GPU
    means = functional.normalize(functional.one_hot(number).to(features.dtype).t() @ features)

    def answer(encoded: Tensor, head: int) -> Tensor:
        mine = known.div(classes, rounding_mode="floor") == head
        away = torch.cdist(
            functional.normalize(encoded), means[mine], compute_mode="donot_use_mm_for_euclid_dist"
        )
        outputs = encoded.new_full((len(encoded), classes), LEAST)
        outputs[:, known[mine] % classes] = -away.square()
        return outputs

    return answer


def _features(model: Model, rows: Prepared, mirrored: bool) -> Tensor:
    """Encodings [n, width] of length 1; with mirror images the sum of both."""
    parts = []
    for z in torch.split(rows.z, model.rows_at_once):
        found = functional.normalize(model.encode(z))
        if mirrored:
            other = z.view(len(z), -1, model.shape.input_shape[-1]).flip(2).view(z.shape)
            found = found + functional.normalize(model.encode(other))
        parts.append(found)
    return torch.cat(parts)
