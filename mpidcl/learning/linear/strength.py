"""How strongly a group is best drawn to where the others say that it should be.

With own weight g = lam_G Theta_kk and steps of constant size alpha the models of a group settle about a mean
that the relation has moved. To first order in alpha, and for groups that are all as noisy as this one, the
expected squared error along a direction in which features have variance h is

    f_h(lam) = n sum_j V_kj^2 h / (h + lam e_j)           noise of the mean; (e, V) = eig(Theta)
             + c / N sum_{l > 0} h / (h + g + l)          noise of models about their mean
             + r' S r,  r = V (lam e / (h + lam e)) V_k'  what the mean is drawn away by

with c = alpha s^2 / 2, the noise of a node alone, n = c sum_i c_i^2 that of the mean, l the eigenvalues but 0
of lam_L times the Laplacian of the group, and S the scatter of the true means about their centre. The error
of answers is sum_h h f_h(lam); lam_G is where it is least.

lam_G = c / N, a prior weighed against n_eff samples, leaves out that a relation draws members to each other,
too, and takes Theta for what is known of the means: S is what has been seen of them, less its noise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
TRIED = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 40)])
"""Own weights that are tried, as shares of the largest. Near its least value the error hardly changes."""
VARIANCES = 6
"""Of features, at most: more of them are averaged over directions that are nearly alike."""


class Settling(NamedTuple):
    """What a group settles with: `lone` is c, `noise` is n, pulls [N] are 0 and all l, variances [d] all h.

    `most`: the largest own weight that there may be.
    """

    lone: float
    noise: float
    pulls: Doubles
    variances: Doubles
    most: float


def scatter(means: Doubles, noises: Doubles, shares: Doubles) -> Doubles:
    """S [K, K] of true means about their centre, of noisy ones [K, d] with `noises [K]`.

    The centre is shares' means, with shares [K] of sum 1, or of zeros: it is zero then. Noise of variance n_k
    in each number adds J diag(n) J', J = I - 1 shares', to what is expected of the scatter that is seen. It
    is taken off here; directions in which nothing is left have none.
    """
    around = means - shares @ means
    spread = np.eye(len(means)) - shares
    found = around @ around.T / means.shape[1] - (spread * noises) @ spread.T
    values, directions = np.linalg.eigh(found)
    kept: Doubles = (directions * values.clip(0)) @ directions.T
    return kept


def least_error(theta: Doubles, true: Doubles, group: int, settling: Settling) -> float:
    """lam_G with the least expected error of the answers of `group`, S = `true`; 0: related to nobody."""
    lone, noise, pulls, variances, most = settling
    own = float(theta[group, group])
    if not own > 0:
        return 0.0
    values, directions = np.linalg.eigh(theta)
    weights, mine = most * TRIED, directions[group]
    h, count = _averaged(variances)
    kept = h / (h + np.outer(weights / own, values.clip(0)))
    moved = (1 - kept) * mine
    away = (moved @ (directions.T @ true @ directions) * moved).sum(2)
    about = (h / (h + (weights[:, None] + pulls[1:]))).sum(2)
    error = (count * h[:, 0, 0]) @ (noise * (kept @ mine**2) + lone / len(pulls) * about + away)
    return float(weights[error.argmin()] / own)


def _averaged(variances: Doubles) -> tuple[Doubles, Doubles]:
    """Positive variances [m, 1, 1] of up to `VARIANCES` parts of all, and how many each stands for [m]."""
    size = -(-len(variances) // VARIANCES)
    starts = np.arange(0, len(variances), size)
    counts = np.diff(np.append(starts, len(variances)))
    found = np.add.reduceat(variances, starts) / counts
    return found[found > 0, None, None], counts[found > 0].astype(np.float64)
