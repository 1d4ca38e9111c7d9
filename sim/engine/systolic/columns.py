"""Names of the columns and codes of the tables that drive the PE-level engine (see `pe_array`).

Plain integers: compiled loops take no enumerations.
"""

# Operators. SUBTRACT_EXPONENTIAL is exp(a - b); MOVE copies a and uses no operator slot.
MOVE, MACC, MULTIPLY, ADD, SUBTRACT, MAXIMUM, DIVIDE, EXPONENTIAL, SUBTRACT_EXPONENTIAL = range(9)
OPERATORS = 9

# Where an operand comes from; zero and above: the register of that number.
NORTH, WEST, NOTHING, ALONG = -1, -2, -3, -4  # ALONG: by the link along the 1D array

# What a PE sends south, or on along the 1D array, when a task has fired in it.
SEND_NOTHING, SEND_OPERAND, SEND_RESULT = range(3)

# Which operands must be there for a task to fire (bits).
NEEDS_NORTH, NEEDS_WEST, NEEDS_ALONG = 1, 2, 4

# In which rows of its tile a task fires: all; row = step; row = rows - 1 - step.
EVERY_ROW, ROW_OF_STEP, ROW_FROM_BOTTOM = range(3)

# Columns of `tasks: i8[task, column]`.
(
    OPERATOR,
    A,
    B,
    C,
    TO,  # register of the result, -1: none
    SOUTH,
    EAST,  # 1: the operand from the west moves on
    NEEDS,
    AT,
    ROWS,
    COLS,
    STEPS,
    SLOTS,  # cycles of the PE's operator
    FREES,  # registers given up at the last step
    USES_UP,  # registers given up at every step
    FRESH,  # 1: operand c counts as zero at step 0
    THEN,  # task of the 1D array that takes what leaves the bottom row, -1: none
    OUT_BASE,  # first word of what leaves, -1: nothing is kept
    OUT_STEP,  # words from step to step
    OUT_LANE,  # words from column to column
    PASSES,  # what goes on along the 1D array: one of SEND_*
) = range(21)
TASK_COLUMNS = 21

# Columns of `streams: i8[stream, column]`; a row feeds one side, its rows sorted by START.
(
    TASK,
    SIDE,
    LINK,
    START,  # cycle in which lane 0 gets step 0
    STRIDE,  # cycles from step to step
    SKEW,  # cycles from lane to lane
    COUNT,  # steps
    LANES,
    BASE,
    STEP_WORDS,
    LANE_WORDS,
) = range(11)
STREAM_COLUMNS = 11
TOP, LEFT, BELOW, SIDEWAYS = range(4)  # sides; BELOW: straight into the 1D array; SIDEWAYS: into its first PE

# Columns of `pes: i8[column, row, col]`; counts of operators start at COUNTS.
BUSY_UNTIL, LIVE, PEAK, COUNTS = range(4)
PE_COLUMNS = COUNTS + OPERATORS

# What can go wrong, the first rows of `log: i8[row, 5]` = (count, cycle, row, col, task) of the first one.
LINK_TAKEN, OPERATOR_TAKEN, OPERAND_MISSING, REGISTER_EARLY, REGISTER_LOST, WORD_EARLY = range(6)
HAZARDS = 6
# One row of `log` for each task follows.
FIRINGS, FIRST_FIRED, LAST_DONE, FIRST_LEFT, LAST_LEFT = range(5)
LOG_COLUMNS = 5

# Where and when a PE is looked at: `now: i8[4]` (the task of the token at hand included).
CYCLE, ROW, COL, TOKEN = range(4)

# A token's tag is task << STEP_BITS | step; -1 is an empty link.
STEP_BITS = 32
STEP_MASK = (1 << STEP_BITS) - 1
EMPTY = -1

NEVER = 1 << 60  # cycle stamp of a word or register that nothing has written
