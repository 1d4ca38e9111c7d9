"""The window of a DRAM controller: waiting requests, one queue per bank, oldest first.

Every bank remembers its oldest read and its oldest write to the open row, so that choosing the next command examines
one entry per active bank instead of the whole window. Everywhere: places: i8[place, column]; slots: i8[slot, column],
linked by number (see `columns`).
"""

from sim.engine.dram.columns import (
    ACT,
    ADMITTED,
    ARRIVAL_CYCLE,
    ARRIVES,
    BANK_OF,
    FREE_SLOT,
    HEAD,
    IS_WRITE,
    LIST,
    LISTED,
    LISTED_BANKS,
    NEVER,
    NEXT,
    NOW,
    OPEN_ROW,
    PRE,
    PREVIOUS,
    READ,
    READ_HIT,
    REQUEST,
    ROW,
    ROW_OF,
    STATE_ROW,
    TAIL,
    WANTS,
    WANTS_FOR,
    WRITE,
    WRITE_HIT,
    WRITES,
)
from sim.engine.jit import compiled


@compiled
def admit_arrived(requests, places, slots):
    """Take requests that have arrived, in order, while there is room; note when the next one can be taken."""
    state = places.shape[0] - STATE_ROW
    request, now = places[state, ADMITTED], places[state, NOW]
    places[state, ARRIVES] = NEVER
    while places[state, FREE_SLOT] >= 0 and request < requests.shape[0]:
        if requests[request, ARRIVAL_CYCLE] > now:
            places[state, ARRIVES] = requests[request, ARRIVAL_CYCLE]
            break
        slot, bank = places[state, FREE_SLOT], requests[request, BANK_OF]
        places[state, FREE_SLOT] = slots[slot, NEXT]
        slots[slot, REQUEST] = request
        slots[slot, ROW] = requests[request, ROW_OF]
        slots[slot, WRITES] = requests[request, IS_WRITE]
        slots[slot, NEXT] = -1
        append(places, slots, bank, slot)
        request += 1
    places[state, ADMITTED] = request


@compiled
def append(places, slots, bank, slot):
    """Append the slot to its bank's queue; a bank without a queue joins the list of active ones."""
    hit = WRITE_HIT if slots[slot, WRITES] == 1 else READ_HIT
    if places[bank, hit] < 0 and places[bank, OPEN_ROW] == slots[slot, ROW]:
        places[bank, hit] = slot
    tail = places[bank, TAIL]
    slots[slot, PREVIOUS] = tail
    places[bank, TAIL] = slot
    if tail >= 0:
        slots[tail, NEXT] = slot
        ask(places, bank)
        return
    places[bank, HEAD] = slot
    ask(places, bank)
    state = places.shape[0] - STATE_ROW
    places[bank, LISTED] = places[state, LISTED_BANKS]
    places[places[state, LISTED_BANKS], LIST] = bank
    places[state, LISTED_BANKS] += 1


@compiled
def remove_hit(places, slots, bank, slot):
    """Remove a served request to the open row and find the next one in its direction."""
    state = places.shape[0] - STATE_ROW
    after, before = slots[slot, NEXT], slots[slot, PREVIOUS]
    hit = WRITE_HIT if slots[slot, WRITES] == 1 else READ_HIT
    places[bank, hit] = oldest_hit(places, slots, bank, after, slots[slot, WRITES])
    if before >= 0:
        slots[before, NEXT] = after
    else:
        places[bank, HEAD] = after
    if after >= 0:
        slots[after, PREVIOUS] = before
    else:
        places[bank, TAIL] = before
    slots[slot, NEXT] = places[state, FREE_SLOT]
    places[state, FREE_SLOT] = slot
    ask(places, bank)
    if places[bank, HEAD] < 0:
        places[state, LISTED_BANKS] -= 1
        last = places[places[state, LISTED_BANKS], LIST]
        places[places[bank, LISTED], LIST] = last
        places[last, LISTED] = places[bank, LISTED]


@compiled
def oldest_hit(places, slots, bank, slot, writes):
    """The first slot from `slot` on with the bank's open row and the direction, or -1."""
    row = places[bank, OPEN_ROW]
    while slot >= 0 and (slots[slot, ROW] != row or slots[slot, WRITES] != writes):
        slot = slots[slot, NEXT]
    return slot


@compiled
def open_row(places, slots, bank, row):
    """After an activate: record the row, and the oldest read and write to it."""
    places[bank, OPEN_ROW] = row
    places[bank, READ_HIT] = oldest_hit(places, slots, bank, places[bank, HEAD], 0)
    places[bank, WRITE_HIT] = oldest_hit(places, slots, bank, places[bank, HEAD], 1)
    ask(places, bank)


@compiled
def close_row(places, bank):
    """After a precharge: no row is open, so there are no hits."""
    places[bank, OPEN_ROW] = -1
    places[bank, READ_HIT] = -1
    places[bank, WRITE_HIT] = -1
    ask(places, bank)


@compiled
def ask(places, bank):
    """Note the bank's next command: a read of its open row, else a write, else a precharge or an activate.

    If both a read and a write to the open row wait, the caller also has to consider the write.
    """
    read, write = places[bank, READ_HIT], places[bank, WRITE_HIT]
    places[bank, WANTS] = PRE if places[bank, OPEN_ROW] >= 0 else ACT
    places[bank, WANTS_FOR] = places[bank, HEAD]
    if read >= 0:
        places[bank, WANTS], places[bank, WANTS_FOR] = READ, read
    elif write >= 0:
        places[bank, WANTS], places[bank, WANTS_FOR] = WRITE, write
