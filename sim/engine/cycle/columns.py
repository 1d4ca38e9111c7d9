"""Names of the columns, states and causes of the tile-level engine (see `loop`).

Plain integers, because compiled loops cannot use enumerations. The first part defines the positions of scalars and
tables in the single array of a run (`tables`), the second their columns.
"""

# Scalars at the beginning of the array: sizes of a program, then flags of a run.
(
    ARRAYS,
    OPS,
    KEEPS,
    USERS,
    SERVERS,
    DEPTH,
    RECORDS,
    MAX_LAG,
    BARRIER,
    WINDOW,  # records that are kept
    SKEW,  # steps by which arrays without barriers may drift apart
    PORTED,
    COUNTED,  # counters
    PENDING_SLOTS,
    HISTORY_SLOTS,
    DESCRIPTION,  # numbers of a remembered state
    LOG_ROWS,
    LOGGED,
    LOG_FROM,
    LOG_TO,
    BOUNDARY,  # 1: array 0 has begun a step
    TURNS,  # 1: an array has begun another repetition of its group, or another fold
    OVER,  # 1: nothing more happens
    QUIET,  # moments since an array last went on, at which only ports and transfers changed
    FAILURE,
    GENERATED,  # records that are known
    SKIPPED_PERIODS,
    VARIANTS,  # rows of AMOUNTS of one combination of staying tiles
    NESTS,
    SUMS,  # tiles whose sums may come back
    PER_PHASE,  # 1: nothing is moved for an item while another one runs
    DEALT,  # outermost levels whose iterations are dealt to cores; 0 on one core
    CORE,  # number of the core that runs this
    CORES,
    CORE_TURNS,  # dealt iterations of this core
) = range(35)
NO_FAILURE, DEADLOCK, OVERFLOW = range(3)

# Tables, by their place in the directory (first number, strides along up to three axes).
TABLES = (
    # program
    "TRIPS",  # [variant, loop], iterations of a loop over a tile of these extents
    "CHILD",  # [variant, loop, (full, last)], variant of the tiles inside; [variant, level, item] where items are
    "BEFORE",  # [variant, level, item], records of the items before; -1 in the first place: the level is a loop
    "RECORDS_BELOW",  # [variant, depth], records inside a tile at a depth
    "OP_TABLE",  # [op, column]
    "AMOUNTS",  # [variant + VARIANTS x staying tiles as bits, op, column]
    "ROW_ACCESSES",  # [as above, op, stage, ported memory], at the start of each slot
    "STAYING",  # [staying tile, (how it moves, loops of its op's group)]
    "INNER",  # [variant, staying tile, group loop, (what it does to the tile, iterations)]
    "WAYS",  # [way, column], what passes between the array of an op and memories
    "WAY_WORDS",  # [variant, way, (moved, of which first visits)], words of a repetition
    "GUARD",  # [op, loop], 1: runs only in the last iteration
    "HOME",  # [keep, then op, level], the item in which it is; -1: in all, or the level is a loop
    "RETURNS",  # [keep, loop], 1: sums that were incomplete come back in all but its first iteration
    "DEPS",  # [dep, column]
    "USES",  # [use, column]
    "STAGES",  # [row of AMOUNTS, use, column], how an op goes through a tile that comes in pieces
    "KEEP_TABLE",  # [keep, column]
    "FIXED",  # [variant, keep, then staying tile, loop], HOLDS: the tile stays, or is absent, while this loop advances
    "MOVES",  # [variant, keep, column], cycles and words of a tile
    "LANES",  # [array, position], group, -1 ends
    "GROUPS",  # [group, (first op, last op)]
    "PORTS",  # [ported memory]
    "FIRST_WORD",  # [keep, then op, (in, out)], cycles to the first word of a transfer that finds its server idle
    "ITERATIONS",  # [variant, dealt level], iterations dealt inside a tile at that depth
    "DEPENDS",  # [keep, then staying tile, dealt level], what another iteration of the level does to the tile
    "CHANGES",  # [variant, keep, then staying tile], 1: a dealt iteration on such a tile has several of them
    "PLACING",  # [keep, then staying tile], whose tiles they are
    "COMMON_TILES",  # [variant, dealt level, keep], common tiles that begin inside
    # state; the counters first
    "COUNTERS",  # [counter]: NOW, EVENTS, FRONT, then the tables down to MOVED
    "STEPS",  # [array]
    "PER_OP",  # [op, counter]
    "PER_KEEP",  # [keep, counter]
    "RELEASED",  # [user], tiles used up
    "STALLS",  # [array, cause], cycles
    "SERVED",  # [server, (fill, drain, read, write)], cycles
    "MOVED",  # [keep, then way, (in, out)], words, those that do not fit their memory included
    "BASE",  # [counter], the counter it is compared with when states are compared; NO_BASE: never, WITH_SITE: as a site
    "ARRAY_STATE",  # [array, column]
    "SERVER_STATE",  # [server, column]
    "RECORD_INDEX",  # [slot, loop; then the turn and its first record], of the records in the window
    "RECORD_VARIANT",  # [slot, depth]
    "RECORD_ORDINAL",  # [slot, keep]
    "SITE_INDEX",  # [keep, then op, as above], where the next fill or streamed operand belongs
    "SITE_VARIANT",  # [keep, then op, depth]
    "SITE_REPEAT",  # [keep, then op]
    "PENDING",  # [op, slot, (time, records that it completes)], results on their way
    "QUEUE",  # [op, (head, count)], of these
    "WRITES",  # [op, slot, (cycles, record, records that it completes, EARLY, words)], by repetition
    "ASKED",  # [keep, slot, (cycles, record, time from which it may leave, words, tail)], by number of the tile
    "PARTIAL",  # [keep, then op, column], transfers that had to make way
    "PIECES",  # [keep, (begun, arrived, of)], of the tile that is being filled
    "DEMAND",  # [ported memory], scratch
    "HISTORY",  # [level, slot, number], earlier states; a level: a loop, an array's repetitions, its folds; moments;
    # an array's rounds of repetitions
    "REMEMBERED",  # [level, column], what is kept of them
    "MARKS",  # [level, slot], a number that equal states share
    "LOG",  # [row, column]
)
DIRECTORY = 35  # its first number
DIRECTORY_COLUMNS = 4
HEADER = DIRECTORY + DIRECTORY_COLUMNS * len(TABLES)
(
    TRIPS,
    CHILD,
    BEFORE,
    RECORDS_BELOW,
    OP_TABLE,
    AMOUNTS,
    ROW_ACCESSES,
    STAYING,
    INNER,
    WAYS,
    WAY_WORDS,
    GUARD,
    HOME,
    RETURNS,
    DEPS,
    USES,
    STAGES,
    KEEP_TABLE,
    FIXED,
    MOVES,
    LANES,
    GROUPS,
    PORTS,
    FIRST_WORD,
    ITERATIONS,
    DEPENDS,
    CHANGES,
    PLACING,
    COMMON_TILES,
    COUNTERS,
    STEPS,
    PER_OP,
    PER_KEEP,
    RELEASED,
    STALLS,
    SERVED,
    MOVED,
    BASE,
    ARRAY_STATE,
    SERVER_STATE,
    RECORD_INDEX,
    RECORD_VARIANT,
    RECORD_ORDINAL,
    SITE_INDEX,
    SITE_VARIANT,
    SITE_REPEAT,
    PENDING,
    QUEUE,
    WRITES,
    ASKED,
    PARTIAL,
    PIECES,
    DEMAND,
    HISTORY,
    REMEMBERED,
    MARKS,
    LOG,
) = range(DIRECTORY, HEADER, DIRECTORY_COLUMNS)
NOW, EVENTS, FRONT = range(HEADER, HEADER + 3)  # FRONT: the step of array 0
SINGLE = 3

# Why an array does not issue, the columns of STALLS. LINK: its own links carry the operands or results of its points.
OPERAND, PORT, LINK, OFF_CHIP, DEPENDENCY, DRAIN, BUFFER, IDLE = range(8)
CAUSES = ("operand", "port", "link", "dram", "dependency", "drain", "buffer", "idle")

# Columns of OP_TABLE; an op is an Einsum at its place in the schedule.
(
    ARRAY,
    PHASE,
    LAG,  # steps behind the newest tile
    INNER_LAG,  # inner repetitions behind the first op of its group
    DEPTH_OF,  # loops of the program that it shares; its amounts are those of the tile at that depth
    KIND,
    LATENCY,  # cycles from its last issue slot until others may use its result
    READ_SERVER,  # memory that streams its operands, -1: none
    WRITE_SERVER,
    WANTED,  # 1: another op waits for its result
    WANTED_INSIDE,  # 1: an op of its own group waits for each repetition
    DEP_FIRST,  # its rows of `deps`
    DEP_LAST,
    USE_FIRST,  # its rows of `uses`
    USE_LAST,
    SHARES,  # whose first slot is that of its chain
    STAY_FIRST,  # its rows of `STAYING`
    STAY_LAST,
    WAY_FIRST,  # its rows of `WAYS`
    WAY_LAST,
) = range(20)
OP_COLUMNS = 20
ALONE, IN_RECORD, NEXT_RECORD = range(3)  # of SHARES: none, the next repetition in its record, the next repetition
RUN, WAIT = range(2)  # kinds: issues points; waits for another op's result (an op of the same number of deps)

# Columns of AMOUNTS: one repetition of an op on a tile of these extents.
# STRETCH: cycles of the whole repetition for which a slot waits because its own accesses outnumber the ports.
# CHAIN: 1: the PEs' folded words are reduced over them in one more slot, which may be shared (SHARES).
# EARLY: cycles by which its result is there earlier than LATENCY says, because its tile is smaller.
(
    REPEATS,
    FOLDS,
    POINTS,
    CYCLES,
    LINK_IN,
    LINK_OUT,
    READ_CYCLES,
    WRITE_CYCLES,
    STRETCH,
    CHAIN,
    EARLY,
    READ_WORDS,
    WRITE_WORDS,
) = range(13)
AMOUNT_COLUMNS = 13
IN_STAGE, POINT_STAGE, OUT_STAGE, STREAM_STAGE = range(4)  # stages of a fold; the last: wait for streamed operands

# Columns of STAYING. A tile stays unless it begins (COMES) or ends (LEAVES) in a repetition; sums come back
# (COMES_BACK) where their tile begins and has been there before.
HOW, GROUP_LOOPS = range(2)
COMES, LEAVES, COMES_BACK = range(3)
BRINGS, HOLDS, REVISITS = range(3)  # what a loop does to a tile: another one, the same, or one that was there before
# Columns of WAYS. STAY_BIT, BACK_BIT: the bit of its tile among those of the op that may stay, and that of its sums
# that may come back; -1: they never do.
OUTWARD, STAY_BIT, BACK_BIT = range(3)

# Columns of DEPS.
PRODUCER, DEP_KIND, LOOP, IN_PLACE = range(4)  # IN_PLACE: read where it was made, before it has left
SAME, CARRIED, INSIDE, ACROSS = range(4)
# ACROSS: made by another item; LOOP is then the level that parts the two, IN_PLACE 1 where the maker comes first.

# Columns of USES: an op touching a kept tile.
KEEP, NEEDS_FILL, NEEDS_ROOM, RELEASES = range(4)
# Columns of STAGES: folds for which a stage lasts (0: it needs the whole tile), coordinates that each stage adds, and
# coordinates of a piece.
STAGE_FOLDS, STAGE_STEP, PIECE_STEP = range(3)

# Columns of KEEP_TABLE.
(
    FILL_SERVER,
    DRAIN_SERVER,
    KEEP_DEPTH,
    COPIES,
    FILLS,
    DRAINS,
    GROUP,
    FIRST_USER,
    LAST_USER,
    FILL_CAUSE,
    WRITER,
    OLD_LOOP,
    PORT_A,
    PORT_B,
    SOURCE,
    SOURCE_LEVEL,  # level that parts the tile from the op that makes it; -1: none does
    SOURCE_FIRST,  # 1: that op's item comes first
    WAITS_AT,  # level whose items before must be over when the tile is filled; -1: it is filled ahead
    PARTIAL_SUMS,  # 1: it comes back incomplete
    IN_TURN,  # 1: it is brought after tiles of other items that are needed before it
    OUTER,  # the keep further out that brings what fills it; -1: none
) = range(21)
KEEP_COLUMNS = 21
# Columns of MOVES. AGAIN: of sums that come back. TAIL: of the cycles, the last ones in which a memory of the core goes
# on and the one that it shares with others is free for them.
FILL_CYCLES, DRAIN_CYCLES, AGAIN_CYCLES, FILL_WORDS, DRAIN_WORDS, AGAIN_WORDS = range(6)
FILL_TAIL, DRAIN_TAIL, AGAIN_TAIL, FILL_PIECES = range(6, 10)
MOVE_COLUMNS = 10

# Counters of a run that only grow, by op and by keep.
(
    ISSUED,  # records whose issue is over
    AVAILABLE,  # records whose result others may use
    STARTED,  # repetitions
    ENDED,
    ENDED_AVAILABLE,
    READS_BEGUN,  # repetitions whose streamed operands are on their way
    READS_DONE,
    READ_SITE,  # record of the next streamed operand
    WRITES_BEGUN,
    WRITES_SENT,
    WRITES_DONE,
    WRITTEN,  # records whose streamed results have all been written
    BUSY,  # cycles in which the array computes
) = range(13)
# OUTER_TILE: the tile further out from which the next one is filled.
ORDINAL, FILLS_BEGUN, FILLED, FILL_SITE, DRAINS_ASKED, DRAINS_BEGUN, DRAINED, OUTER_TILE = range(8)
OP_COUNTERS, KEEP_COUNTERS = 13, 8

# Columns of ARRAY_STATE: the state of an array other than counters. VARIANT: its row of AMOUNTS.
# TURNED: what it has begun.
(
    POSITION,
    REPEAT,
    MEMBER,
    OP,
    RECORD,
    STATE,
    STAGE,
    FOLD,
    LEFT,
    GRANTED,
    CAUSE,
    VARIANT,
    SINCE,
    LAST_ROW,
    TURNED,
) = range(15)
ARRAY_COLUMNS = 15
WAITING, RUNNING, FINISHED = range(3)
NO_OP = -1  # of OP: it has nothing to do in this step, and is too far ahead to look for its next op
ANOTHER_REPEAT, ANOTHER_FOLD, ANOTHER_ROUND = range(1, 4)  # of TURNED, 0: none
MANY = 8  # repetitions or folds among which it is worth while to look for equal states
LONG_QUIET = 16  # moments after which it is worth while to look at each of them

# Columns of SERVER_STATE: the transfer under way.
# SERVES: 1 if it serves any transfer; FREE_SINCE: the cycle after the last one; TAIL: of TIME_LEFT, what is left when a
# memory that cores share is free again.
JOB, WHICH, TIME_LEFT, MOVING, JOB_RECORD, SERVES, JOB_SINCE, FREE_SINCE, TAIL = range(9)
SERVER_COLUMNS = 9
IN_LEFT, IN_RECORD, IN_TAIL, OUT_LEFT, OUT_RECORD, OUT_TAIL = range(6)  # of PARTIAL
PARTIAL_COLUMNS = 6
PIECES_BEGUN, PIECES_ARRIVED, PIECES_OF = range(3)  # of PIECES
NO_JOB, FILL_JOB, DRAIN_JOB, READ_JOB, WRITE_JOB = range(5)

# Columns of REMEMBERED. KEPT: states in the ring; NEXT: its next slot; SEEN: states since the first; PLACE, TIME: where
# and when an array's repetitions or folds are.
KEPT, NEXT, SEEN, PLACE, TIME = range(5)
REMEMBERED_COLUMNS = 5
# What a remembered state has of every array, then of every site, between its counters and the rest: numbers in which
# states may differ that only count down, or up from one repetition to the next.
# COMING, GOING: cycles left of its transfers; HEAD_RECORD, HEAD_TIME: of the first one that waits to leave;
# RESULT_TIME: of the first result on its way.
LEFT_THEN, REPEAT_THEN, FOLD_THEN = range(3)
COMING, GOING, READ_REPEAT, HEAD_RECORD, HEAD_TIME, RESULT_TIME = range(6)
ARRAY_REMAINS, SITE_REMAINS = 3, 6

NEVER = 1 << 60
NO_BASE, WITH_SITE = -1, -2  # of BASE

# Of PLACING. OWN: a core has another tile where its iterations need another; ANEW: in each of its iterations; COMMON:
# in a memory that cores share, where one stays for a whole iteration and may serve several.
OWN, ANEW, COMMON = range(3)
TURN, TURN_FIRST = range(2)  # of an index row, after its levels
INDEX_MORE = 2

# Slots of queues, numbered by what waits in them.
ASKED_SLOTS, ASKED_COLUMNS = 64, 5
WRITE_SLOTS = 8

# Columns of LOG, and the kinds of its rows: an op on an array, a stall, then a transfer by its job.
LOG_KIND, TRACK, WHAT, LOG_RECORD, START, END = range(6)
LOG_COLUMNS = 6
OP_ROW, STALL_ROW, TRANSFER_ROW = range(3)
