"""Compiles launches for GPUs that are not there, and reads what the compiler made: run as a program, it prints JSON.

    python tests/kernel_compiling.py sm90 attention-full-d128-bf16 ...

Must run without TRITON_INTERPRET. A launch is compiled from the launcher's own record, with the specialisation that the
launcher would get: integers equal to one are constants, pointers and integers divisible by 16 are marked so.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.compiler import ASTSource

TYPE_BY_DTYPE = {
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.int32: "*i32",
    torch.int64: "*i64",
}
CAPABILITIES = {"sm80": 80, "sm90": 90}


class Signature:
    """Types, constants and divisibility of arguments, nested as the arguments are."""

    def __init__(self, names: list[str], arguments: dict[str, Any], constants: dict[str, Any]) -> None:
        self.constants: dict[tuple[int, ...], Any] = {}
        self.attributes: dict[tuple[int, ...], list[list[Any]]] = {}
        self.types: dict[str, Any] = {}
        for position, name in enumerate(names):
            if name in constants:
                self.types[name] = "constexpr"
                self.constants[(position,)] = constants[name]
            else:
                self.types[name] = self.type_of(arguments[name], (position,))

    def type_of(self, value: Any, path: tuple[int, ...]) -> Any:
        if isinstance(value, tuple):
            parts = [self.type_of(part, (*path, i)) for i, part in enumerate(value)]
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        if isinstance(value, torch.Tensor):
            self.attributes[path] = [["tt.divisibility", 16]]
            return TYPE_BY_DTYPE[value.dtype]
        if isinstance(value, float):
            return "fp32"
        assert isinstance(value, int), value
        if value == 1:
            self.constants[path] = 1
            return "constexpr"
        if value % 16 == 0:
            self.attributes[path] = [["tt.divisibility", 16]]
        return "i32" if -(2**31) <= value < 2**31 else "i64"


def compile_launch(launch: Any, architecture: str) -> dict[str, Any]:
    """Shared memory, registers, stack, spills and counts of the instructions that matter."""
    signature = Signature(launch.kernel.arg_names, launch.arguments, launch.constants)
    source = ASTSource(launch.kernel, signature.types, signature.constants, signature.attributes)
    cut = launch.plan.configuration
    compiled = triton.compile(
        source,
        target=GPUTarget("cuda", CAPABILITIES[architecture], 32),
        options={"num_warps": cut.warps, "num_stages": cut.stages},
    )
    return {
        "shared_bytes": compiled.metadata.shared,
        "planned_shared_bytes": launch.plan.shared_bytes,
        "limit_bytes": launch.plan.target.shared_bytes_per_cta,
        "is_specialised": cut.is_specialised,
        "uses_tma": cut.uses_tma,
        "planned_registers": cut.registers,
        "blocks": [cut.block_m, cut.block_n],
        "warps": cut.warps,
        **read_code(compiled.asm["cubin"]),
    }


def read_code(cubin: bytes) -> dict[str, Any]:
    folder = Path(get_ptxas(90).path).parent
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage = run([str(folder / "cuobjdump"), "-res-usage", file.name])
        text = run([str(folder / "nvdisasm"), "-c", file.name])
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    assert found, usage
    operations = re.findall(r"^\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]+)", text, re.MULTILINE)
    names = ("HGMMA", "HMMA", "UTMALDG", "USETMAXREG", "LDL", "STL", "MUFU.EX2", "LDGSTS", "FFMA")
    counts = {name: sum(op == name or op.startswith(name + ".") for op in operations) for name in names}
    return {"registers": int(found[1]), "stack_bytes": int(found[2]), "counts": counts}


def run(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> None:
    from tests.kernel_launches import LAUNCHES

    architecture, *names = sys.argv[1:]
    results = {name: [compile_launch(x, architecture) for x in LAUNCHES[name](architecture)] for name in names}
    json.dump(results, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
