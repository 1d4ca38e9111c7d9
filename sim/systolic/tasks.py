"""Common tasks of arrays: products in three dataflows, trains, reductions, broadcasts.

Every function gives one `Task` (see `sim/systolic/runner.py`). r x c is its tile on R rows, T its steps; with its
first word entering in cycle 0 and stride 1, PE (i, j) fires step s in cycle s + i + j, and what leaves
column j leaves it from PE (R-1, j).

| task | meets | leaves column j in cycles |
|---|---|---|
| product_in_place | left[s,i] and top[s,j] meet in (i, j): output-stationary | - |
| product_through | a sum goes down column j, taking left[s,i] * register: weight-stationary | R-1+j .. R+T-2+j |
| load | a train of r words down column j, the lowest row's first; all there after cycle r-1+j | - |
| drain | a train of r blanks; blank s picks up row s in cycle 2s+j | R-1+j .. R+r-2+j |
| reduce | one partial result goes down column j and meets every row | R-1+j |
| broadcast | one word goes down column j, every PE combines it with a register | - |
| reduce_along | one partial result goes along the 1D array, meeting every PE | C-1 |
"""

from dataclasses import replace

from sim.systolic.program import ALONG, NORTH, NOTHING, WEST, ZERO, ArrayTask, ArrayTile, Issue, Stream, WordPlace


def product_in_place(tile: ArrayTile, issue: Issue, left: WordPlace, top: WordPlace, register: int) -> ArrayTask:
    """Output-stationary: register = sum over steps of left[step, row] * top[step, col]."""
    return ArrayTask(
        issue,
        tile,
        "macc",
        WEST,
        NORTH,
        register,
        register,
        south="operand",
        east=True,
        is_fresh=True,
        streams=(Stream("left", left), Stream("top", top)),
    )


def product_through(
    tile: ArrayTile, issue: Issue, left: WordPlace, register: int, start: WordPlace = ZERO
) -> ArrayTask:
    """Weight- or input-stationary: start[step, col] + sum over rows of left[step, row] * register leaves the column."""
    streams = (Stream("left", left), Stream("top", start))
    return ArrayTask(issue, tile, "macc", WEST, register, NORTH, south="result", east=True, streams=streams)


def load(tile: ArrayTile, issue: Issue, words: WordPlace, register: int) -> ArrayTask:
    """register of PE (i, j) = words[i, j]; the tile's steps are its rows. No operator slot is used."""
    rows = tile.rows
    upward = WordPlace(words.base + (rows - 1) * words.step_words, -words.step_words, words.lane_words)
    return ArrayTask(
        issue,
        ArrayTile(rows, tile.cols, rows),
        "move",
        NORTH,
        to=register,
        at="step-from-bottom",
        streams=(Stream("top", upward),),
    )


def drain(tile: ArrayTile, issue: Issue, register: int, out: WordPlace | None = None) -> ArrayTask:
    """out[i, j] = register of PE (i, j), which is given up. No operator slot is used."""
    rows = tile.rows
    return ArrayTask(
        issue,
        ArrayTile(rows, tile.cols, rows),
        "move",
        register,
        south="result",
        at="step",
        uses_up="a",
        streams=(Stream("top", ZERO),),
        out=out,
    )


def reduce_down(tile: ArrayTile, issue: Issue, operator: str, register: int, start: WordPlace = ZERO) -> ArrayTask:
    """start[0, col] combined with the register of every row, from the top down, leaves the column."""
    return ArrayTask(issue, tile, operator, NORTH, register, south="result", streams=(Stream("top", start),))


def broadcast_down(
    tile: ArrayTile, issue: Issue, operator: str, words: WordPlace, registers: tuple[int, int]
) -> ArrayTask:
    """registers[1] = operator(registers[0], words[0, col]) in every row."""
    source, to = registers
    return ArrayTask(issue, tile, operator, source, NORTH, to=to, south="operand", streams=(Stream("top", words),))


def take_below(name: str, tile: ArrayTile, operator: str, register: int = NOTHING, to: int | None = None) -> ArrayTask:
    """In the 1D array, on words from above: to, or the word that leaves = operator(arrived, register)."""
    south = "result" if to is None else "nothing"
    return ArrayTask(Issue(name, 0), tile, operator, NORTH, register, to=to, south=south)


def issue_below(
    tile: ArrayTile, issue: Issue, operator: str, operands: tuple[int, int], words: WordPlace = ZERO
) -> ArrayTask:
    """In the 1D array, one operation per step on `operands`, where WEST is the word that enters lane by lane."""
    a, b = operands
    return ArrayTask(issue, tile, operator, a, b, south="result", streams=(Stream("below", words),))


def with_broadcast(task: ArrayTask, words: WordPlace) -> ArrayTask:
    """The same task of the 1D array; its operand b is words[step, 0], passed on from PE to PE."""
    return replace(task, streams=(*task.streams, Stream("sideways", words)), passes="operand", b=ALONG)


def reduce_along(tile: ArrayTile, issue: Issue, operator: str, register: int, start: WordPlace = ZERO) -> ArrayTask:
    """start[step, 0] combined with the register of every PE of the 1D array leaves its last one."""
    stream = Stream("sideways", start)
    return ArrayTask(issue, tile, operator, ALONG, register, streams=(stream,), passes="result")


def reduce_words_along(
    tile: ArrayTile, issue: Issue, operator: str, words: WordPlace, start: WordPlace = ZERO
) -> ArrayTask:
    """start[step, 0] combined with words[step, lane], which enter the 1D array lane by lane, leaves its last PE."""
    streams = (Stream("below", words), Stream("sideways", start))
    return ArrayTask(issue, tile, operator, ALONG, WEST, streams=streams, passes="result")


def to_register(task: ArrayTask, register: int) -> ArrayTask:
    """The same task, with its result kept in a register instead of sent on."""
    return replace(task, to=register, south="nothing", out=None)


def into(task: ArrayTask, below: ArrayTask) -> ArrayTask:
    """The same task, with its output taken by a task of the 1D array."""
    return replace(task, then=below.issue.name)


def to_memory(task: ArrayTask, out: WordPlace) -> ArrayTask:
    """The same task, with its output written to memory."""
    return replace(task, out=out)


def giving_up(task: ArrayTask, operands: str) -> ArrayTask:
    """The same task, the registers of these operands (of "abc") free after its last step."""
    return replace(task, frees=operands)


def using_up(task: ArrayTask, operands: str) -> ArrayTask:
    """The same task, the registers of these operands (of "abc") free after every step."""
    return replace(task, uses_up=operands)


def also_to_register(task: ArrayTask, register: int) -> ArrayTask:
    """The same task, with its result both sent on and kept in a register."""
    return replace(task, to=register, south="result")
