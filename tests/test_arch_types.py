"""Machines: what a valid one says of itself, and every refusal word for word."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from arch import Architecture, Array, Memory, Operation
from sim.lower.machine import Machines, machine_symbols
from sim.lower.same import Same

MACC = {
    "operators": ["mul", "add"],
    "also": [["mul"]],
    "cycles": 1,
    "energy": "17 pJ",
    "area": "1545 um2",
    "source": "s",
}
ADD = {"cycles": 1, "energy": "8 pJ", "source": "s"}
SUB = {"cycles": 2, "energy": "9 pJ", "source": "s"}
CIRCLE = (("exp", "tanh"), ("tanh", "exp"))
EXP = {"made_of": {"macc": 6}, "source": "s"}


def array(**changes: Any) -> dict[str, Any]:
    operations = {"macc": MACC, "add": ADD, "sub": SUB, "exp": EXP}
    base = {"kind": "array", "parent": "GLB", "rows": 4, "columns": 8, "registers": "RF", "source": "s"}
    return base | {"operations": operations, "drain": {"along": "rows", "cycles": "rows + 1"}} | changes


def memory(**changes: Any) -> dict[str, Any]:
    base = {"kind": "memory", "row": "64 bit", "read_energy": "2 pJ", "write_energy": "3 pJ", "source": "s"}
    return {key: value for key, value in (base | changes).items() if value is not None}


def machine(**changes: Any) -> dict[str, Any]:
    """A small machine; a component given as None is left out, others are added or replaced."""
    components = {
        "DRAM": memory(bandwidth="1 GB/s"),
        "GLB": memory(parent="DRAM", size="1 KiB", area="depth * 2"),
        "PE": array(),
        "RF": memory(parent="GLB", row=None, per_pe_of="PE", depth=12, width="16 bit", area="10*depth"),
    }
    top = {"name": "small", "clock": "1 GHz", "word": "16 bit", "node": "45 nm", "source": "s"}
    components |= {name: body for name, body in changes.items() if name.isupper()}
    kept = {name: body for name, body in components.items() if body is not None}
    return top | {"components": kept} | {key: value for key, value in changes.items() if not key.isupper()}


def test_a_machine_answers_for_itself() -> None:
    small = Architecture.model_validate(machine())
    assert (small.clock_hz, small.word_bits, small.node_nm) == (1e9, 16, 45)
    assert [component.name for component in small.components] == ["DRAM", "GLB", "PE", "RF"]
    assert [one.name for one in small.memories] == ["DRAM", "GLB", "RF"]
    assert [one.name for one in small.arrays] == ["PE"]
    assert small.root.name == "DRAM"
    assert [one.name for one in small.children("GLB")] == ["PE", "RF"]
    assert [one.name for one in small.path("RF")] == ["DRAM", "GLB", "RF"]
    assert [small.depth_of(name) for name in ("DRAM", "GLB", "PE", "RF")] == [0, 1, 2, 2]
    assert (small.instances(small.memory("RF")), small.instances(small.memory("GLB"))) == (32, 1)
    assert small.array("PE").pes == 32
    assert small.array("PE").drain_cycles == 5


def test_sizes_follow_from_what_is_given() -> None:
    small = Architecture.model_validate(machine())
    dram, glb, registers = small.memories
    assert (dram.size_bits, dram.depth, dram.row_bits) == (None, None, 64)
    assert (glb.size_bits, glb.depth, glb.row_bits) == (8192, 128, 64)
    assert (registers.size_bits, registers.depth, registers.row_bits) == (192, 12, 16)
    assert (dram.area_um2, glb.area_um2, registers.area_um2) == (None, 256, 120)


def test_symbols_name_what_is_defined() -> None:
    symbols = dict(machine_symbols(Same(Architecture.model_validate(machine()))))
    assert symbols == {
        "word_bytes": 2,
        "word_bits": 16,
        "clock_hz": 1_000_000_000,
        "DRAM.row_bits": 64,
        "DRAM.banks": 1,
        "DRAM.ports": 1,
        "DRAM.bandwidth_bits_per_s": 8_000_000_000,
        "GLB.size_bytes": 1024,
        "GLB.size_bits": 8192,
        "GLB.size_words": 512,
        "GLB.row_bits": 64,
        "GLB.banks": 1,
        "GLB.ports": 1,
        "GLB.depth": 128,
        "PE.rows": 4,
        "PE.columns": 8,
        "PE.lanes": 1,
        "PE.pes": 32,
        "RF.size_bytes": 24,
        "RF.size_bits": 192,
        "RF.size_words": 12,
        "RF.row_bits": 16,
        "RF.banks": 1,
        "RF.ports": 1,
        "RF.depth": 12,
    }
    assert all(isinstance(value, int) for value in symbols.values())


def test_a_machine_is_a_value_and_survives_its_own_dump() -> None:
    small = Architecture.model_validate(machine())
    again = Architecture.model_validate(small.model_dump())
    assert again == small
    assert hash(again) == hash(small)
    assert Architecture.model_validate_json(small.model_dump_json()) == small
    assert Architecture.model_validate(small.model_dump()).model_dump() == small.model_dump()
    with pytest.raises(ValidationError):
        small.name = "other"


@given(
    size=st.integers(64, 2**50),
    energy=st.just(0.0) | st.floats(1e-29, 1e12),
    area=st.just(0.0) | st.floats(1e-29, 1e15),
    clock=st.floats(1, 1e12),
)
def test_any_quantity_survives_the_dump(size: int, energy: float, area: float, clock: float) -> None:
    glb = memory(parent="DRAM", size=f"{size} bit", read_energy=f"{energy!r} pJ", area=f"{area!r} um2")
    small = Architecture.model_validate(machine(GLB=glb, clock=f"{clock!r} Hz"))
    assert Architecture.model_validate(small.model_dump()) == small
    assert (small.memory("GLB").read_pj, small.memory("GLB").area_um2, small.clock_hz) == (
        energy,
        area,
        clock,
    )


@pytest.mark.parametrize(
    ("operators", "actions", "cycles", "energy_pj"),
    [
        ((), {}, 0, 0),
        (("mul", "add"), {"macc": 1}, 1, 17),
        (("add", "mul"), {"macc": 1}, 1, 17),
        (("mul",), {"macc": 1}, 1, 17),
        (("add",), {"add": 1}, 1, 8),
        (("mul", "mul", "add"), {"macc": 2}, 2, 34),
        (("sub", "exp"), {"sub": 1, "exp": 1}, 2 + 6, 9 + 6 * 17),
        (
            ("sub", "exp", "mul", "add", "add"),
            {"macc": 1, "add": 1, "sub": 1, "exp": 1},
            10,
            17 + 8 + 9 + 102,
        ),
    ],
)
def test_operators_of_a_point_become_actions(
    operators: tuple[str, ...], actions: dict[str, int], cycles: float, energy_pj: float
) -> None:
    elements = Architecture.model_validate(machine()).array("PE")
    assert {operation.name: count for operation, count in elements.resolve(operators)} == actions
    assert elements.cycles_per_point(operators) == cycles
    assert elements.energy_pj_per_point(operators) == energy_pj


def of(*operations: tuple[str, ...]) -> Array:
    """An array whose operations are named after the operators they cover."""
    bodies = {
        "_".join(covered): {"operators": covered, "cycles": 1, "energy": "1 pJ", "source": "s"}
        for covered in operations
    }
    return Array.model_validate(array(name="PE", operations=bodies, drain=None))


@pytest.mark.parametrize(
    ("declared", "operators", "expected"),
    [
        ([("sub",), ("exp",), ("sub", "exp")], ("sub", "exp"), {"sub_exp": 1}),
        ([("sub",), ("exp",), ("sub", "exp")], ("exp", "exp", "sub"), {"sub_exp": 1, "exp": 1}),
        ([("a", "b"), ("b", "c"), ("c",)], ("a", "b", "c"), {"a_b": 1, "c": 1}),
        ([("b", "c"), ("a", "b"), ("c",)], ("a", "b", "c"), {"a_b": 1, "c": 1}),
        ([("a", "a"), ("a",)], ("a", "a", "a"), {"a_a": 1, "a": 1}),
    ],
)
def test_larger_actions_come_first_and_a_dead_end_is_taken_back(
    declared: list[tuple[str, ...]], operators: tuple[str, ...], expected: dict[str, int]
) -> None:
    assert {operation.name: count for operation, count in of(*declared).resolve(operators)} == expected


@pytest.mark.parametrize(
    ("declared", "operators", "message"),
    [
        ([("mul", "add")], ("mul", "div"), "array 'PE' has nothing for 'div'; it has mul_add (mul add)"),
        (
            [("mul", "add")],
            ("max", "div"),
            "array 'PE' has nothing for 'max' or 'div'; it has mul_add (mul add)",
        ),
        (
            [("mul", "add"), ("max",)],
            ("mul", "max"),
            "array 'PE' has nothing for the operators (mul max) together; it has mul_add (mul add), max (max)",
        ),
    ],
)
def test_what_an_array_cannot_do_is_named(
    declared: list[tuple[str, ...]], operators: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError) as refusal:
        of(*declared).resolve(operators)
    assert str(refusal.value) == message


def test_a_hopeless_cover_is_refused_soon() -> None:
    many = of(("a", "b"), ("a", "c"), ("b", "c"), ("a", "a"), ("b", "b"))
    with pytest.raises(ValueError, match="together"):
        many.resolve(("a", "b") * 12 + ("c", "c", "c"))


def problem(data: dict[str, Any]) -> tuple[tuple[Any, ...], str]:
    """Where and why a machine is refused; there must be one reason."""
    with pytest.raises(ValidationError) as refusal:
        Architecture.model_validate(data)
    (error,) = refusal.value.errors()
    return error["loc"], error["msg"].removeprefix("Value error, ")


GLB_AT = ("components", "GLB", "memory")
PE_AT = ("components", "PE", "array")


@pytest.mark.parametrize(
    ("data", "location", "message"),
    [
        (
            machine(clock=940),
            ("clock",),
            "expected a frequency such as '940 MHz', got 940, which has no unit",
        ),
        (machine(clock="0 Hz"), ("clock",), "expected a frequency above zero such as '940 MHz', got '0 Hz'"),
        (
            machine(GLB=memory(parent="DRAM", size="16 MBy")),
            (*GLB_AT, "size"),
            "expected a size such as '16 MiB', got '16 MBy' (did you mean '16 MB'?)",
        ),
        (
            machine(GLB=memory(parent="DRAM", sise="1 KiB")),
            (*GLB_AT, "sise"),
            "Extra inputs are not permitted",
        ),
        (
            machine(GLB=memory(parent="DRAM", size_bits="1 KiB")),
            (*GLB_AT, "size_bits"),
            "Extra inputs are not permitted",
        ),
        (machine(PE=array(rows=0)), (*PE_AT, "rows"), "expected a whole number of at least 1, got 0"),
        (machine(PE=array(rows=2.5)), (*PE_AT, "rows"), "expected a whole number of at least 1, got 2.5"),
        (machine(PE=array(rows=True)), (*PE_AT, "rows"), "expected a whole number of at least 1, got true"),
        (machine(PE=array(rows="4")), (*PE_AT, "rows"), "expected a whole number of at least 1, got '4'"),
        (
            machine(PE=array(operations={"add": ADD | {"cycles": 0}})),
            (*PE_AT, "operations", "add", "cycles"),
            "expected a number of cycles above 0, got 0",
        ),
        (
            machine(PE=array(operations={"add": ADD | {"cycles": float("nan")}})),
            (*PE_AT, "operations", "add", "cycles"),
            "expected a number of cycles above 0, got nan",
        ),
        (
            machine(PE=array(operations={"add": {"energy": "1 pJ", "source": "s"}})),
            (*PE_AT, "operations", "add"),
            "operation 'add' has no cycles: give it, or made_of",
        ),
        (
            machine(PE=array(operations={"add": {"cycles": 1, "source": "s"}})),
            (*PE_AT, "operations", "add"),
            "operation 'add' has no energy: give it, or made_of",
        ),
        (
            machine(PE=array(operations={"macc": MACC, "exp": EXP | {"cycles": 6}})),
            (*PE_AT, "operations", "exp"),
            "operation 'exp' is made of others: expected no cycles, energy or area of its own",
        ),
        (
            machine(PE=array(operations={"macc": MACC, "exp": {"made_of": {"mac": 6}, "source": "s"}})),
            PE_AT,
            "operation 'exp' is made of 'mac', which array 'PE' does not have (did you mean 'macc'?)",
        ),
        (
            machine(PE=array(operations={name: {"made_of": {made: 2}, "source": "s"} for name, made in CIRCLE})),
            PE_AT,
            "an operation cannot be made of itself, got exp -> tanh -> exp",
        ),
        (machine(PE=array(operations={})), PE_AT, "array 'PE' has no operations"),
        (
            machine(PE=array(operations={"add": ADD | {"name": "plus"}})),
            (*PE_AT, "operations"),
            "the operation 'add' has another name, 'plus'",
        ),
        (
            machine(PE=array(operations={"add": ADD | {"operators": []}})),
            (*PE_AT, "operations", "add"),
            "operation 'add' covers no operator",
        ),
        (
            machine(PE=array(drain={"along": "rows", "cycles": "row"})),
            PE_AT,
            "unknown name 'row' (did you mean 'rows'?)",
        ),
        (
            machine(PE=array(drain={"along": "rows", "cycles": "rows +"})),
            (*PE_AT, "drain", "cycles"),
            "expected a number, a name or '(', got the end at column 7 of 'rows +'",
        ),
        (
            machine(GLB=memory(parent="DRAM", size="1 KiB", depth=3, width="16 bit")),
            GLB_AT,
            "memory 'GLB' has both a size and a depth: expected one of them",
        ),
        (
            machine(GLB=memory(parent="DRAM", depth=3)),
            GLB_AT,
            "memory 'GLB' has no width: depth and width go together",
        ),
        (
            machine(GLB=memory(parent="DRAM", size="1 KiB", row=None)),
            GLB_AT,
            "memory 'GLB' has no row: expected its width, such as '64 bit'",
        ),
        (
            machine(GLB=memory(parent="DRAM", size="4 B")),
            GLB_AT,
            "memory 'GLB' is smaller than one of its rows",
        ),
        (
            machine(GLB=memory(parent="DRAM", write_energy=None)),
            GLB_AT,
            "memory 'GLB' has no write_energy: give it, or a technology",
        ),
        (
            machine(GLB=memory(parent="DRAM", technology="sram")),
            GLB_AT,
            "memory 'GLB' has a technology but no size to look up",
        ),
        (
            machine(GLB=memory(parent="DRAM", area="3")),
            (*GLB_AT, "area"),
            "expected an area such as '1 um2', got '3', which has no unit",
        ),
        (
            machine(GLB=memory(parent="DRAM", area="5 um3")),
            (*GLB_AT, "area"),
            "expected an area such as '1 um2', got '5 um3' (did you mean '5 um2'?)",
        ),
        (
            machine(GLB=memory(parent="DRAM", size="1 KiB", area="2*dept")),
            GLB_AT,
            "unknown name 'dept' (did you mean 'depth'?)",
        ),
        (
            machine(GLB=memory(parent="DRAM", size="1 KiB", area="1 - depth")),
            GLB_AT,
            "expected '1 - depth' to be a finite number of at least 0, got -127",
        ),
        (
            machine(GLB=memory()),
            ("components",),
            "expected exactly one memory without a parent, got 'DRAM' and 'GLB'",
        ),
        (
            machine(GLB=memory(parent="DRAN")),
            ("components", "GLB", "parent"),
            "unknown memory 'DRAN' (did you mean 'DRAM'?)",
        ),
        (
            machine(GLB=memory(parent="PE")),
            ("components", "GLB", "parent"),
            "expected a memory, got the array 'PE'",
        ),
        (
            machine(GLB=memory(parent="LA"), LA=memory(parent="GLB")),
            ("components", "GLB", "parent"),
            "expected a tree, got the cycle GLB -> LA -> GLB",
        ),
        (
            machine(GLB=memory(parent="GLB")),
            ("components", "GLB", "parent"),
            "expected a tree, got the cycle GLB -> GLB",
        ),
        (
            machine(PE=array(registers="RFF")),
            ("components", "PE", "registers"),
            "unknown memory 'RFF' (did you mean 'RF'?)",
        ),
        (
            machine(PE=array(registers="GLB")),
            ("components", "PE", "registers"),
            "expected a memory with per_pe_of: PE, got 'GLB' with no per_pe_of",
        ),
        (
            machine(LA=memory(parent="GLB", per_pe_of="PEE")),
            ("components", "LA", "per_pe_of"),
            "unknown array 'PEE' (did you mean 'PE'?)",
        ),
        (
            machine(GLB=memory(parent="DRAM", energy_instances=2)),
            ("components", "GLB", "energy_instances"),
            "expected 'all' or at most 1, got 2",
        ),
        (
            machine(components=[memory(name="A"), memory(name="A")]),
            ("components",),
            "two components are called 'A'",
        ),
        (
            machine(components="DRAM"),
            ("components",),
            "expected a mapping of component names to components, got 'DRAM'",
        ),
        (
            machine(components={"on-chip": memory()}),
            ("components", "on-chip", "memory", "name"),
            "expected a name of letters, digits and '_', got 'on-chip'",
        ),
    ],
)
def test_a_machine_that_cannot_be_is_refused_at_its_place(
    data: dict[str, Any], location: tuple[Any, ...], message: str
) -> None:
    assert problem(data) == (location, message)


def test_all_problems_are_reported_together() -> None:
    wrong = machine(GLB=memory(parent="DRAN"), PE=array(registers="RFF"))
    with pytest.raises(ValidationError) as refusal:
        Architecture.model_validate(wrong)
    assert [error["loc"] for error in refusal.value.errors()] == [
        ("components", "GLB", "parent"),
        ("components", "PE", "registers"),
    ]


def test_a_machine_without_a_root_is_refused() -> None:
    with pytest.raises(ValidationError) as refusal:
        Architecture.model_validate(machine(DRAM=memory(parent="GLB")))
    assert [error["msg"] for error in refusal.value.errors()] == [
        "Value error, expected exactly one memory without a parent, got none",
        "Value error, expected a tree, got the cycle DRAM -> GLB -> DRAM",
    ]


def test_an_unknown_kind_is_refused_at_its_component() -> None:
    location, message = problem(machine(GLB=memory(kind="buffer")))
    assert location == ("components", "GLB")
    assert "'buffer'" in message and "'memory'" in message and "'array'" in message


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda small: small.component("GLV"), "'small' has no component 'GLV' (did you mean 'GLB'?)"),
        (lambda small: small.memory("PE"), "expected a memory of 'small', got the array 'PE'"),
        (lambda small: small.array("GLB"), "expected an array of 'small', got the memory 'GLB'"),
        (
            lambda small: small.array("PE").operation("mac"),
            "array 'PE' has no operation 'mac' (did you mean 'macc'?)",
        ),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(ask: Any, message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        ask(Architecture.model_validate(machine()))
    assert str(refusal.value) == message


def test_energy_may_be_charged_for_fewer_instances() -> None:
    registers = machine()["components"]["RF"]
    few = Architecture.model_validate(machine(RF=registers | {"energy_instances": 3}))
    every = Architecture.model_validate(machine())
    for found, share in ((few, 3 / 32), (every, 1.0)):
        machines = Machines.of([found])
        assert machines.charged_share("RF").tolist() == [share]
        assert machines.number("RF", "read_energy").tolist() == [share * found.memory("RF").read_pj]


def test_an_operation_covers_its_own_name_unless_it_says_otherwise() -> None:
    assert Operation.model_validate(ADD | {"name": "add"}).operators == ("add",)
    assert Operation.model_validate(MACC | {"name": "macc"}).coverages == (("mul", "add"), ("mul",))


def test_a_width_may_differ_from_the_row() -> None:
    wide = Memory.model_validate(memory(name="M", depth=4, width="16 bit", row="32 bit"))
    assert (wide.size_bits, wide.row_bits, wide.depth) == (64, 32, 4)
