"""The compiled run of a list of ticks; `linear_step` is a list of one."""

from __future__ import annotations

import numpy as np

from mpidcl_kernels.base.cache import compiled


def _run(  # type: ignore[no-untyped-def]
    w, nodes, x, y, alpha, starts, rows, weights, seen, stride, lam_local,
    groups, own, theta, means, lam_global, history, target, every, errors,
):  # fmt: skip
    """Ticks of nodes[e] in order; all matrices by rows. See `events.Job` for what is what.

    Neighbour q of event e is row rows[stride e + q] of `seen`, or rows[starts[i] + q] where stride is 0.
    `seen` may be `w`, and `history` a part of it: what an earlier event left is seen by later ones. Sums are
    taken in the order of the source, so the bits of an event do not depend on the list that it is in.
    """
    size = w.shape[1]
    related = np.zeros((theta.shape[0], size))
    for g in range(theta.shape[0]):
        for k in range(means.shape[0]):
            if k != own[g]:
                for c in range(size):
                    related[g, c] += theta[g, k] * means[k, c]
    local = np.empty(size)
    for e in range(nodes.size):
        i = nodes[e]
        model, sample = w[i], x[e]
        a = b = c0 = d = 0.0  # four sums side by side: one would wait for each addition
        c = 0
        while c + 4 <= size:
            a += sample[c] * model[c]
            b += sample[c + 1] * model[c + 1]
            c0 += sample[c + 2] * model[c + 2]
            d += sample[c + 3] * model[c + 3]
            c += 4
        while c < size:
            a += sample[c] * model[c]
            c += 1
        residual = y[e] - ((a + b) + (c0 + d))
        first = starts[i]
        at = stride * e if stride else first
        local[:] = 0.0
        for q in range(starts[i + 1] - first):
            other, weight = seen[rows[at + q]], weights[first + q]
            for c in range(size):
                local[c] += weight * (model[c] - other[c])
        g = groups[i]
        pulled = related[g]
        mean_weight = theta[g, own[g]] if own[g] >= 0 else 0.0
        rate = alpha[e]
        for c in range(size):
            towards = pulled[c] + mean_weight * model[c]
            model[c] -= rate * (lam_local * local[c] + lam_global * towards - sample[c] * residual)
        if history.shape[0]:
            history[e, :] = model
        if target.shape[0] and (e + 1) % every == 0:
            for n in range(w.shape[0]):
                total = 0.0
                for c in range(size):
                    total += (w[n, c] - target[n, c]) ** 2
                errors[e // every, n] = total


run = compiled(_run)
