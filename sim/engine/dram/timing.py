"""When a DRAM command is legal: every issued command moves forward the first legal cycle of those that it delays.

A command has to wait for its bank, its bank group, the channel and its command bus; each of these places holds the
first cycle at which it allows a command of that kind, and the constraint responsible. A command is legal from the
latest of them on. The table of constraints is the only part of a standard that this module depends on.
"""

import numpy as np

from sim.engine.dram.columns import (
    ACT,
    ACTS,
    BANK,
    BANKS,
    BUS_OF,
    BUS_ROW,
    CAUSE,
    CHANNEL_ROW,
    COMMAND_BUS,
    CONFLICT,
    CYCLES,
    FOLLOWING,
    FOUR_ACTIVATES,
    GROUP,
    GROUP_PLACE,
    GROUPS,
    LENGTH_OF,
    OTHER_PLACES,
    PLACE_COLUMNS,
    PRE,
    PRE_ALL,
    READ,
    READ_CLOSING,
    READY,
    REF_SAME,
    RING,
    SAME_BANKS,
    SCOPE,
    STATE_ROW,
    WHY,
)
from sim.engine.jit import compiled


@compiled
def idle_places(settings):
    """places: i8[place, column] of a channel on which nothing has happened yet (see `columns`)."""
    banks, groups = settings[BANKS], settings[GROUPS]
    places = np.zeros((banks + groups + OTHER_PLACES, PLACE_COLUMNS), np.int64)
    for bank in range(banks):
        places[bank, READY + 2 * (WHY - READY) :] = -1
        places[bank, CONFLICT] = 0
        places[bank, GROUP_PLACE] = banks + bank * groups // banks
    return places


@compiled
def first_legal_cycle(places, settings, kind, bank):
    """First cycle at which timing allows the command; settings: i8[...]."""
    column = READY + kind
    bus = places.shape[0] - BUS_ROW + settings[BUS_OF + kind]
    narrow = max(places[bank, column], places[places[bank, GROUP_PLACE], column])
    return max(narrow, max(places[places.shape[0] - CHANNEL_ROW, column], places[bus, READY]))


@compiled
def last_to_allow(places, settings, kind, first, step):
    """Of every `step`-th bank from `first` on, the one that allows the command last; ties go to the first."""
    last = first
    for bank in range(first, settings[BANKS], step):
        if places[bank, READY + kind] > places[last, READY + kind]:
            last = bank
    return last


@compiled
def cause_of(places, settings, kind, bank, cycle, otherwise):
    """The constraint that made the command wait until `cycle`, narrowest place first; `otherwise` if none did."""
    group, channel = places[bank, GROUP_PLACE], places.shape[0] - CHANNEL_ROW
    if places[bank, READY + kind] == cycle:
        return places[bank, WHY + kind]
    if places[group, READY + kind] == cycle:
        return places[group, WHY + kind]
    if places[channel, READY + kind] == cycle:
        return places[channel, WHY + kind]
    if places[places.shape[0] - BUS_ROW + settings[BUS_OF + kind], READY] == cycle:
        return COMMAND_BUS
    return otherwise


@compiled
def push(places, constraints, spans, settings, kind, bank, cycle):
    """Apply the delays caused by a command at `cycle`.

    For a refresh of one bank per group, `push_twins` does the rest: with its loops in here, this function would not be
    inlined, which would cost a quarter of the speed.
    constraints: i8[constraint, column], sorted by the earlier command; spans: i8[kind + 1], first constraint of each.
    """
    channel, state = places.shape[0] - CHANNEL_ROW, places.shape[0] - STATE_ROW
    bus = places.shape[0] - BUS_ROW + settings[BUS_OF + kind]
    places[bus, READY] = max(places[bus, READY], cycle + settings[LENGTH_OF + kind])
    if kind == ACT:
        places[state, RING + places[state, ACTS] % 4] = cycle
        places[state, ACTS] += 1
    for i in range(spans[kind], spans[kind + 1]):
        scope, place = constraints[i, SCOPE], channel
        until = cycle + constraints[i, CYCLES]
        if scope == BANK:
            place = bank
        elif scope == GROUP:
            place = places[bank, GROUP_PLACE]
        elif scope == FOUR_ACTIVATES:
            # The next ACT is the fourth after the oldest of the ring.
            acts = places[state, ACTS]
            until = places[state, RING + acts % 4] + constraints[i, CYCLES] if acts >= 4 else 0
        elif scope == SAME_BANKS:
            place = bank
        following = constraints[i, FOLLOWING]
        if until > places[place, READY + following]:
            places[place, READY + following] = until
            places[place, WHY + following] = constraints[i, CAUSE]


@compiled
def push_twins(places, constraints, spans, settings, bank, cycle):
    """Apply the delays that a refresh of the bank's number in every group causes in the other groups; as `push`."""
    per_group = settings[BANKS] // settings[GROUPS]
    for other in range(bank % per_group, settings[BANKS], per_group):
        for i in range(spans[REF_SAME], spans[REF_SAME + 1]):
            column, until = READY + constraints[i, FOLLOWING], cycle + constraints[i, CYCLES]
            if constraints[i, SCOPE] == SAME_BANKS and until > places[other, column]:
                places[other, column] = until
                places[other, column + WHY - READY] = constraints[i, CAUSE]


@compiled
def push_closing(places, constraints, spans, bank):
    """Apply the delays of a bank that closes by itself after its last read or write, as early as it could be closed.

    No command says so: nothing is on the pins, and other precharges need not keep apart from it.
    """
    channel, cycle = places.shape[0] - CHANNEL_ROW, places[bank, READY + PRE]
    for i in range(spans[PRE], spans[PRE + 1]):
        following, until = constraints[i, FOLLOWING], cycle + constraints[i, CYCLES]
        place = bank if constraints[i, SCOPE] == BANK else channel
        if following not in (PRE, PRE_ALL) and until > places[place, READY + following]:
            places[place, READY + following] = until
            places[place, WHY + following] = constraints[i, CAUSE]


@compiled
def play(commands, constraints, spans, settings, issued):
    """Issue `commands: i8[command, (kind, bank)]` in order, each as soon as timing allows, none before the one ahead.

    Fills `issued: i8[command, (cycle, cause)]`; a command delayed only by its order has cause 0.
    """
    places = idle_places(settings)
    cycle = 0
    for i in range(commands.shape[0]):
        kind, bank = commands[i, 0], commands[i, 1]
        closing = kind >= READ_CLOSING
        if closing:
            kind -= READ_CLOSING - READ
        if kind == REF_SAME:
            per_group = settings[BANKS] // settings[GROUPS]
            bank = last_to_allow(places, settings, kind, bank % per_group, per_group)
        earliest = first_legal_cycle(places, settings, kind, bank)
        issued[i, 1] = cause_of(places, settings, kind, bank, earliest, 0) if earliest >= max(cycle, 1) else 0
        cycle = max(cycle, earliest)
        issued[i, 0] = cycle
        push(places, constraints, spans, settings, kind, bank, cycle)
        if kind == REF_SAME:
            push_twins(places, constraints, spans, settings, bank, cycle)
        if closing:
            push_closing(places, constraints, spans, bank)
