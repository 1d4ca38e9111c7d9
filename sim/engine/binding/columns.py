"""Names of the columns of the tables of the modulo scheduler (see `modulo`).

Plain integers: compiled loops take no enumerations.
"""

# `tasks: i8[task, column]`; a task may issue every `FASTEST` to `SLOWEST` times its `CYCLES`.
SLOTS, CYCLES, FASTEST, SLOWEST = range(4)
TASK_COLUMNS = 4

# `uses: i8[use, column]`: units held in the first USE_CYCLES cycles of each slot.
USE_TASK, RESOURCE, AMOUNT, USE_CYCLES = range(4)
USE_COLUMNS = 4

# `edges: i8[edge, column]`.
PRODUCER, CONSUMER, DISTANCE, LATENCY, PIECES, SHIFT = range(6)
EDGE_COLUMNS = 6

# `values: i8[row, column]`: a row is a value and one of its readers; rows of one value are neighbours.
VALUE, MAKER, READER, READ_DISTANCE, VALUE_PIECES, FROM_START, VALUE_LATENCY, WORDS, MEMORY = range(9)
VALUE_COLUMNS = 9

# `limits: i8[(resource capacity, memory room), index]`.
CAPACITY, ROOM = range(2)

# `control: i8[column]`: the question, then the answer. BUDGET: nodes. COMPACT: 1, places beside others are tried first.
# OPEN_WORDS: what a choice of offsets might hold whose stages were not proved to be the best.
INTERVAL, BUDGET, FIRST_ONLY, COMPACT, NODES, FOUND, EXHAUSTED = range(7)
BEST_WORDS, BEST_STAGES, LEAST_WORDS, LEAST_STAGES, OPEN_WORDS = range(7, 12)
CONTROL_COLUMNS = 12

# `out: i8[task, column]`.
START, STRIDE = range(2)

NO_PATH = -(1 << 40)
UNLIMITED = 1 << 60
