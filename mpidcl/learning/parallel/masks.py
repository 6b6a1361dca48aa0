"""Masked softmax: one head for all classes, of which a row may only mean some."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

Mask = npt.NDArray[np.bool_]


def mask_of(labels: Iterable[int], classes: int) -> Mask:
    """Mask [classes], true at `labels`."""
    mask = np.zeros(classes, dtype=np.bool_)
    mask[list(labels)] = True
    return mask


def masked_cross_entropy(logits: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Mean cross-entropy of logits [n, classes] with labels y [n] over the classes that `mask` allows.

    mask: bool [classes] or [n, classes]. Classes outside have probability exactly 0 and no gradient.
    """
    return functional.cross_entropy(logits.masked_fill(~mask, -torch.inf), y)


def hits(logits: Tensor, y: Tensor, mask: Tensor) -> int:
    """How many of the rows have their largest allowed logit at their label."""
    return int((logits.masked_fill(~mask, -torch.inf).argmax(1) == y).sum())
