"""The compiled run of linear models by mail. See `mail.py` for what is what.

The loop is given arrays and no tuples of them, and finds numbers by index: each array that is taken out of a
tuple, or of another one, costs as much as some of the steps here.
"""

from __future__ import annotations

import math

from mpidcl_kernels.base.cache import compiled
from mpidcl_kernels.linear.mail import (
    AGES,
    CALL,
    DONE,
    FLOATS,
    FRAMES,
    HEADER,
    MEAN_WORDS,
    MEANS,
    NODES,
    PAYLOAD,
    ROOM,
    SECONDS,
    TOO_STRONG,
    YOUNGEST,
)
from mpidcl_kernels.linear.node import LONGEST
from mpidcl_kernels.linear.node_loops import inlined, step


@inlined
def _rate(agent):  # type: ignore[no-untyped-def]
    return agent.lr * (1.0 + agent.samples) ** -agent.decay if agent.decay else agent.lr


@inlined
def _is_odd(changes, first, last, time):  # type: ignore[no-untyped-def]
    """Whether so many changes are up to `time`, at it included."""
    low, high = first, last
    while low < high:
        middle = (low + high) // 2
        if changes[middle] <= time:
            low = middle + 1
        else:
            high = middle
    return (low - first) % 2 == 1


@inlined
def _hear_model(agent, link, seen, weights, models, variances, heard, content, row):  # type: ignore[no-untyped-def]
    if link.hears >= 0:
        weights[link.hears] = agent.weight
        for c in range(seen.shape[1]):
            seen[link.hears, c] = content[row + 1 + c]
    if link.speaks >= 0:
        variances[link.speaks], heard[link.speaks] = content[row], True
        for c in range(seen.shape[1]):
            models[link.speaks, c] = content[row + 1 + c]


@inlined
def _hear_means(agent, means, noises, times, content, row):  # type: ignore[no-untyped-def]
    size, speaker = means.shape[2], agent.speaker
    for n in range(int(content[row]) if speaker >= 0 else 0):
        at = row + 1 + n * (MEAN_WORDS + size)
        group = int(content[at])
        if group != agent.group and content[at + 1] > times[speaker, group]:
            times[speaker, group], noises[speaker, group] = content[at + 1], content[at + 2]
            for c in range(size):
                means[speaker, group, c] = content[at + MEAN_WORDS + c]


@inlined
def _follow(agent, i, rows, pulls, content, row):  # type: ignore[no-untyped-def]
    """Of a messenger's word. False: it would let the model grow without end."""
    if _rate(agent) * content[row] >= 2:
        return False
    if content[row + 1] > agent.told:
        agent.told = content[row + 1]
        rows[i, 0], rows[i, 1] = content[row], 1.0
        for c in range(pulls.shape[2]):
            pulls[i, 1, c] = content[row + 2 + c]
    return True


@inlined
def _arrived(agent, link, letters, i, now, changes):  # type: ignore[no-untyped-def]
    """(Letters that are here, and those of them in which something is to be read)."""
    here = read = 0
    ties = link.source < i
    for q in range(link.held):
        letter = letters[q]
        if letter.at < now or (letter.at == now and ties):
            here += 1
            if _is_odd(changes, agent.away[0], agent.away[1], letter.at):
                link.dropped += 1
                letter.mask = 0
            elif letter.mask:
                read += 1
    return here, read


@inlined
def _all_arrived(agent, i, links, incoming, letters, now, changes):  # type: ignore[no-untyped-def]
    here = read = 0
    for p in range(agent.into[0], agent.into[1]):
        link = links[incoming[p]]
        link.here = link.read = 0
        if link.held:
            link.here, link.read = _arrived(agent, link, letters[incoming[p]], i, now, changes)
            here, read = here + link.here, read + link.read
    return here, read


@inlined
def _newest(link, letters, e, ties, now, newest):  # type: ignore[no-untyped-def]
    """The letter with the newest message of an exchange, or -1; others are late."""
    best, found, last = -1, 0, newest[e]
    for q in range(link.held):
        letter = letters[q]
        if (letter.at < now or (letter.at == now and ties)) and letter.mask >> e & 1:
            found += 1
            if letter.number > last:
                best, last = q, letter.number
    if best >= 0:
        newest[e] = last
        link.messages += 1
        found -= 1
    link.late += found
    return best


@inlined
def _count_age(link, aged, age):  # type: ignore[no-untyped-def]
    link.age += age
    power = max(YOUNGEST, math.frexp(age)[1]) if age > 0 else YOUNGEST
    aged[min(power - YOUNGEST, AGES - 1)] += 1


@inlined
def _forget(link, letters, content, ties, now):  # type: ignore[no-untyped-def]
    """Away with letters that have been handled; the others stay in order."""
    kept = 0
    for q in range(link.held):
        letter = letters[q]
        if letter.at < now or (letter.at == now and ties):
            continue
        if kept < q:
            letters[kept] = letter
            for c in range(link.width):
                content[link.begin + kept * link.width + c] = content[link.begin + q * link.width + c]
        kept += 1
    link.held = kept


@inlined
def _forget_all(agent, i, links, incoming, letters, content, now):  # type: ignore[no-untyped-def]
    for p in range(agent.into[0], agent.into[1]):
        link = links[incoming[p]]
        if link.here:
            _forget(link, letters[incoming[p]], content, link.source < i, now)


@inlined
def _count_said(due, is_empty, exchanges, prefix, ledger):  # type: ignore[no-untyped-def]
    """(What is said in a frame, by bits, and its bytes); the ledger counts it, but for its time."""
    total, said = prefix, 0
    if not is_empty:
        for e in range(exchanges.size):
            one = exchanges[e]
            if due >> e & 1 and one.length:
                said |= 1 << e
                total += one.payload + one.head
                ledger[e, FRAMES] += 1
                ledger[e, PAYLOAD] += one.payload
                ledger[e, HEADER] += one.head
                ledger[e, FLOATS] += one.floats
    ledger[exchanges.size, FRAMES] += 1
    ledger[exchanges.size, HEADER] += prefix
    return said, total


@inlined
def _leave(  # type: ignore[no-untyped-def]
    link, now, due, is_busy, busy, began, breaks, lost, jitter, exchanges, prefix, ledger
):
    """One frame, up to its letter: (arrival, its number, what is said in it)."""
    is_down = _is_odd(breaks, link.breaks[0], link.breaks[1], now)
    is_empty = is_down or is_busy
    said, total = _count_said(due, is_empty, exchanges, prefix, ledger)
    frame = link.sent
    link.sent += 1
    wait = jitter[link.first_jitter + frame] if link.has_jitter else 0.0
    on_line = total / link.bandwidth if link.bandwidth else 0.0
    ledger[exchanges.size, SECONDS] += link.latency + on_line + wait
    arrives = now + link.shortest
    if is_empty:
        if is_down:
            link.down += 1
        else:
            link.skipped += 1
        return arrives, frame, 0
    link.said += 1
    gone = max(now, busy[link.line]) + on_line
    busy[link.line], began[link.line] = gone, True
    if link.has_lost and lost[link.first_lost + frame]:
        link.lost += 1
        said = 0
    return max(gone + link.latency + wait, arrives), frame, said


@inlined
def _write(link, letters, content, place, saying, exchanges, arrives, now, frame, said):  # type: ignore[no-untyped-def]
    letter = letters[link.held]
    letter.at, letter.left, letter.number, letter.mask = arrives, now, frame, said
    for e in range(exchanges.size):
        if said >> e & 1:
            where = link.begin + link.held * link.width + place[e]
            for c in range(exchanges[e].length):
                content[where + c] = saying[e, c]
    link.held += 1


@inlined
def _say_model(i, agent, w, exchanges, saying):  # type: ignore[no-untyped-def]
    for e in range(exchanges.size):
        if exchanges[e].kind == NODES:
            saying[e, 0] = agent.variance
            for c in range(w.shape[1]):
                saying[e, 1 + c] = w[i, c]


def _run_ticks(  # type: ignore[no-untyped-def]
    nodes, w, seen, weights, rows, pulls, models, variances, heard, means, noises, times, changes,
    links, incoming, outgoing, busy, began, lost, jitter, newest, aged, ledger, place,
    breaks, letters, content, exchanges, saying, prefix, tick_time, tick_agent, tick_sample, tick_due, xs, ys,
    first, last, is_said,
):  # fmt: skip
    for n in range(first, last):
        i, now, due = tick_agent[n], tick_time[n], tick_due[n]
        agent = nodes[i]
        if not is_said:
            here, read = _all_arrived(agent, i, links, incoming, letters, now, changes)
            # Of one exchange all sources, then of the next one: of two means of one time the first counts.
            for e in range(exchanges.size if read else 0):
                kind = exchanges[e].kind
                for p in range(agent.into[0], agent.into[1]):
                    at = incoming[p]
                    link = links[at]
                    if link.read == 0 or not link.uses >> e & 1:
                        continue
                    best = _newest(link, letters[at], e, link.source < i, now, newest[at])
                    if best < 0:
                        continue
                    _count_age(link, aged[at, e], now - letters[at, best].left)
                    row = link.begin + best * link.width + place[at, e]
                    if kind == NODES:
                        _hear_model(agent, link, seen, weights, models, variances, heard, content, row)
                    elif kind == MEANS:
                        _hear_means(agent, means, noises, times, content, row)
                    elif link.same and not _follow(agent, i, rows, pulls, content, row):
                        return n, TOO_STRONG, at
            if here:
                _forget_all(agent, i, links, incoming, letters, content, now)
            r = tick_sample[n]
            if r >= 0:
                rate = _rate(agent)
                agent.samples += 1
                own, end, lam = agent.hears[0], agent.hears[1], agent.coupling
                residual = step(w, i, xs, r, ys[r], seen, weights, own, end, lam, rows, pulls, rate)
                agent.variance += (residual * residual - agent.variance) / min(agent.samples, LONGEST)
            if due & agent.calls:
                return n, CALL, i
        is_said = False
        if due == 0:
            continue
        for p in range(agent.out[0], agent.out[1]):
            if links[outgoing[p]].held == letters.shape[1]:
                return n, ROOM, outgoing[p]
        _say_model(i, agent, w, exchanges, saying)
        shared_is_busy = busy[links.size + i] > now
        for p in range(agent.out[0], agent.out[1]):
            at, link = outgoing[p], links[outgoing[p]]
            told = due & link.uses
            if told:
                is_busy = shared_is_busy if link.line >= links.size else busy[link.line] > now
                arrives, frame, said = _leave(
                    link, now, told, is_busy, busy, began, breaks, lost, jitter, exchanges, prefix, ledger[at]
                )
                _write(link, letters[at], content, place[at], saying, exchanges, arrives, now, frame, said)
    return last, DONE, -1


run_ticks = compiled(_run_ticks)
