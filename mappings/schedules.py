"""Can the schedule be? Each Einsum runs once, on its own array, and nothing runs beside what it waits for.

Arrays run the lanes of a phase at once. An Einsum that reads what another lane of its phase makes, or what a later
phase makes, works on a tile that was made before, so there must be tiles: a loop that maker and reader share over a
rank of what is handed over, or a home of several copies, of which one is written while another is read. A batch rank
cuts nothing into tiles, since every tensor has it: each of its coordinates is a problem by itself.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from einsums.types import Cascade
from mappings.lifetime import home_of
from mappings.naming import tensor_variables
from mappings.stages import iter_stage_findings
from mappings.stepping import StepPlace, places_of, reached_from, same_tile_edges
from mappings.tree import ResolvedTree
from mappings.turns import TurnPair, iter_turn_pairs
from mappings.types import Mapping


class ScheduleFinding(NamedTuple):
    """Where in the mapping a schedule is wrong, and a sentence about it."""

    path: str
    message: str


def iter_schedule_findings(mapping: Mapping, tree: ResolvedTree, cascade: Cascade) -> Iterator[ScheduleFinding]:
    """Einsums in no phase, in several, on another array, beside or before what they read; turns that overlap."""
    schedule = mapping.schedule
    if schedule.kind == "sequential":
        return
    if schedule.kind == "pipelined":
        found = [ScheduleFinding(*finding) for finding in iter_stage_findings(schedule, tree, cascade)]
    else:
        found = list(_phase_findings(mapping, tree))
    yield from found
    if not found:
        places = places_of(schedule, tree, cascade)
        if schedule.kind == "phases":
            yield from _overlap_findings(places, tree, cascade)
        yield from _turn_findings(places, tree, cascade)


def _phase_findings(mapping: Mapping, tree: ResolvedTree) -> Iterator[ScheduleFinding]:
    bound = {leaf.einsum: leaf.array for leaf in tree.leaves}
    placed: list[str] = []
    for i, phase in enumerate(mapping.schedule.phases):
        for lane in phase.lanes:
            for k, einsum in enumerate(lane.einsums):
                placed.append(einsum)
                if bound.get(einsum, lane.array) != lane.array:
                    message = f"Einsum '{einsum}' runs on '{lane.array}' here but is bound to '{bound[einsum]}'"
                    yield ScheduleFinding(f"schedule.phases[{i}].{lane.array}[{k}]", message)
    for einsum in bound:
        if placed.count(einsum) != 1:
            message = f"Einsum '{einsum}' is in {placed.count(einsum) or 'no'} phases, expected one"
            yield ScheduleFinding("schedule.phases", message)


# --- makers and readers at once -----------------------------------------------------------------------------
def _overlap_findings(places: dict[str, StepPlace], tree: ResolvedTree, cascade: Cascade) -> Iterator[ScheduleFinding]:
    for maker, reader in same_tile_edges(cascade, places):
        made, read = places[maker], places[reader]
        if made.precedes(read) or _has_tiles(tree, cascade, maker, reader):
            continue
        where = f"schedule.phases[{read.phase}].{read.array}[{read.position}]"
        if made.phase == read.phase and made.array != read.array:
            when = f"which '{made.array}' makes in the same phase"
        else:
            when = "which is made later in the schedule"
        ranks = sorted(tensor_variables(cascade, maker) - _batch(cascade))
        over = " or ".join(f"'{name}'" for name in ranks)
        shared = f"a loop over {over} that both share" if ranks else "a loop that both share"
        message = f"Einsum '{reader}' reads '{maker}', {when}: without {shared} there is no earlier tile to work on"
        yield ScheduleFinding(where, message)


def _has_tiles(tree: ResolvedTree, cascade: Cascade, maker: str, reader: str) -> bool:
    """Whether a reader finds a tile to work on while the next one is made."""
    made, read = tree.leaf_of(maker), tree.leaf_of(reader)
    if made is None or read is None:
        return True  # refused for that
    home = home_of(cascade, tree, maker)
    if home is not None and home.copies > 1:
        return True
    cutting = tensor_variables(cascade, maker) - _batch(cascade)
    return any(loop.variable in cutting for loop in tree.shared_loops(made, read))


def _batch(cascade: Cascade) -> set[str]:
    return {rank.lower() for rank in cascade.batch}


# --- turns --------------------------------------------------------------------------------------------------
def _turn_findings(places: dict[str, StepPlace], tree: ResolvedTree, cascade: Cascade) -> Iterator[ScheduleFinding]:
    """Tensors in one place that the schedule needs at once for one tile, although the tree has one after the other."""
    edges = list(same_tile_edges(cascade, places))
    after = {name: reached_from(name, edges) for name in places}

    def is_over(one: str, other: str) -> bool:
        """Whether an Einsum is through with a tile when another begins with it."""
        first, second = places[one], places[other]
        if first.lag != second.lag:
            return first.lag < second.lag
        return first.precedes(second) or other in after[one]

    for pair in iter_turn_pairs(cascade, tree):
        clash = _clash(pair, is_over)
        if clash is not None:
            old, new = clash
            takes = f"'{pair.second.tensor}' takes the place of '{pair.first.tensor}' in '{pair.first.memory}'"
            runs = f"Einsum '{new}' on '{places[new].array}'"
            needs = f"Einsum '{old}' on '{places[old].array}', which needs '{pair.first.tensor}'"
            yield ScheduleFinding(pair.second.path, f"{takes}, but the schedule runs {runs} beside {needs}")


def _clash(pair: TurnPair, is_over: Callable[[str, str], bool]) -> tuple[str, str] | None:
    """Users of the first and of the second tensor of which the schedule lets neither wait for the other."""
    before, after = ([leaf.einsum for leaf in pair.touching(keep)] for keep in (pair.first, pair.second))
    apart = [(old, new) for old in before for new in after if old != new]
    forward = next(((old, new) for old, new in apart if not is_over(old, new)), None)
    backward = next(((old, new) for old, new in apart if not is_over(new, old)), None)
    return forward if backward is not None else None
