"""One optimiser step over a flat parameter vector, segment by segment, in place.

A segment is a half-open range `starts[k] .. stops[k]` with its own step count `steps[k] >= 1`
(this step included). What lies outside the given segments is neither read nor written: that is the
meaning of `grad = None` in other libraries. `weight_decay` is the coupled (L2) form for `sgd` and
`adam` and the decoupled form (Loshchilov and Hutter 2019, algorithm 2) for `adamw`. `square_of` is for a
`g` that is no plain gradient, such as several brought together: Adam's second moment is then of another
vector.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mpidcl_kernels.base.cache import compiled
from mpidcl_kernels.base.types import Floats, Index

# --- definitions: float64, one segment, new arrays -------------------------------------------------


def sgd_definition(
    w: Floats, g: Floats, velocity: Floats, lr: float, momentum: float, weight_decay: float
) -> tuple[Floats, Floats]:
    """SGD with heavy-ball momentum, `v <- mu v + g`, `w <- w - lr v`; all arrays `[n]`. Returns (w, v)."""
    w, g, velocity = (a.astype(np.float64) for a in (w, g, velocity))
    velocity = momentum * velocity + (g + weight_decay * w)
    return w - lr * velocity, velocity


def adam_definition(
    w: Floats,
    g: Floats,
    m: Floats,
    v: Floats,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    square_of: Floats | None = None,
) -> tuple[Floats, Floats, Floats]:
    """Adam (Kingma and Ba 2015, algorithm 1) with bias correction; all arrays `[n]`. Returns (w, m, v).

    `v` is the running square of `square_of`, where that is given, and of `g` otherwise.

    The first step is `lr` against the sign of the gradient, however small that is:

    >>> zeros, slope = np.zeros(3), np.array([1e-4, -2.0, 500.0])
    >>> w, m, v = adam_definition(zeros, slope, zeros, zeros, 1, 0.1, 0.9, 0.999, 1e-8, 0.0, False)
    >>> w.round(4).tolist()
    [-0.1, 0.1, -0.1]
    """
    other = g if square_of is None else square_of
    w, g, other, m, v = (a.astype(np.float64) for a in (w, g, other, m, v))
    if decoupled:
        w = w * (1 - lr * weight_decay)
    else:
        g, other = g + weight_decay * w, other + weight_decay * w
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * other * other
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v


# --- compiled forms ---------------------------------------------------------------------------------
# Scalars are cast to the array's type first: a float64 scalar would widen every operation. A segment is
# sliced before its loop, so that the compiler sees that no index is negative and vectorises. Each pass
# reads and writes element i only, so vectorising cannot change a bit.


def _sgd(w, g, velocity, starts, stops, lr, momentum, weight_decay):  # type: ignore[no-untyped-def]
    kind = w.dtype.type
    rate, mu, decay = kind(lr), kind(momentum), kind(weight_decay)
    for k in range(starts.size):
        part, slope, speed = w[starts[k] : stops[k]], g[starts[k] : stops[k]], velocity[starts[k] : stops[k]]
        for i in range(part.size):
            speed[i] = mu * speed[i] + (slope[i] + decay * part[i])
            part[i] -= rate * speed[i]


def _adam(w, g, m, v, starts, stops, steps, lr, beta1, beta2, eps, weight_decay, decoupled):  # type: ignore[no-untyped-def]
    kind = w.dtype.type
    b1, b2, c1, c2 = kind(beta1), kind(beta2), kind(1.0 - beta1), kind(1.0 - beta2)
    shrink = kind(1.0 - lr * weight_decay) if decoupled else kind(1.0)
    decay, floor = kind(0.0) if decoupled else kind(weight_decay), kind(eps)
    for k in range(starts.size):
        count = float(steps[k])
        rate = kind(lr / (1.0 - beta1**count))
        scale = kind(1.0 / np.sqrt(1.0 - beta2**count))
        part, slope = w[starts[k] : stops[k]], g[starts[k] : stops[k]]
        mean, square = m[starts[k] : stops[k]], v[starts[k] : stops[k]]
        for i in range(part.size):
            p = part[i] * shrink
            d = slope[i] + decay * p
            mean[i] = b1 * mean[i] + c1 * d
            square[i] = b2 * square[i] + c2 * (d * d)
            part[i] = p - rate * mean[i] / (np.sqrt(square[i]) * scale + floor)


# Squares in a loop of their own: with five arrays in one loop the compiler has more pairs that might overlap
# than it checks, and may not vectorise.
def _adam_apart(w, g, h, m, v, starts, stops, steps, lr, beta1, beta2, eps, weight_decay, decoupled):  # type: ignore[no-untyped-def]
    kind = w.dtype.type
    b1, b2, c1, c2 = kind(beta1), kind(beta2), kind(1.0 - beta1), kind(1.0 - beta2)
    shrink = kind(1.0 - lr * weight_decay) if decoupled else kind(1.0)
    decay, floor = kind(0.0) if decoupled else kind(weight_decay), kind(eps)
    for k in range(starts.size):
        count = float(steps[k])
        rate = kind(lr / (1.0 - beta1**count))
        scale = kind(1.0 / np.sqrt(1.0 - beta2**count))
        part, slope, other = w[starts[k] : stops[k]], g[starts[k] : stops[k]], h[starts[k] : stops[k]]
        mean, square = m[starts[k] : stops[k]], v[starts[k] : stops[k]]
        for i in range(part.size):
            d = other[i] + decay * (part[i] * shrink)
            square[i] = b2 * square[i] + c2 * (d * d)
        for i in range(part.size):
            p = part[i] * shrink
            mean[i] = b1 * mean[i] + c1 * (slope[i] + decay * p)
            part[i] = p - rate * mean[i] / (np.sqrt(square[i]) * scale + floor)


_sgd_compiled: Callable[..., None] = compiled(_sgd)
_adam_compiled: Callable[..., None] = compiled(_adam)
_adam_apart_compiled: Callable[..., None] = compiled(_adam_apart)


def _check(arrays: tuple[Floats, ...], starts: Index, stops: Index) -> None:
    first = arrays[0]
    for array in arrays:
        if not isinstance(array, np.ndarray):
            raise TypeError(
                f"Arrays should be NumPy arrays. Found {type(array).__module__}.{type(array).__qualname__};"
                " pass a NumPy view of CPU memory, or use the optimisers of mpidcl.learning on a GPU."
            )
        if array.dtype != first.dtype or array.shape != first.shape or array.ndim != 1:
            raise ValueError(
                "Arrays should be vectors of one shape and dtype."
                f" Found {array.dtype} {array.shape} beside {first.dtype} {first.shape}."
            )
    if first.dtype not in (np.float32, np.float64):
        raise ValueError(f"Arrays should be float32 or float64. Found {first.dtype}.")
    # The compiled loop does not check bounds, so a bad segment would write outside the array.
    if starts.size and (starts.min() < 0 or stops.max() > first.size):
        raise ValueError(f"Segments should lie inside 0..{first.size}. Found {starts.min()}..{stops.max()}.")


def sgd(
    w: Floats,
    g: Floats,
    velocity: Floats,
    starts: Index,
    stops: Index,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> None:
    """One SGD step in place on the given segments of `w [n]`, `velocity [n]`; `g [n]` is only read.

    Raises TypeError for arrays that are not NumPy's, ValueError for what does not fit together.
    """
    _check((w, g, velocity), starts, stops)
    _sgd_compiled(w, g, velocity, starts, stops, lr, momentum, weight_decay)


def adam(
    w: Floats,
    g: Floats,
    m: Floats,
    v: Floats,
    starts: Index,
    stops: Index,
    steps: Index,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    square_of: Floats | None = None,
) -> None:
    """One Adam step in place on the given segments of `w, m, v [n]`; `g [n]` is only read.

    `decoupled` makes it AdamW. `v` is the running square of `square_of [n]`, only read, where that is given,
    and of `g` otherwise; where the two are equal, so are all bits. Raises as `sgd`.
    """
    rates = (lr, beta1, beta2, eps, weight_decay, decoupled)
    if square_of is None:
        _check((w, g, m, v), starts, stops)
        _adam_compiled(w, g, m, v, starts, stops, steps, *rates)
    else:
        _check((w, g, square_of, m, v), starts, stops)
        _adam_apart_compiled(w, g, square_of, m, v, starts, stops, steps, *rates)


def warm() -> None:
    """Compile what learners call."""
    w, g, m, v = (np.ones(2, np.float32) for _ in range(4))
    ends = (np.array([0]), np.array([2]))
    sgd(w, g, m, *ends, lr=1e-3)
    adam(w, g, m, v, *ends, np.array([1]), lr=1e-3)
    adam(w, g, m, v, *ends, np.array([1]), lr=1e-3, square_of=g)
