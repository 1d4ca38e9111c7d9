"""Random cascades over ranks M (perhaps in parts), P and L: reductions, broadcasts, tiles and iterations at random.

With names and conditions: M (perhaps in parts) is another name of P, tensors over one are read at the other, and Einsums
over both choose among their points.
"""

import random

from pydantic import ValidationError

from einsums import Cascade

_INPUTS = {"A": ("M",), "B": ("M",), "C": ("M", "P"), "D": ("P",), "G": ("L", "M")}


def random_cascade(seed: int) -> Cascade:
    """A valid cascade; equal seeds give equal cascades."""
    generator = random.Random(seed)
    while True:
        try:
            return _Draft(generator).cascade(f"random-{seed}")
        except ValidationError:
            continue  # a cycle through a whole rank, for instance


class _Draft:
    def __init__(self, generator: random.Random) -> None:
        self.random = generator
        self.parts = generator.choice(((), ("m1", "m0"), ("m1", "m0"), ("m2", "m1", "m0")))
        self.leaves = {"M": self.parts or ("m",), "P": ("p",), "L": ("l",)}
        names = generator.sample(sorted(_INPUTS), generator.randint(1, 3))
        self.variables = {name: tuple(v for r in _INPUTS[name] for v in self.leaves[r]) for name in names}
        self.running: dict[str, str] = {}  # iterative tensor: its variable
        self.open: list[str] = []  # running tensors not yet written
        self.lines: list[str] = []
        self.read: set[str] = set()

    def cascade(self, name: str) -> Cascade:
        for number in range(self.random.randint(3, 8)):
            kind = self.random.random()
            if kind < 0.2:
                self._start(f"R{number}")
            elif kind < 0.35 and self.open:
                self._close()
            else:
                self._plain(f"T{number}")
        while self.open:
            self._close()
        if not self.lines:
            self._plain("T")
        return Cascade.model_validate(self._document(name))

    def _document(self, name: str) -> dict:
        text = "\n".join(self.lines)
        inputs = {n: list(_INPUTS[n]) for n in self.variables if n in _INPUTS and n in self.read}
        ranks = {r: "" for r, leaves in self.leaves.items() if any(r in own for own in inputs.values())}
        written = [line.split("[")[0] for line in self.lines]
        document = {"name": name, "ranks": ranks, "inputs": inputs, "einsums": text}
        document["outputs"] = [t for t in written if t not in self.read] or written[-1:]
        document["init"] = {t: 0 for t in self.running if t in written}
        if self.parts and "M" in ranks:
            document["partition"] = {"M": [part.upper() for part in self.parts]}
        return document

    # --- Einsums ------------------------------------------------------------------------------------------
    def _start(self, name: str) -> None:
        """A running tensor: it may be read at its old value before it is written."""
        base = self.random.choice(list(self.variables.values()))
        if base:
            self.running[name] = self.random.choice(base)
            self.variables[name] = tuple(v for v in base if v == self.running[name] or self.random.random() < 0.4)
            self.open.append(name)

    def _close(self) -> None:
        name = self.open.pop(0)
        want = set(self.variables[name])
        fitting = [t for t, own in self.variables.items() if t != name and self.running[name] in own]
        terms = [self._access(name, "old")]
        for tensor in self.random.sample(fitting, min(len(fitting), self.random.randint(1, 2))):
            if set(self.variables[tensor]) <= want:
                terms.append(self._access(tensor))
        self.lines.append(f"{self._left(name)} = {' + '.join(terms)}")

    def _plain(self, name: str) -> None:
        recent = list(self.variables)[-4:]
        pool = recent if self.random.random() < 0.7 else list(self.variables)
        loads = [self._access(t) for t in self.random.sample(pool, min(len(pool), self.random.randint(1, 3)))]
        present = {v for load in loads for v in self._names(load)}
        kept = tuple(v for v in (*self.leaves["M"], "p", "l") if v in present and self.random.random() < 0.7)
        self.variables[name] = kept
        reduced = [v for v in (*self.leaves["M"], "p", "l") if v in present and v not in kept]
        suffix = f" :: max({','.join(reduced)})" if reduced and self.random.random() < 0.5 else ""
        self.lines.append(f"{name}[{','.join(kept)}] = {' * '.join(loads)}{suffix}")

    # --- accesses -----------------------------------------------------------------------------------------
    def _names(self, access: str) -> set[str]:
        inside = access.split("[")[1].rstrip("]").replace("+", ",").replace("*", ",").split(",")
        return {name for name in inside if name in {*self.leaves["M"], "p", "l"}}

    def _access(self, tensor: str, how: str = "") -> str:
        self.read.add(tensor)
        if tensor in _INPUTS:
            return f"{tensor}[{','.join(self._whole(rank) for rank in _INPUTS[tensor])}]"
        if tensor not in self.running:
            return f"{tensor}[{','.join(self.variables[tensor])}]"
        how = how or ("old" if tensor in self.open else self.random.choice(("old", "new", "new", "last", "last")))
        own = self.running[tensor]
        spelled = {"old": own, "new": f"{own}+1", "last": own.upper()}[how]
        return f"{tensor}[{','.join(spelled if v == own else v for v in self.variables[tensor])}]"

    def _left(self, name: str) -> str:
        own = self.running[name]
        return f"{name}[{','.join(f'{v}+1' if v == own else v for v in self.variables[name])}]"

    def _whole(self, rank: str) -> str:
        leaves = self.leaves[rank]
        return "+".join(
            "*".join((leaf, *(later.upper() for later in leaves[place + 1 :]))) for place, leaf in enumerate(leaves)
        )


# --- names and conditions -----------------------------------------------------------------------------------
_NAMED_INPUTS = {"A": ("P",), "B": ("P",), "C": ("L", "P")}
_CONDITIONS = ("", "m <= p", "m <= p", "m < p", "p - W < m and m <= p")


def random_named_cascade(seed: int) -> Cascade:
    """A valid cascade in which M is another name of P; equal seeds give equal cascades."""
    generator = random.Random(seed)
    while True:
        try:
            return _NamedDraft(generator).cascade(f"named-{seed}")
        except ValidationError:
            continue  # never true, a cycle, a rank that is not used


class _NamedDraft:
    def __init__(self, generator: random.Random) -> None:
        self.random = generator
        self.parts = generator.choice(((), ("m1", "m0")))
        self.names = {"P": ("p",), "M": self.parts or ("m",), "L": ("l",)}
        chosen = generator.sample(sorted(_NAMED_INPUTS), generator.randint(1, 2))
        self.ranks: dict[str, tuple[str, ...]] = {name: _NAMED_INPUTS[name] for name in chosen}  # P, M, M1, L
        self.running: dict[str, str] = {}
        self.condition = generator.choice(_CONDITIONS)
        self.lines: list[str] = []
        self.read: set[str] = set()

    def cascade(self, name: str) -> Cascade:
        for number in range(self.random.randint(3, 7)):
            if self.random.random() < 0.2:
                self._iterate(f"R{number}")
            else:
                self._plain(f"T{number}")
        return Cascade.model_validate(self._document(name))

    def _document(self, name: str) -> dict:
        text = "\n".join(self.lines)
        inputs = {n: list(_NAMED_INPUTS[n]) for n in self.ranks if n in _NAMED_INPUTS and n in self.read}
        ranks: dict = {"P": ""}
        if "m" in text.replace("max", ""):
            ranks["M"] = {"same": "P"}
        ranks |= {rank: "" for rank in ("L", "W") if rank in text.upper().replace("MAL", "") and rank in (text + "L")}
        if not any("L" in own for own in inputs.values()):
            ranks.pop("L", None)
        if " W" not in text:
            ranks.pop("W", None)
        written = [line.split("[")[0] for line in self.lines]
        document = {"name": name, "ranks": ranks, "inputs": inputs, "einsums": text}
        document["outputs"] = [t for t in written if t not in self.read] or written[-1:]
        document["init"] = {t: 0 for t in self.running if t in written}
        if self.parts and "M" in ranks:
            document["partition"] = {"M": ["M1", "M0"]}
        return document

    def _iterate(self, name: str) -> None:
        """A running sum of a tensor over one of its own ranks."""
        fitting = [
            (t, r) for t, own in self.ranks.items() for r in own if r in ("P", "M", "M1") and t not in self.running
        ]
        if not fitting:
            return
        tensor, rank = self.random.choice(fitting)
        own = self.ranks[tensor]
        step = "m1" if rank == "M1" else rank.lower()
        if rank == "M" and self.parts:
            return
        self.read.add(tensor)
        old = ",".join(r.lower() for r in own)
        new = ",".join(f"{step}+1" if r == rank else r.lower() for r in own)
        self.lines.append(f"{name}[{new}] = {name}[{old}] + {tensor}[{old}]")
        self.ranks[name], self.running[name] = own, rank

    def _plain(self, name: str) -> None:
        recent = list(self.ranks)[-4:]
        pool = recent if self.random.random() < 0.7 else list(self.ranks)
        accesses = [self._access(t) for t in self.random.sample(pool, min(len(pool), self.random.randint(1, 3)))]
        present = tuple(dict.fromkeys(v for _, variables in accesses for v in variables))
        kept = tuple(v for v in ("m1", "m0", "m", "p", "l") if v in present and self.random.random() < 0.7)
        whole = set(self.names["M"]) <= set(present)
        if self.condition and whole and "p" in present and "p" not in kept:  # keys of a query, not queries of a key
            kept = tuple(v for v in ("m1", "m0", "m", "p", "l") if v in (*kept, "p"))
        reduced = [v for v in present if v not in kept]
        suffix = f" :: max({','.join(reduced)})" if reduced and self.random.random() < 0.5 else ""
        condition = ""
        if self.condition and whole and "p" in present and self.random.random() < 0.7:
            spelled = "m1*M0 + m0" if self.parts else "m"
            condition = " where " + " ".join(spelled if word == "m" else word for word in self.condition.split())
        text = " * ".join(written for written, _ in accesses)
        self.lines.append(f"{name}[{','.join(kept)}] = {text}{condition}{suffix}")
        self.ranks[name] = tuple(v.upper() for v in kept)

    def _access(self, tensor: str) -> tuple[str, tuple[str, ...]]:
        """The tensor, read under either name, and the variables of the access."""
        self.read.add(tensor)
        spelled, variables = [], list[str]()
        for rank in self.ranks[tensor]:
            if self.running.get(tensor) == rank:
                variable = rank.lower()
                how = self.random.choice(("old", "new", "new", "last", "last"))
                spelled.append({"old": variable, "new": f"{variable}+1", "last": rank}[how])
                variables += [variable] if how != "last" else []
                continue
            other = "M" if rank == "P" and self.random.random() < 0.5 else rank
            if not {"M", "M1", "M0"}.isdisjoint(self.ranks[tensor]):
                other = rank  # no diagonals
            if other == "M" and self.parts:
                spelled.append("m1*M0+m0")
                variables += ["m1", "m0"]
            else:
                spelled.append(other.lower())
                variables.append(other.lower())
        return f"{tensor}[{','.join(spelled)}]", tuple(variables)
