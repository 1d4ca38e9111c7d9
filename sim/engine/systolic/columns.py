"""Codes in the tables that drive the PE-level engine, and columns of those that it fills (see `records`).

Plain integers, because compiled loops cannot use enumerations.
"""

# Operators. SUBTRACT_EXPONENTIAL is exp(a - b); MOVE copies a and uses no operator slot.
MOVE, MACC, MULTIPLY, ADD, SUBTRACT, MAXIMUM, DIVIDE, EXPONENTIAL, SUBTRACT_EXPONENTIAL = range(9)
OPERATORS = 9

# Where an operand comes from; zero and above: the register of that number.
NORTH, WEST, NOTHING, ALONG = -1, -2, -3, -4  # ALONG: by the link along the 1D array

# What a PE sends south, or on along the 1D array, when a task has fired in it.
SEND_NOTHING, SEND_OPERAND, SEND_RESULT = range(3)

# Operands that must have arrived for a task to fire (bits).
NEEDS_NORTH, NEEDS_WEST, NEEDS_ALONG = 1, 2, 4

# In which rows of its tile a task fires: all; row = step; row = rows - 1 - step.
EVERY_ROW, ROW_OF_STEP, ROW_FROM_BOTTOM = range(3)

# Sides at which words enter; BELOW: straight into the 1D array; SIDEWAYS: into its first PE.
TOP, LEFT, BELOW, SIDEWAYS = range(4)

# Columns of `pes: i8[column, row, col]`; counts of operators start at COUNTS.
BUSY_UNTIL, LIVE, PEAK, COUNTS = range(4)
PE_COLUMNS = COUNTS + OPERATORS

# What can go wrong, the first rows of `log: i8[row, 5]` = (count, cycle, row, col, task) of the first one.
LINK_TAKEN, OPERATOR_TAKEN, OPERAND_MISSING, REGISTER_EARLY, REGISTER_LOST, WORD_EARLY = range(6)
HAZARDS = 6
# One row of `log` for each task follows.
FIRINGS, FIRST_FIRED, LAST_DONE, FIRST_LEFT, LAST_LEFT = range(5)
LOG_COLUMNS = 5

# A token's tag is task << STEP_BITS | step; -1 is an empty link.
STEP_BITS = 32
STEP_MASK = (1 << STEP_BITS) - 1
EMPTY = -1

NEVER = 1 << 60  # cycle stamp of a word or register that nothing has written
