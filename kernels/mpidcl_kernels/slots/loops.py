"""Compiled forms of the rules in `slots`. Draws u are uniform in [0, 1): int(u n) < n for every n < 2^53."""

from __future__ import annotations

import numpy as np

from mpidcl_kernels.base.cache import compiled

REFUSED = -1
SPREAD = 0x9E3779B97F4A7C15
"""2^64 / golden ratio, odd: the upper bits of products with it differ where slots differ (Knuth, 6.4)."""


def _reservoir(u, seen, capacity, slots):  # type: ignore[no-untyped-def]
    for i in range(slots.size):
        number = seen + i
        place = number if number < capacity else int(u[i] * (number + 1))
        slots[i] = place if place < capacity else REFUSED


def _candidate(u, classes, held, per_class, accept, slots):  # type: ignore[no-untyped-def]
    """False, and nothing done, where a class or what it holds is out of range."""
    fits = True
    for i in range(classes.size):
        fits &= (classes[i] >= 0) & (classes[i] < held.size)
    for k in range(held.size):
        fits &= (held[k] >= 0) & (held[k] <= per_class)
    if not fits:
        return False
    scale, last = min(per_class / accept, 1e300) if accept > 0 else 0.0, per_class - 1
    for i in range(slots.size):
        own = classes[i]
        if held[own] < per_class:
            slots[i] = own * per_class + held[own]
            held[own] += 1
        else:
            # Nobody can foresee this choice, the processor neither: both outcomes are computed.
            place = own * per_class + min(int(u[i] * scale), last)
            slots[i] = place if (u[i] < accept) & (last >= 0) else REFUSED
    return True


def _balanced(u, classes, order, starts, seen, full, slots):  # type: ignore[no-untyped-def]
    """False, and nothing done, where the table does not know a class."""
    free = starts.size - 1  # the free slots follow the last class, as if they were one class more
    fits = True
    for i in range(classes.size):
        fits &= (classes[i] >= 0) & (classes[i] < free)
    if not fits:
        return False
    for i in range(slots.size):
        own = classes[i]
        seen[own] += 1
        if starts[free] < order.size:
            giver, place = free, starts[free]
        else:
            giver, size = own, starts[own + 1] - starts[own]
            if not full[own]:
                for k in range(free):
                    if starts[k + 1] - starts[k] > size:
                        giver, size = k, starts[k + 1] - starts[k]
                # A class can stop to be the largest only by giving: it is marked then, or when its row comes.
                full[giver] = 1
            if full[own]:
                place = int(u[i] * seen[own])
                slots[i] = order[starts[own] + place] if place < size else REFUSED
                continue
            place = starts[giver] + int(u[i] * size)
        slots[i] = order[place]
        # Each class between giver and taker moves along by one slot: order inside a class means nothing.
        for k in range(giver, own, -1):
            order[place], order[starts[k]] = order[starts[k]], order[place]
            place = starts[k]
            starts[k] += 1
        for k in range(giver + 1, own + 1):
            starts[k] -= 1
            order[place], order[starts[k]] = order[starts[k]], order[place]
            place = starts[k]
    return True


def _last_of_each(slots, table, shift, kept):  # type: ignore[no-untyped-def]
    """Fill `kept` from its end, return where it begins. `table [2^(64 - shift)]` is full of REFUSED."""
    first, last_place = kept.size, table.size - 1
    for i in range(slots.size - 1, -1, -1):
        slot = slots[i]
        if slot == REFUSED:
            continue
        place = np.int64((np.uint64(slot) * np.uint64(SPREAD)) >> np.uint64(shift))
        while table[place] != REFUSED and table[place] != slot:
            place = (place + 1) & last_place
        if table[place] == REFUSED:
            table[place] = slot
            first -= 1
            kept[first] = i
    return first


def _first_of_each(numbers, table, base, count, places, new):  # type: ignore[no-untyped-def]
    """How many of `new` are filled; -1, and nothing done, where a number is outside the table."""
    fits = True
    for i in range(numbers.size):
        fits &= (numbers[i] >= 0) & (numbers[i] < table.size)
    if not fits:
        return -1
    found = 0
    for i in range(numbers.size):
        number = numbers[i]
        if table[number] < base:
            table[number] = base + count + found
            new[found] = i
            found += 1
        places[i] = table[number] - base
    return found


reservoir = compiled(_reservoir)
candidate = compiled(_candidate)
balanced = compiled(_balanced)
last_of_each = compiled(_last_of_each)
first_of_each = compiled(_first_of_each)
