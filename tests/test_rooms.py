"""The walls between rooms: who imports whom, where each third-party package may enter, and how long code may be.

Each rule is a function from a parsed module to complaints. The tables come first; every rule is also tried on
small snippets, so that it is known to be able to complain.
"""

import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("einsums", "arch", "mappings", "sim", "kernels")

# Room: the modules of other rooms that it may import.
MAY_IMPORT = {
    "einsums": (),
    # Formulas and Einsums are two languages made of the same words and signs; nouns of both keep the hashes of old files.
    "arch": ("einsums.tokens", "einsums.names", "einsums.quiet"),
    "mappings": ("einsums", "arch"),
    "kernels": (),
    # Of the kernels what needs the standard library only: plans, and the files that measurements are.
    "sim": ("einsums", "arch", "mappings", "kernels.plans", "kernels.bench.schema", "kernels.bench.structure"),
}
# Room: what it may also import, but only inside the function that needs it.
MAY_IMPORT_LATE = {"sim": ("kernels",)}

# The floors of `sim`, from the ground up: a room imports rooms below its own floor, and itself. The door (`sim` alone)
# and the entry stand on the roof.
FLOORS = (
    ("_own_rooms",),
    ("ending",),
    ("engine",),
    ("dram",),
    ("load",),
    ("lower",),
    ("design",),
    ("cycle", "systolic", "gpu"),
    ("simulation",),
    ("explore", "functional", "binding", "timeline", "reproduction"),
    ("report",),
    ("commands",),
    ("__init__",),
    ("__main__",),
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

# Room: all that it may see of the rest of `sim`. Reports see results, and descriptions of what was asked: whatever
# loads, simulates or runs is called by a room below, or by the command that then hands over what came of it.
SEES = {
    "sim.report": (
        "sim.binding.answer.Binding",
        "sim.binding.types",
        "sim.explore.least_traffic",
        "sim.explore.pareto",
        "sim.explore.points",
        "sim.explore.result_metrics",
        "sim.explore.seconds",
        "sim.explore.sweep",
        "sim.functional.compare",
        "sim.functional.exponential.polynomial_error",
        "sim.functional.precision",
        "sim.functional.comparisons.VerifiedDesign",
        "sim.functional.verification.Verification",
        "sim.gpu.compare.ComparedCase",
        "sim.load.cells",
        "sim.load.problems",
        "sim.reproduction.evaluation",
        "sim.reproduction.parts",
        "sim.reproduction.points",
        "sim.reproduction.published",
        "sim.simulation.result",
        "sim.simulation.roofline",
        "sim.timeline.types",
    ),
}
# Room in rooms: what its own rooms share; none of them sees another.
SHARED = {"sim.report": "parts"}

# Package: the modules through which it enters (a name covers what is below it).
DOORS = {
    "pydantic": ("einsums", "arch", "mappings", "sim"),
    "pydantic_core": ("einsums", "arch", "mappings", "sim"),  # the part of pydantic for custom types
    "numpy": ("einsums.operators", "einsums.interpreter*", "sim", "kernels.cascade_process", "kernels.elementwise"),
    "yaml": ("sim.load",),
    "numba": ("sim.engine",),
    "sqlite3": ("sim.explore.database", "sim.explore.store", "sim.explore.soundness", "sim.explore.export"),
    "matplotlib": ("sim.report.*.plots*",),
    "typer": ("sim.__main__", "sim.commands"),
    "rich": ("sim.commands.answering", "sim.report.reproduction.tables", "sim.explore.progress"),
    "torch": ("kernels",),
    "triton": ("kernels",),
}
# The same, but only inside a function: these are extras that a plain installation lacks.
LATE_DOORS = {
    **dict.fromkeys(("optuna", "dask", "distributed", "pyarrow"), ("sim.explore",)),
    # Libraries that are compared against where they are installed.
    **dict.fromkeys(("flash_attn", "fla"), ("kernels.bench",)),
}
# Modules shared by rooms, or by machines that have nothing else installed.
STANDARD_LIBRARY_ONLY = ("einsums.tokens", "kernels.plans", *(f"kernels.bench.{name}" for name in (
    "schema", "structure", "checks", "cases", "work", "harness", "journal", "report", "grid", "choosing", "nvml",
)))  # fmt: skip

MAY_PRINT = ("sim.__main__", "sim.commands", "sim.report", "kernels.bench.__main__", "kernels.bench.tune")

MODULE_LINES = 400
FUNCTION_LINES = 80
PARAMETERS = 5
# Decorator: how many parameters its functions may have instead.
PARAMETERS_BY_DECORATOR = {
    "compiled": 8,  # loops over arrays: many columns become one table
    "triton.jit": 20,  # kernels, compile-time constants included
    "answers": 8,  # options of the command line
    "callback": 8,
}

# An engine that knows a design's name is an engine with a formula for one design. Designs are YAML.
DESIGN_NAMES = (
    re.compile(r"fuse[-_ ]?max", re.IGNORECASE),
    re.compile(r"\bFLAT\b"),
    re.compile(r"\bflat-[a-z]+"),
)
DESIGN_STRINGS = re.compile(r"flat([-_].*)?", re.IGNORECASE)
ROOMS_WITHOUT_DESIGNS = ("einsums", "arch", "mappings", "sim")

# What libraries offer under names that begin like private ones: NamedTuples, `os`, and torch and triton to the benchmark.
OFFERED = {"_replace", "_asdict", "_fields", "_field_defaults", "_exit", "_dynamo", "_init_handles"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A source file by the name under which it is imported."""

    name: str
    text: str
    is_package: bool = False
    siblings: tuple[str, ...] = ()  # of a package: the names of its modules

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]


def modules_of_checkout() -> tuple[Module, ...]:
    paths = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    return tuple(read_module(path) for path in paths)


def read_module(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    siblings = tuple(p.stem for p in path.parent.iterdir() if p.is_dir() or p.suffix == ".py") if is_package else ()
    return Module(".".join(parts[:-1] if is_package else parts), path.read_text("utf-8"), is_package, siblings)


def is_under(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a module is one of these, or below one of them."""
    return any(fnmatch(name, pattern) or name.startswith(pattern + ".") for pattern in patterns)


# ------------------------------------------------------------------------------------------------ rules


def iter_imports(tree: ast.AST, is_late: bool = False) -> Iterator[tuple[str, int, bool]]:
    """Each imported name (module and what is taken from it), its line, and whether a function holds it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, is_late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            yield from ((f"{origin}.{alias.name}", node.lineno, is_late) for alias in node.names)
        else:
            yield from iter_imports(node, is_late or isinstance(node, Function))


def check_directions(module: Module) -> Iterator[str]:
    allowed, late = MAY_IMPORT[module.room], MAY_IMPORT_LATE.get(module.room, ())
    for name, line, is_late in iter_imports(module.tree):
        other = name.partition(".")[0]
        if name.startswith("."):
            yield f"{module.name}:{line}: relative import"
        elif other == "tests":
            yield f"{module.name}:{line}: a room imports tests"
        elif other in ROOMS and other != module.room and not is_under(name, allowed):
            if not is_under(name, late):
                yield f"{module.name}:{line}: {module.room} may not import {name}"
            elif not is_late:
                yield f"{module.name}:{line}: {name} is imported outside the function that needs it"


def room_of_sim(name: str, is_module: bool) -> str:
    """The room of `sim` that a dotted name lies in; what is taken from the door lies in `__init__`."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and (is_module or parts[1] in FLOOR_OF) else "__init__"


def check_floors(module: Module) -> Iterator[str]:
    """Imports inside `sim` go down; a module of its root that is no room is a complaint too."""
    if module.room != "sim":
        return
    room = room_of_sim(module.name, is_module=True)
    if room not in FLOOR_OF:
        yield f"{module.name}: the root of sim holds the door, the entry and its guard, got '{room}'"
        return
    for name, line, _ in iter_imports(module.tree):
        if name.partition(".")[0] != "sim":
            continue
        other = room_of_sim(name, is_module=False)
        if other != room and FLOOR_OF[other] >= FLOOR_OF[room]:
            yield f"{module.name}:{line}: {room} imports {other}, which is not below it"


def check_sight(module: Module) -> Iterator[str]:
    """What a room does not see it cannot call."""
    for room, seen in SEES.items():
        if not is_under(module.name, (room,)):
            continue
        own = module.name.removeprefix(room).strip(".").partition(".")[0]
        for name, line, _ in iter_imports(module.tree):
            inside = name.removeprefix(room + ".").partition(".")[0]
            if is_under(name, (room,)):
                if inside not in (own, SHARED[room]):
                    yield f"{module.name}:{line}: {own} and {inside} do not see each other"
            elif name.partition(".")[0] == "sim" and not is_under(name, seen):
                yield f"{module.name}:{line}: {room} does not see {name}"


def check_doors(module: Module) -> Iterator[str]:
    for name, line, is_late in iter_imports(module.tree):
        package = name.partition(".")[0]
        has_door = package in DOORS or package in LATE_DOORS
        if package in ROOMS or package == "" or (package in sys.stdlib_module_names and not has_door):
            continue
        if is_under(module.name, STANDARD_LIBRARY_ONLY):
            yield f"{module.name}:{line}: {package} in a module of the standard library only"
        elif not has_door:
            yield f"{module.name}:{line}: {package} has no door"
        elif not is_under(module.name, DOORS.get(package, ()) + LATE_DOORS.get(package, ())):
            yield f"{module.name}:{line}: {package} enters elsewhere"
        elif package in LATE_DOORS and not is_late:
            yield f"{module.name}:{line}: {package} is imported outside the function that needs it"


def check_module_size(module: Module) -> Iterator[str]:
    lines = len(module.text.splitlines())
    if lines > MODULE_LINES:
        yield f"{module.name}: {lines} lines, at most {MODULE_LINES}"


def check_functions(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if not isinstance(node, Function):
            continue
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > FUNCTION_LINES:
            yield f"{module.name}:{node.lineno}: {node.name} has {lines} lines, at most {FUNCTION_LINES}"
        count, limit = count_parameters(node), limit_of_parameters(node)
        if count > limit:
            yield f"{module.name}:{node.lineno}: {node.name} has {count} parameters, at most {limit}"


def count_parameters(node: Function) -> int:
    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    names += [a.arg for a in (node.args.vararg, node.args.kwarg) if a is not None]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def limit_of_parameters(node: Function) -> int:
    decorators = [ast.unparse(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list]
    limits = (
        limit
        for name, limit in PARAMETERS_BY_DECORATOR.items()
        if any(decorator == name or decorator.endswith(f".{name}") for decorator in decorators)
    )
    return max(limits, default=PARAMETERS)


def check_calls(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id in ("eval", "exec", "__import__"):
            yield f"{module.name}:{node.lineno}: {node.func.id}"
        if node.func.id == "print" and not is_under(module.name, MAY_PRINT):
            yield f"{module.name}:{node.lineno}: print"


def check_private(module: Module) -> Iterator[str]:
    """A name with an underscore stays in its module: it is not imported, and not asked of another one's object."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names if alias.name.startswith("_") and alias.name != "_own_rooms"]
            yield from (f"{module.name}:{node.lineno}: imports the private {name}" for name in names)
    owned = {
        name
        for node in ast.walk(module.tree)
        for name in (
            [node.attr] if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
            else [node.name] if isinstance(node, Function)
            else [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
            else [node.id] if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            else []
        )
    }  # fmt: skip
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.startswith("__"):
            continue
        if node.attr not in owned | OFFERED:
            yield f"{module.name}:{node.lineno}: uses the private {node.attr} of another module"


def check_designs(module: Module) -> Iterator[str]:
    if module.room not in ROOMS_WITHOUT_DESIGNS:
        return
    for number, line in enumerate(module.text.splitlines(), 1):
        found = next((m for m in (name.search(line) for name in DESIGN_NAMES) if m), None)
        if found:
            yield f"{module.name}:{number}: names the design {found.group()}"
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if DESIGN_STRINGS.fullmatch(node.value):
            yield f"{module.name}:{node.lineno}: names the design {node.value}"


def check_docstring(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield f"{module.name}: no docstring"


def check_packages(module: Module) -> Iterator[str]:
    """A package's own file re-exports and does nothing else, and no name of it hides a module.

    It may also be a late door: what it re-exports for type checkers alone is imported when it is first asked for.
    """
    if not module.is_package:
        return
    for node in module.tree.body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_all = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("__all__", "__version__")
        is_import = isinstance(node, ast.Import | ast.ImportFrom)
        if not is_docstring and not is_all and not is_import and not is_part_of_late_door(node):
            yield f"{module.name}:{node.lineno}: more than a docstring and re-exports"
    for name, line, _ in iter_imports(module.tree):
        origin, _, taken = name.rpartition(".")
        if taken in module.siblings and origin != module.name:
            yield f"{module.name}:{line}: {taken} hides the module of that name"
    yield from check_late_door(module)


def is_part_of_late_door(node: ast.stmt) -> bool:
    """Imports for type checkers, the table of where names stand, and the two functions that Python asks."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=[]):
            return all(isinstance(inner, ast.ImportFrom) for inner in node.body)
        case ast.Assign(targets=[ast.Name(id="_PLACES")], value=ast.Dict()):
            return True
    return isinstance(node, ast.FunctionDef) and node.name in ("__getattr__", "__dir__")


def check_late_door(module: Module) -> Iterator[str]:
    """The names that type checkers see are those that are found late, in the same modules."""
    seen: dict[str, tuple[str, str]] = {}
    places: dict[str, tuple[str, str]] = {}
    for node in module.tree.body:
        if isinstance(node, ast.If) and is_part_of_late_door(node):
            for inner in node.body:
                assert isinstance(inner, ast.ImportFrom)
                seen |= {alias.asname or alias.name: (inner.module or "", alias.name) for alias in inner.names}
        elif isinstance(node, ast.Assign) and is_part_of_late_door(node):
            for name, place in ast.literal_eval(node.value).items():
                places[name] = (place, name) if isinstance(place, str) else place
    for name in sorted(seen.keys() | places.keys()):
        if seen.get(name) != places.get(name):
            yield f"{module.name}: type checkers see {name} elsewhere than it is found"


def iter_shared_names(modules: tuple[Module, ...]) -> Iterator[str]:
    """Names of classes that mean several things."""
    homes: dict[str, list[str]] = {}
    for module in modules:
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(module.name)
    for name, places in homes.items():
        if len(places) > 1:
            yield f"{name} is a class of {', '.join(places)}"


RULES: dict[str, Callable[[Module], Iterator[str]]] = {
    "directions": check_directions,
    "floors": check_floors,
    "sight": check_sight,
    "doors": check_doors,
    "module-size": check_module_size,
    "functions": check_functions,
    "calls": check_calls,
    "private": check_private,
    "designs": check_designs,
    "docstring": check_docstring,
    "packages": check_packages,
}


def test_the_benchmark_starts_on_a_bare_gpu_machine() -> None:
    """Every module of it: from outside only torch and triton, and inside functions what it compares against."""
    modules = [module for module in modules_of_checkout() if is_under(module.name, ("kernels.bench",))]
    assert {path.stem for path in (ROOT / "kernels/bench").glob("*.py")} == {
        "__init__" if module.is_package else module.name.rpartition(".")[2] for module in modules
    }
    packages = {
        (name.partition(".")[0], is_late) for module in modules for name, _, is_late in iter_imports(module.tree)
    }
    outside = {(name, is_late) for name, is_late in packages if name not in (*sys.stdlib_module_names, "kernels")}
    assert {name for name, is_late in outside if not is_late} == {"torch"}
    assert {name for name, is_late in outside if is_late} == {"torch", "triton", "flash_attn", "fla"}


@pytest.mark.parametrize("rule", RULES)
def test_checkout_keeps(rule: str) -> None:
    modules = modules_of_checkout()
    assert {module.room for module in modules} == set(ROOMS)
    complaints = [complaint for module in modules for complaint in RULES[rule](module)]
    assert not complaints, "\n" + "\n".join(complaints)


def test_class_names_mean_one_thing() -> None:
    complaints = list(iter_shared_names(modules_of_checkout()))
    assert not complaints, "\n" + "\n".join(complaints)


# ------------------------------------------------------------------------------- the rules can complain

DEF6 = "def f(a, b, c, d, e, g): pass"
BROKEN = [
    ("directions", "arch.types", "import einsums", "arch.types:1: arch may not import einsums"),
    ("directions", "arch.types", "import einsums.parser", "arch.types:1: arch may not import einsums.parser"),
    ("directions", "einsums.types", "from sim.load.nouns import x", "einsums.types:1: einsums may not import sim.load.nouns.x"),
    ("directions", "mappings.types", "import sim", "mappings.types:1: mappings may not import sim"),
    ("directions", "kernels.plans", "import arch", "kernels.plans:1: kernels may not import arch"),
    ("directions", "sim.simulation.flow", "from . import load", "sim.simulation.flow:1: relative import"),
    ("directions", "sim.simulation.flow", "import tests.oracle", "sim.simulation.flow:1: a room imports tests"),
    (
        "directions",
        "sim.verify",
        "from kernels.reference import attend",
        "sim.verify:1: kernels.reference.attend is imported outside the function that needs it",
    ),
    ("floors", "sim.load.nouns", "from sim.lower.rows import x", "sim.load.nouns:1: load imports lower, which is not below it"),
    ("floors", "sim.cycle.nest", "import sim.gpu.device", "sim.cycle.nest:1: cycle imports gpu, which is not below it"),
    ("floors", "sim.report.parts.units", "from sim import simulate", "sim.report.parts.units:1: report imports __init__, which is not below it"),
    ("floors", "sim.flow", "x = 1", "sim.flow: the root of sim holds the door, the entry and its guard, got 'flow'"),
    ("sight", "sim.report.sweep.charts", "from sim.simulation.flow import simulate", "sim.report.sweep.charts:1: sim.report does not see sim.simulation.flow.simulate"),
    ("sight", "sim.report.sweep.charts", "def f():\n    import sim.cycle.answer", "sim.report.sweep.charts:2: sim.report does not see sim.cycle.answer"),
    ("sight", "sim.report.design.binding_table", "from sim.binding.answer import Binding, bind", "sim.report.design.binding_table:1: sim.report does not see sim.binding.answer.bind"),
    ("sight", "sim.report.reproduction.page", "from sim.reproduction.run import run_reproduction", "sim.report.reproduction.page:1: sim.report does not see sim.reproduction.run.run_reproduction"),
    ("sight", "sim.report.sweep.plots", "from sim.report.design.taxonomy import x", "sim.report.sweep.plots:1: sweep and design do not see each other"),
    ("sight", "sim.report.parts.files", "import sim.report.sweep.plots", "sim.report.parts.files:1: parts and sweep do not see each other"),
    ("doors", "einsums.types", "import numpy as np", "einsums.types:1: numpy enters elsewhere"),
    ("doors", "sim.simulation.flow", "import yaml", "sim.simulation.flow:1: yaml enters elsewhere"),
    ("doors", "sim.simulation.flow", "def f():\n    from numba import njit", "sim.simulation.flow:2: numba enters elsewhere"),
    ("doors", "sim.simulation.flow", "import pandas", "sim.simulation.flow:1: pandas has no door"),
    ("doors", "sim.simulation.flow", "import sqlite3", "sim.simulation.flow:1: sqlite3 enters elsewhere"),
    ("doors", "sim.simulation.flow", "import torch", "sim.simulation.flow:1: torch enters elsewhere"),
    ("doors", "einsums.tokens", "import pydantic", "einsums.tokens:1: pydantic in a module of the standard library only"),
    ("doors", "kernels.plans", "import numpy", "kernels.plans:1: numpy in a module of the standard library only"),
    ("doors", "kernels.bench", "import pydantic", "kernels.bench:1: pydantic enters elsewhere"),
    ("doors", "kernels.bench.trials", "import numpy", "kernels.bench.trials:1: numpy enters elsewhere"),
    ("doors", "kernels.bench.harness", "import torch", "kernels.bench.harness:1: torch in a module of the standard library only"),
    (
        "doors",
        "sim.explore.search",
        "import optuna",
        "sim.explore.search:1: optuna is imported outside the function that needs it",
    ),
    ("module-size", "sim.simulation.flow", "\n" * 401, "sim.simulation.flow: 401 lines, at most 400"),
    ("functions", "sim.simulation.flow", "def f():\n" + "    x = 1\n" * 80, "sim.simulation.flow:1: f has 81 lines, at most 80"),
    ("functions", "sim.simulation.flow", DEF6, "sim.simulation.flow:1: f has 6 parameters, at most 5"),
    ("functions", "sim.simulation.flow", "class A:\n    def f(self, a, b, c, d, e, *g): pass", "sim.simulation.flow:2: f has 6 parameters, at most 5"),
    (
        "functions",
        "sim.engine.cycle",
        "@compiled\ndef f(a, b, c, d, e, g, h, i, j): pass",
        "sim.engine.cycle:2: f has 9 parameters, at most 8",
    ),
    ("calls", "sim.simulation.flow", "print(1)", "sim.simulation.flow:1: print"),
    ("calls", "sim.report.reproduction.plots", "eval('1')", "sim.report.reproduction.plots:1: eval"),
    ("calls", "arch.types", "def f():\n    exec('1')", "arch.types:2: exec"),
    ("private", "sim.load.nouns", "from sim.load.text import _read", "sim.load.nouns:1: imports the private _read"),
    ("private", "sim.explore.bulk", "x = experiment._holds(1)", "sim.explore.bulk:1: uses the private _holds of another module"),
    ("designs", "sim.simulation.flow", "# as FuseMax does", "sim.simulation.flow:1: names the design FuseMax"),
    ("designs", "sim.simulation.flow", "fuse_max = 1", "sim.simulation.flow:1: names the design fuse_max"),
    ("designs", "mappings.check", "# the FLAT way", "mappings.check:1: names the design FLAT"),
    ("designs", "arch.types", "# see flat-edge", "arch.types:1: names the design flat-edge"),
    ("designs", "sim.simulation.flow", "x = name == 'flat'", "sim.simulation.flow:1: names the design flat"),
    ("docstring", "sim.simulation.flow", "x = 1", "sim.simulation.flow: no docstring"),
]  # fmt: skip

KEPT = [
    ("directions", "sim.simulation.flow", "import einsums, arch, mappings.types\nfrom kernels.plans import plan"),
    ("directions", "sim.verify", "def f():\n    from kernels.reference import attend"),
    ("directions", "arch.expression", "from einsums.tokens import Token"),
    ("directions", "mappings.check", "from arch.types import Memory\nfrom mappings.types import Loop"),
    ("floors", "sim.lower.rows", "from sim.load.nouns import x\nfrom sim.lower.ranks import y\nimport mappings"),
    ("floors", "sim.__main__", "from sim.commands import simulate\nfrom sim import simulate"),
    ("floors", "mappings.check", "x = 1"),
    (
        "sight",
        "sim.report.sweep.charts",
        "import numpy\nfrom sim.report.parts.files import write_file\nfrom sim.explore.points import Point",
    ),
    ("sight", "sim.commands.plot", "from sim.simulation.flow import simulate"),
    ("doors", "einsums.interpreter", "import numpy as np\nimport math"),
    ("doors", "sim.engine.cycle", "from numba import njit"),
    ("doors", "sim.load.text", "import yaml"),
    ("doors", "sim.explore.search", "def f():\n    import optuna"),
    ("doors", "kernels.plans", "from dataclasses import dataclass"),
    ("module-size", "sim.simulation.flow", "\n" * 400),
    ("functions", "sim.simulation.flow", "def f():\n" + "    x = 1\n" * 79),
    ("functions", "sim.simulation.flow", "class A:\n    def f(self, a, b, c, d, e): pass"),
    ("functions", "sim.engine.cycle", "@compiled\ndef f(a, b, c, d, e, g, h, i): pass"),
    ("functions", "kernels.flash", f"@triton.jit\n{DEF6}"),
    ("functions", "sim.commands.simulate", f"@answers\n{DEF6}"),
    ("calls", "sim.report.reproduction.tables", "print(1)"),
    ("calls", "sim.simulation.flow", "table.print(1); model.eval()"),
    (
        "private",
        "sim.load.nouns",
        "def _read(): pass\nclass A:\n    def f(self): self._x = 1; return row._replace(a=self._x)",
    ),
    ("designs", "sim.simulation.flow", "x = a.flat[0] + flatten(a)  # Nayak et al., MICRO 2024; flat arrays"),
    ("designs", "kernels.plans", "# FLAT"),
    ("docstring", "sim.simulation.flow", '"""Says what it is for."""'),
]


@pytest.mark.parametrize(("rule", "name", "text", "complaint"), BROKEN)
def test_rule_complains(rule: str, name: str, text: str, complaint: str) -> None:
    assert list(RULES[rule](Module(name, text))) == [complaint]


@pytest.mark.parametrize(("rule", "name", "text"), KEPT)
def test_rule_is_content(rule: str, name: str, text: str) -> None:
    assert list(RULES[rule](Module(name, text))) == []


def test_shared_names_rule() -> None:
    modules = (
        Module("sim.cycle.nest", "class Nest: pass\nclass Slot: pass"),
        Module("sim.gpu.cases", "class Case: pass\nclass Nest: pass"),
        Module("mappings.types", "class Case: pass"),
    )
    assert list(iter_shared_names(modules)) == [
        "Nest is a class of sim.cycle.nest, sim.gpu.cases",
        "Case is a class of sim.gpu.cases, mappings.types",
    ]


def test_packages_rule() -> None:
    text = '"""Doc."""\n\nfrom sim.simulation.flow import simulate\nx = 1\n__all__ = ["simulate"]\n'
    assert list(check_packages(Module("sim", text, True, ("flow",)))) == ["sim:4: more than a docstring and re-exports"]
    hiding = '"""Doc."""\nfrom sim.simulate import simulate\n'
    assert list(check_packages(Module("sim", hiding, True, ("simulate",)))) == [
        "sim:2: simulate hides the module of that name"
    ]


LATE_DOOR = """
\'\'\'Doc.\'\'\'

if TYPE_CHECKING:
    from sim.explore.run import Options as SweepOptions
    from sim.load.nouns import load_cascade

_PLACES = {"SweepOptions": ("sim.explore.run", "Options"), "load_cascade": "sim.load.nouns"}


def __getattr__(name): ...
"""


def test_packages_rule_knows_late_doors() -> None:
    assert list(check_packages(Module("sim", LATE_DOOR, True))) == []
    for before, after, complaint in (
        ('"Options")', '"Other")', "sim: type checkers see SweepOptions elsewhere than it is found"),
        (', "load_cascade": "sim.load.nouns"', "", "sim: type checkers see load_cascade elsewhere than it is found"),
        ("    from sim.load.nouns import load_cascade", "    x = 1", "sim:4: more than a docstring and re-exports"),
        ("__getattr__", "simulate", "sim:11: more than a docstring and re-exports"),
    ):
        assert complaint in list(check_packages(Module("sim", LATE_DOOR.replace(before, after), True)))


def test_every_rule_was_seen_to_complain() -> None:
    assert {rule for rule, *_ in BROKEN} | {"packages"} == set(RULES)


# --------------------------------------------------------------------------------------- what is loaded


@pytest.mark.parametrize("room", ROOMS)
def test_room_lies_in_this_checkout(room: str) -> None:
    # `arch` and `kernels` are also names of packages in the wild.
    origin = importlib.import_module(room).__file__
    assert origin is not None
    assert Path(origin).resolve().is_relative_to(ROOT)


DRAWING = {"matplotlib", "PIL"}
KERNELS = {"torch", "triton"}
# Program: packages that it must not load, and that it must.
LOADS = {
    "import sim": (DRAWING | KERNELS | {"numba", "numpy", "pydantic", "typer", "yaml"}, set()),
    "from sim import simulate": (DRAWING | KERNELS | {"typer", "rich", "sqlite3", "networkx"}, {"numba"}),
    "einfuse --version": (DRAWING | KERNELS | {"numba", "numpy", "pydantic", "yaml", "rich", "einsums", "arch"}, {"typer"}),
    "einfuse --help": (DRAWING | KERNELS | {"numba", "numpy", "pydantic", "yaml", "rich", "einsums", "arch"}, {"typer"}),
    "einfuse simulate fusemax-binding --json": (
        DRAWING | KERNELS | {"rich", "sqlite3", "networkx", "sim.explore", "sim.functional", "sim.cycle", "sim.gpu"},
        {"numba", "sim.simulation"},
    ),
    "einfuse list": (DRAWING | KERNELS | {"numba", "rich", "sim.design", "sim.engine"}, {"yaml"}),
}  # fmt: skip
REPORT_LOADED = """
import sys
arguments = sys.argv[1:]
if arguments[0] == "einfuse":
    from sim.__main__ import main
    sys.argv = arguments
    try:
        main()
    except SystemExit as end:
        assert end.code == 0, end.code
else:
    exec(" ".join(arguments))
print("loaded", *sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("program", LOADS)
def test_what_a_program_loads(program: str) -> None:
    command = [sys.executable, "-c", REPORT_LOADED, *program.split()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    said = done.stderr.splitlines()[-1].split()
    assert (done.returncode, said[0]) == (0, "loaded"), done.stderr
    forbidden, needed = LOADS[program]
    assert (forbidden & set(said), needed - set(said)) == (set(), set())


def test_the_door_shows_its_names_alone() -> None:
    program = "import sim; from sim import simulate; print(dir(sim) == sorted(sim.__all__), sim.SweepOptions.__name__)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True SweepOptions\n"), done.stderr


def test_the_door_has_no_other_name() -> None:
    with pytest.raises(AttributeError, match="module 'sim' has no attribute 'simulat'"):
        importlib.import_module("sim").simulat  # noqa: B018


def test_files_of_reports_are_package_data() -> None:
    """Each file of a folder `assets` lies in a package that is installed, and its suffix is taken along."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    files = [path for path in (ROOT / "sim").glob("**/assets/*") if path.is_file()]
    assert {path.suffix for path in files} == {".html", ".css", ".js"}
    for path in files:
        package = path.parents[1]
        assert ".".join(package.relative_to(ROOT).parts) in tool["packages"]
        assert any(path.match(pattern) for pattern in tool["package-data"]["*"])
