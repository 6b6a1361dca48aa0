"""The compiled run of linear models by mail. See `mail.py` for what is what.

Arrays are taken out of their tuples once, and numbers are found by index: each array that is taken out of
another, or of a tuple, costs as much as some of the steps here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba

from mpidcl_kernels.base.cache import compiled
from mpidcl_kernels.linear.mail import (
    AGES,
    CALL,
    DONE,
    DROPPED,
    FLOATS,
    FRAMES,
    HEADER,
    LATE,
    LOST,
    MEAN_WORDS,
    MEANS,
    MESSAGES,
    NODES,
    PAYLOAD,
    ROOM,
    SECONDS,
    SKIPPED,
    TOO_STRONG,
    YOUNGEST,
)
from mpidcl_kernels.linear.node import LONGEST
from mpidcl_kernels.linear.node_loops import step

Decorator = Callable[[Callable[..., object]], Callable[..., Any]]
inlined: Decorator = numba.njit(nogil=True, error_model="numpy")


@inlined
def _rate(lr, decay, samples, i):  # type: ignore[no-untyped-def]
    return lr[i] * (1.0 + samples[i]) ** -decay[i] if decay[i] else lr[i]


@inlined
def _is_away(changes, moments, i, time):  # type: ignore[no-untyped-def]
    low, high = changes[i], changes[i + 1]
    first = low
    while low < high:  # how many changes there are up to `time`, at it included
        middle = (low + high) // 2
        if moments[middle] <= time:
            low = middle + 1
        else:
            high = middle
    return (low - first) % 2 == 1


@inlined
def _hear_model(seen, weights, place, weight, models, variances, heard, member, content, row, size):  # type: ignore[no-untyped-def]
    if place >= 0:
        weights[place] = weight
        for c in range(size):
            seen[place, c] = content[row + 1 + c]
    if member >= 0:
        variances[member], heard[member] = content[row], True
        for c in range(size):
            models[member, c] = content[row + 1 + c]


@inlined
def _hear_means(means, noises, times, speaker, own, content, row, size):  # type: ignore[no-untyped-def]
    for n in range(int(content[row])):
        at = row + 1 + n * (MEAN_WORDS + size)
        group = int(content[at])
        if group != own and content[at + 1] > times[speaker, group]:
            times[speaker, group], noises[speaker, group] = content[at + 1], content[at + 2]
            for c in range(size):
                means[speaker, group, c] = content[at + MEAN_WORDS + c]


@inlined
def _follow(told, own_row, pulls, i, rate, content, row, size):  # type: ignore[no-untyped-def]
    """Of a messenger's word. False: it would let the model grow without end."""
    if rate * content[row] >= 2:
        return False
    if content[row + 1] > told[i]:
        told[i] = content[row + 1]
        own_row[i, 0], own_row[i, 1] = content[row], 1.0
        for c in range(size):
            pulls[i, 1, c] = content[row + 2 + c]
    return True


@inlined
def _arrived(at, mask, count, link, ties, now, changes, moments, i, came):  # type: ignore[no-untyped-def]
    """(Letters that are here, and those of them in which something is to be read)."""
    here = read = 0
    for q in range(count[link]):
        time = at[link, q]
        if time < now or (time == now and ties):
            here += 1
            if changes[i] < changes[i + 1] and _is_away(changes, moments, i, time):
                came[link, DROPPED] += 1
                mask[link, q] = 0
            elif mask[link, q]:
                read += 1
    return here, read


@inlined
def _newest(at, number, mask, count, link, e, ties, now, newest, came):  # type: ignore[no-untyped-def]
    """The letter with the newest message of an exchange, or -1; others are late."""
    best, found, last = -1, 0, newest[link, e]
    for q in range(count[link]):
        time = at[link, q]
        if (time < now or (time == now and ties)) and mask[link, q] >> e & 1:
            found += 1
            if number[link, q] > last:
                best, last = q, number[link, q]
    if best >= 0:
        newest[link, e] = last
        came[link, MESSAGES] += 1
        found -= 1
    came[link, LATE] += found
    return best


@inlined
def _count_age(age, aged, link, e, old):  # type: ignore[no-untyped-def]
    age[link] += old
    power = max(YOUNGEST, math.frexp(old)[1]) if old > 0 else YOUNGEST
    aged[link, e, min(power - YOUNGEST, AGES - 1)] += 1


@inlined
def _forget(at, left, number, mask, count, content, begin, width, link, ties, now):  # type: ignore[no-untyped-def]
    """Away with letters that have been handled; the others stay in order."""
    kept = 0
    for q in range(count[link]):
        time = at[link, q]
        if time < now or (time == now and ties):
            continue
        if kept < q:
            at[link, kept], left[link, kept] = time, left[link, q]
            number[link, kept], mask[link, kept] = number[link, q], mask[link, q]
            for c in range(width[link]):
                content[begin[link] + kept * width[link] + c] = content[begin[link] + q * width[link] + c]
        kept += 1
    count[link] = kept


@inlined
def _leave(link, due, is_busy, lengths, payload, head, floats, prefix, ledger):  # type: ignore[no-untyped-def]
    """(What is said in a frame, by bits, and its bytes); the ledger counts it, but for its time."""
    total, said = prefix, 0
    frames = lengths.size
    if not is_busy:
        for e in range(frames):
            if due >> e & 1 and lengths[e]:
                said |= 1 << e
                total += payload[e] + head[e]
                ledger[link, e, FRAMES] += 1
                ledger[link, e, PAYLOAD] += payload[e]
                ledger[link, e, HEADER] += head[e]
                ledger[link, e, FLOATS] += floats[e]
    ledger[link, frames, FRAMES] += 1
    ledger[link, frames, HEADER] += prefix
    return said, total


@inlined
def _read(  # type: ignore[no-untyped-def]
    i, now, link, best, e, lr, decay, samples, seen, weights, weight, row, pulls, told, models, variances,
    heard, speaker, means, noises, times, group, kinds, hears_row, speaks_row, same, age, aged, left, content,
    begin, width, place, size,
):  # fmt: skip
    """Take in the newest message of an exchange over a link. False: it would let the model grow."""
    _count_age(age, aged, link, e, now - left[link, best])
    where = begin[link] + best * width[link] + place[link, e]
    fits = True
    if kinds[e] == NODES:
        member = speaks_row[link]
        _hear_model(
            seen, weights, hears_row[link], weight[i], models, variances, heard, member, content, where, size
        )
    elif kinds[e] == MEANS:
        if speaker[i] >= 0:
            _hear_means(means, noises, times, speaker[i], group[i], content, where, size)
    elif same[link]:
        fits = _follow(told, row, pulls, i, _rate(lr, decay, samples, i), content, where, size)
    return fits


@inlined
def _send(  # type: ignore[no-untyped-def]
    i, now, due, w, variance, kinds, source, out, outgoing, uses, latency, bandwidth, shortest, line, sent,
    said, busy, began, has_lost, lost, first_lost, has_jitter, jitter, first_jitter, came, ledger, at, left,
    number, mask, count, content, begin, width, place, saying, lengths, payload, head, floats, prefix, size,
):  # fmt: skip
    """A frame on each link on which something is due."""
    exchanges = kinds.size
    for e in range(exchanges):
        if kinds[e] == NODES:
            saying[e, 0] = variance[i]
            for c in range(size):
                saying[e, 1 + c] = w[i, c]
    shared_is_busy = busy[source.size + i] > now
    for p in range(out[i], out[i + 1]):
        link = outgoing[p]
        if not due & uses[link]:
            continue
        on = line[link]
        is_busy = shared_is_busy if on >= source.size else busy[on] > now
        told_now, total = _leave(
            link, due & uses[link], is_busy, lengths, payload, head, floats, prefix, ledger
        )
        frame = sent[link]
        sent[link] += 1
        wait = jitter[first_jitter[link] + frame] if has_jitter[link] else 0.0
        on_line = total / bandwidth[link] if bandwidth[link] else 0.0
        ledger[link, exchanges, SECONDS] += latency[link] + on_line + wait
        arrives = now + shortest[link]
        if is_busy:
            came[link, SKIPPED] += 1
        else:
            said[link] += 1
            gone = max(now, busy[on]) + on_line
            busy[on], began[on] = gone, True
            arrives = max(gone + latency[link] + wait, arrives)
            if has_lost[link] and lost[first_lost[link] + frame]:
                came[link, LOST] += 1
                told_now = 0
        q = count[link]
        count[link] += 1
        at[link, q], left[link, q], number[link, q], mask[link, q] = arrives, now, frame, told_now
        for e in range(exchanges):
            if told_now >> e & 1:
                where = begin[link] + q * width[link] + place[link, e]
                for c in range(lengths[e]):
                    content[where + c] = saying[e, c]


def _run_ticks(  # type: ignore[no-untyped-def]
    w, samples, variance, lr, decay, coupling, hears, seen, weights, weight, row, pulls, told, members,
    models, variances, heard, speaker, means, noises, times, group, changes, moments,
    kinds, source, target, into, incoming, out, outgoing, uses, latency, bandwidth, shortest, line, hears_row,
    speaks_row, same, sent, said, busy, began, has_lost, lost, first_lost, has_jitter, jitter, first_jitter,
    came, age, newest, aged, ledger,
    at, left, number, mask, count, content, begin, width, place,
    saying, lengths, payload, head, floats, prefix,
    tick_time, tick_agent, tick_sample, tick_due, xs, ys, calls, first, last, is_said,
):  # fmt: skip
    size, room = w.shape[1], at.shape[1]
    for n in range(first, last):
        i, now, due = tick_agent[n], tick_time[n], tick_due[n]
        if not is_said:
            for p in range(into[i], into[i + 1]):
                link = incoming[p]
                if count[link] == 0:
                    continue
                ties = source[link] < i
                here, read = _arrived(at, mask, count, link, ties, now, changes, moments, i, came)
                if here == 0:
                    continue
                for e in range(kinds.size if read else 0):
                    if not uses[link] >> e & 1:
                        continue
                    best = _newest(at, number, mask, count, link, e, ties, now, newest, came)
                    if best >= 0 and not _read(
                        i, now, link, best, e, lr, decay, samples, seen, weights, weight, row, pulls, told,
                        models, variances, heard, speaker, means, noises, times, group, kinds, hears_row,
                        speaks_row, same, age, aged, left, content, begin, width, place, size,
                    ):  # fmt: skip
                        return n, TOO_STRONG, link
                _forget(at, left, number, mask, count, content, begin, width, link, ties, now)
            r = tick_sample[n]
            if r >= 0:
                rate = _rate(lr, decay, samples, i)
                samples[i] += 1
                own, end = hears[i], hears[i + 1]
                residual = step(w, i, xs, r, ys[r], seen, weights, own, end, coupling[i], row, pulls, rate)
                variance[i] += (residual * residual - variance[i]) / min(samples[i], LONGEST)
            if due & calls[i]:
                return n, CALL, i
        is_said = False
        if due == 0:
            continue
        for p in range(out[i], out[i + 1]):
            if count[outgoing[p]] == room:
                return n, ROOM, outgoing[p]
        _send(
            i, now, due, w, variance, kinds, source, out, outgoing, uses, latency, bandwidth, shortest, line,
            sent, said, busy, began, has_lost, lost, first_lost, has_jitter, jitter, first_jitter, came,
            ledger, at, left, number, mask, count, content, begin, width, place, saying, lengths, payload,
            head, floats, prefix, size,
        )  # fmt: skip
    return last, DONE, -1


run_ticks = compiled(_run_ticks)
