"""Numeric codes of the DRAM engine's tables: commands, scopes, causes, columns and settings.

Plain integers, not enumerations, because compiled loops take them as constants. Names of commands and causes for
display are listed with their numbers.
"""

NEVER = 1 << 62  # a cycle that is never reached

# Commands. Row commands come over the row bus, reads and writes over the column bus; a shared bus is both.
ACT, PRE, READ, WRITE, PRE_ALL, REF_ALL, REF_BANK, REF_SAME, KINDS = 0, 1, 2, 3, 4, 5, 6, 7, 8
# In traces only: a read or a write after which its bank closes by itself (auto-precharge).
READ_CLOSING, WRITE_CLOSING = 8, 9
COMMANDS = ("ACT", "PRE", "RD", "WR", "PREA", "REF", "REFpb", "REFsb", "RDA", "WRA")

# Where a constraint applies after a command: its bank, its bank group, its channel; from the fourth-last ACT on; or the
# banks with its number in every group.
BANK, GROUP, CHANNEL, FOUR_ACTIVATES, SAME_BANKS = 0, 1, 2, 3, 4

# What a command waited for.
CAUSES = (
    "arrival", "refresh due", "command bus", "tRCDRD", "tRCDWR", "tRP", "tRAS", "tRC", "tRRD_S", "tRRD_L", "tFAW",
    "tCCD_S", "tCCD_L", "tCCD_S_WR", "tCCD_L_WR", "tRTP", "tWR", "tRTW", "tWTR_S", "tWTR_L", "tPPD", "tRP_ab", "tRFC",
    "tRFC_pb", "tRFC_sb", "tRREFD", "tPBR2PBR",
)  # fmt: skip
ARRIVAL, REFRESH_DUE, COMMAND_BUS = 0, 1, 2

# Columns of `requests: i8[request, column]`.
ARRIVAL_CYCLE, BANK_OF, ROW_OF, IS_WRITE = 0, 1, 2, 3

# Columns of `constraints: i8[constraint, column]`, sorted by the earlier command.
FOLLOWING, SCOPE, CYCLES, CAUSE = 0, 1, 2, 3

# Places of `settings: i8[...]`; the last three are the first of KINDS places each. A read or write YIELDS the pins
# that it shares with row commands to one of those that becomes legal within that many cycles. REFRESH is the command
# that refreshes, NO_REFRESH if none does. The banks take SHARES of it in turn: one of them closes and refreshes every
# SHARES-th bank. The last activate of another bank comes at least this many cycles BEFORE_REFRESH, or BEFORE_CLOSING
# its first bank.
BANKS, GROUPS, WINDOW, READ_DONE, WRITE_DONE, REFRESH, REFRESH_CYCLES, SHARES = 0, 1, 2, 3, 4, 5, 6, 7
BEFORE_REFRESH, BEFORE_CLOSING = 8, 9
BUS_OF, LENGTH_OF, YIELDS, SETTINGS = 10, 10 + KINDS, 10 + 2 * KINDS, 10 + 3 * KINDS
NO_REFRESH = -1

# Columns of `places: i8[place, column]`. Its rows are the banks, the bank groups, the channel, the row bus, the column
# bus and the state of the run. READY and WHY are the first of KINDS columns each: the first cycle at which a command is
# legal as far as the place is concerned, and the constraint that says so; a bus has one such cycle. Then, of a bank and
# its queue (slots are numbers, -1 is none):
READY, WHY = 0, KINDS
OPEN_ROW, HEAD, TAIL, READ_HIT, WRITE_HIT, OPENED_AS, CONFLICT, GROUP_PLACE, LISTED = 16, 17, 18, 19, 20, 21, 22, 23, 24
LIST = 25  # of row i: the i-th bank that has a queue
WANTS, WANTS_FOR, PLACE_COLUMNS = 26, 27, 28  # the command that a bank with a queue asks for, and its slot
CHANNEL_ROW, BUS_ROW, STATE_ROW, OTHER_PLACES = 4, 3, 1, 4  # rows from the end; behind banks and groups there are four

# Columns of `slots: i8[slot, column]`, the window: a request, and its neighbours in the queue of its bank.
NEXT, PREVIOUS, REQUEST, ROW, WRITES, SLOT_COLUMNS = 0, 1, 2, 3, 4, 5

# Columns of the state row: the progress of the run.
NOW, LAST, SERVED, ADMITTED, ARRIVES, FREE_SLOT, PENDING, DUE = 0, 1, 2, 3, 4, 5, 6, 7
REFRESHES, LISTED_BANKS, ACTS = 8, 9, 10
RING, FLOORS = 11, 15  # cycles of the last four ACTs; scratch for each kind

# Places of `counts: i8[...]`; the first three are also the values of OPENED_AS.
HITS, MISSES, CONFLICTS, REFRESHED, COMMANDS_ISSUED, LAST_COMMAND, COUNTS = 0, 1, 2, 3, 4, 5, 6

# Columns of `trace: i8[command, column]`.
AT, KIND, IN_BANK, IN_ROW, FOR_REQUEST, BECAUSE, TRACE_COLUMNS = 0, 1, 2, 3, 4, 5, 6
