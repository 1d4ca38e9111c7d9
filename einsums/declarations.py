"""Checks of what a cascade declares (ranks, partitions, inputs, sizes), each against those before it."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from einsums.domains import MEANING_BY_DOMAIN, MEANING_BY_RANKED_DOMAIN, whole_numbers
from einsums.names import near_or_all
from einsums.nouns import Boundary, Density, Domain, Partition, Rank, SizeRule, Tensor
from einsums.problems import CascadeProblem, listed

_RANK = re.compile(r"[A-Z][A-Z0-9_]*")
TENSOR_NAME = r"(?=.*[A-Z])[A-Za-z_][A-Za-z0-9_]*"
_TENSOR = re.compile(TENSOR_NAME)

# A check gets the value of a field and the fields before it; fields that were refused are absent.
Check = Callable[[Any, Mapping[str, Any]], Iterator[CascadeProblem]]


def rank_name_problems(names: Iterable[str]) -> Iterator[CascadeProblem]:
    """Ranks are upper case, so that their lower case can name the variable."""
    for name in names:
        if not _RANK.fullmatch(name):
            fixed = re.sub(r"[^A-Z0-9_]", "", name.upper())
            hint = f"; did you mean '{fixed}'?" if _RANK.fullmatch(fixed) else ""
            yield CascadeProblem(f"rank names are upper case, such as M or M1, found '{name}'{hint}")


def repeated(names: Iterable[str]) -> tuple[str, ...]:
    """Names that occur more than once."""
    every = tuple(names)
    return tuple(dict.fromkeys(name for name in every if every.count(name) > 1))


def _ranks(ranks: tuple[Rank, ...], _: Mapping[str, Any]) -> Iterator[CascadeProblem]:
    names = [rank.name for rank in ranks]
    yield from rank_name_problems(names)
    for name in repeated(names):
        yield CascadeProblem(f"rank {name} is declared twice")
    aliases = {rank.name: rank.same for rank in ranks if rank.same}
    for name, same in aliases.items():
        if same == name:
            yield CascadeProblem(f"rank {name} is declared as another name of itself")
        elif same not in names:
            yield CascadeProblem(f"rank {name} is another name of unknown rank '{same}'{near_or_all(same, names)}")
        elif same in aliases:
            first = aliases[same]
            yield CascadeProblem(
                f"rank {name} is another name of {same}, itself one of {first}; write {{same: {first}}}"
            )


def _partitions(partitions: tuple[Partition, ...], before: Mapping[str, Any]) -> Iterator[CascadeProblem]:
    ranks = [rank.name for rank in before.get("ranks", ())]
    for partition in partitions:
        if "ranks" in before and partition.rank not in ranks:
            yield CascadeProblem(f"partition of unknown rank '{partition.rank}'{near_or_all(partition.rank, ranks)}")
        if len(partition.parts) < 2:
            yield CascadeProblem(
                f"the partition of {partition.rank} needs at least two parts, found {listed(partition.parts)}"
            )
        yield from rank_name_problems(partition.parts)
    for rank in repeated(partition.rank for partition in partitions):
        yield CascadeProblem(f"rank {rank} is partitioned twice")
    parts = [part for partition in partitions for part in partition.parts]
    for part in repeated(parts):
        yield CascadeProblem(f"part {part} is declared twice")
    for part in dict.fromkeys(parts):
        if part in ranks:
            yield CascadeProblem(f"part {part} is also declared as a rank; a part is declared by its partition alone")


def _batch(batch: tuple[str, ...], before: Mapping[str, Any]) -> Iterator[CascadeProblem]:
    yield from rank_name_problems(batch)
    for name in repeated(batch):
        yield CascadeProblem(f"batch rank {name} is declared twice")
    aliases = {name for rank in before.get("ranks", ()) if rank.same for name in (rank.name, rank.same)}
    for name in batch:
        if name in aliases:
            yield CascadeProblem(f"batch rank {name} has two names; batch ranks are carried unwritten, under one")
    for partition in before.get("partitions", ()):
        for name in batch:
            if name == partition.rank or name in partition.parts:
                yield CascadeProblem(f"batch rank {name} is partitioned; batch ranks are carried whole")


def _inputs(inputs: tuple[Tensor, ...], before: Mapping[str, Any]) -> Iterator[CascadeProblem]:
    for name in repeated(tensor.name for tensor in inputs):
        yield CascadeProblem(f"input {name} is declared twice")
    for tensor in inputs:
        if not _TENSOR.fullmatch(tensor.name):
            yield CascadeProblem(f"tensor names have an upper-case letter, found '{tensor.name}'")
        for rank in repeated(tensor.ranks):
            yield CascadeProblem(f"input {tensor.name} has rank {rank} twice")
        if {"ranks", "partitions", "batch"} <= before.keys():
            yield from _input_rank_problems(tensor, before)


def _input_rank_problems(tensor: Tensor, before: Mapping[str, Any]) -> Iterator[CascadeProblem]:
    ranks = [rank.name for rank in before["ranks"]]
    root_by_part = {part: partition.rank for partition in before["partitions"] for part in partition.parts}
    for rank in tensor.ranks:
        if rank in before["batch"]:
            yield CascadeProblem(f"input {tensor.name} lists batch rank {rank}, which every tensor carries unwritten")
        elif root_by_part.get(rank) in tensor.ranks:
            yield CascadeProblem(f"input {tensor.name} has rank {root_by_part[rank]} and its part {rank}")
        elif rank not in ranks and rank not in root_by_part:
            known = [*ranks, *root_by_part]
            yield CascadeProblem(f"input {tensor.name} has unknown rank '{rank}'{near_or_all(rank, known)}")


def _unbatched(unbatched: tuple[str, ...], before: Mapping[str, Any]) -> Iterator[CascadeProblem]:
    names = [tensor.name for tensor in before.get("inputs", ())]
    for name in unbatched:
        if "inputs" in before and name not in names:
            yield CascadeProblem(f"unbatched lists '{name}', which is no input{near_or_all(name, names)}")


def _domains(domains: tuple[Domain, ...], before: Mapping[str, Any]) -> Iterator[CascadeProblem]:
    names = [tensor.name for tensor in before.get("inputs", ())]
    for item in domains:
        if "inputs" in before and item.tensor not in names:
            yield CascadeProblem(f"domain lists '{item.tensor}', which is no input{near_or_all(item.tensor, names)}")
        whole = whole_numbers(item.values)
        if whole is not None and "ranks" in before:
            ranks = [rank.name for rank in before["ranks"]]
            if whole.rank not in ranks:
                hint = near_or_all(whole.rank, ranks)
                yield CascadeProblem(f"the domain of {item.tensor} is over unknown rank '{whole.rank}'{hint}")
        elif whole is None and item.values not in MEANING_BY_DOMAIN:
            words = [*MEANING_BY_DOMAIN, *(f"{word}(M)" for word in MEANING_BY_RANKED_DOMAIN)]
            known = near_or_all(item.values, words) or f" (known: {listed(words)})"
            yield CascadeProblem(f"unknown domain '{item.values}' of {item.tensor}{known}")


def _boundaries(boundaries: tuple[Boundary, ...], _: Mapping[str, Any]) -> Iterator[CascadeProblem]:
    for name in repeated(item.tensor for item in boundaries):
        yield CascadeProblem(f"the boundary of {name} is given twice")


def _densities(densities: tuple[Density, ...], _: Mapping[str, Any]) -> Iterator[CascadeProblem]:
    for item in densities:
        if not 0 <= item.share <= 1:
            yield CascadeProblem(f"the density of {item.einsum} is a share from 0 to 1, found {item.share:g}")
    for name in repeated(item.einsum for item in densities):
        yield CascadeProblem(f"the density of {name} is given twice")


def _outputs(outputs: tuple[str, ...], _: Mapping[str, Any]) -> Iterator[CascadeProblem]:
    if not outputs:
        yield CascadeProblem("a cascade needs at least one output")
    for name in repeated(outputs):
        yield CascadeProblem(f"output {name} is listed twice")


def _sizes(sizes: tuple[SizeRule, ...], before: Mapping[str, Any]) -> Iterator[CascadeProblem]:
    if not {"ranks", "partitions", "batch"} <= before.keys():
        return
    inner = [part for partition in before["partitions"] for part in partition.inner]
    known = [*before["batch"], *(rank.name for rank in before["ranks"]), *inner]
    for rule in sizes:
        if rule.rank not in known:
            yield CascadeProblem(f"size of unknown rank '{rule.rank}'{near_or_all(rule.rank, known)}")
        if not rule.expression.strip():
            yield CascadeProblem(f"the size of {rule.rank} is empty; expected an expression such as seq_len")
    for name in repeated(rule.rank for rule in sizes):
        yield CascadeProblem(f"the size of {name} is given twice")


CHECK_BY_FIELD: dict[str, Check] = {
    "ranks": _ranks,
    "partitions": _partitions,
    "batch": _batch,
    "inputs": _inputs,
    "unbatched": _unbatched,
    "domains": _domains,
    "boundaries": _boundaries,
    "densities": _densities,
    "outputs": _outputs,
    "sizes": _sizes,
}
