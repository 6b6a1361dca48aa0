"""Ticks of linear models on CUDA arrays, by one block in the order of the list."""

from __future__ import annotations

import numpy as np

from mpidcl_kernels.base.device import Device
from mpidcl_kernels.base.types import ArrayModule, View
from mpidcl_kernels.linear.events import Job

THREADS = 256
NO_TARGET = np.empty((0, 1))


def run(device: Device, job: Job, seen: View | None = None) -> View:
    """What `linear._run` does on the host: models change in place, errors are returned."""
    xp = device.xp
    size = job.w.shape[1]
    w = xp.ascontiguousarray(job.w)
    history = xp.empty((1, size))
    if seen is None:
        seen = w
    if job.stride:
        seen = xp.concatenate([w, xp.empty((len(job.nodes), size))])
        history = seen[len(w) :]
    errors = xp.empty((job.records, len(w)))
    lists = (job.nodes, job.x, job.y, job.alpha, job.starts, job.rows, job.weights, seen)
    related = (xp.asarray(job.groups), *_related(xp, job), _ready(xp, job.target), errors)
    arrays = (w, *(_ready(xp, array) for array in lists), history, *related)
    lengths = (len(job.nodes), size, len(w), job.stride, job.every)
    if len(job.nodes) and size:
        threads = min(THREADS, 1 << (size - 1).bit_length())
        flags = (job.stride > 0, job.records > 0)
        device.kernel("linear", "run")(1, threads, (*arrays, *lengths, job.lam_local, job.lam_global, *flags))
    if w is not job.w:
        job.w[...] = w
    return errors


def tick(
    device: Device,
    w: View,
    x: View,
    seen: View,
    weights: View,
    row: View,
    means: View,
    y: float,
    lam_local: float,
    lam_global: float,
    alpha: float,
    group: int | None,
) -> None:
    """What `linear._tick` does on the host: a list of one tick, of a node 0 whose row of Theta is row 0."""
    first, own = np.zeros(1, np.int64), np.full(1, -1 if group is None else group)
    job = Job(
        w=w[None],
        nodes=first,
        x=x[None],
        y=np.array((y,)),
        alpha=np.array((alpha,)),
        starts=np.array((0, len(weights))),
        rows=np.arange(len(weights)),
        weights=weights,
        stride=0,
        lam_local=lam_local,
        groups=first,
        own=own,
        theta=row[None],
        means=means,
        lam_global=lam_global,
        target=NO_TARGET,
        every=1,
    )
    run(device, job, seen)


def _ready(xp: ArrayModule, array: View) -> View:
    kind = np.float64 if array.dtype.kind == "f" else np.int64
    return xp.ascontiguousarray(xp.asarray(array, dtype=kind))


def _related(xp: ArrayModule, job: Job) -> tuple[View, View]:
    """Theta times the means without the own group's, which each node stands for itself; and its weights."""
    theta = xp.array(job.theta, dtype=np.float64)
    rows = xp.arange(len(job.own))
    own = xp.asarray(np.maximum(job.own, 0))
    if not theta.shape[1]:
        return xp.zeros((len(job.own), job.w.shape[1])), xp.zeros(len(job.own))
    mine = xp.where(xp.asarray(job.own >= 0), theta[rows, own], 0.0)
    theta[rows, own] -= mine
    return xp.ascontiguousarray(theta @ _ready(xp, job.means)), mine
