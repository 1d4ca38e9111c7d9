"""The shipped documents, files in a folder found by bare name; and the user's own, found by path."""

from dataclasses import dataclass
from pathlib import Path

from arch.quantity import clipped
from einsums.names import nearest
from sim.load.files import is_file

_LONGEST = 60  # characters of something that is no name
_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Catalog:
    """The shipped documents of one kind ("cascade", "architecture", ...)."""

    folder: Path
    kind: str
    made: tuple[str, ...] = ()  # names beside them for what is made when it is asked for

    def names(self) -> tuple[str, ...]:
        """The bare names that ship, sorted."""
        return tuple(sorted(path.stem for path in self.folder.glob("*.yaml")))

    def find(self, name_or_path: str | Path, beside: Path | None = None) -> Path:
        """The file of a shipped name, or the path itself; ValueError for a name that does not ship.

        A path is anything with a folder or a suffix of YAML or JSON, or the name of a file if nothing that ships has
        it; relative ones start from `beside`.
        """
        found: object = name_or_path  # anything at all, from Python
        if not isinstance(found, str | Path):
            kind = f"an {self.kind}" if self.kind[0] in "aeiou" else f"a {self.kind}"
            raise ValueError(f"expected the name or path of {kind}, got {clipped(repr(found), _LONGEST)}")
        name_or_path = str(found)
        if Path(name_or_path).name != name_or_path or name_or_path.endswith(_SUFFIXES):
            return (beside or Path()) / Path(name_or_path).expanduser()
        shipped = self.names()
        if name_or_path in shipped:
            return self.folder / f"{name_or_path}.yaml"
        if is_file((beside or Path()) / name_or_path):
            return (beside or Path()) / name_or_path
        near = nearest(name_or_path, (*shipped, *self.made))
        known = ", ".join(shipped) or "none"
        raise ValueError(f"no {self.kind} called '{name_or_path}'{near}; shipped: {known}")
