"""Runs operators on arrays from a file, in a separate process: python -m kernels.cascade_process REQUEST RESULT.

Triton decides between its interpreter and a GPU when it is first imported, so the caller sets TRITON_INTERPRET=1 for
this process alone if there is no GPU. REQUEST is an .npz of inputs named `SET/TENSOR` and a JSON text `request`:
{cascade, operators: [name, ...], dtype, axes: {tensor: [rank, ...]}, sizes: {rank: size}, sets: [name, ...],
kernels: [operator, ...], kernel_sets: [name, ...]}. RESULT holds `SET/KIND/OPERATOR`, the result with axes as the
operator has them: KIND is `exact` (reference in fp64), `reference` (in dtype) or `kernel`. A request {einsums: [...]}
is for single Einsums in the form of `kernels.elementwise`: RESULT holds their results by name.
"""

import json
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernels.cascades import Operand, operators_of
from kernels.elementwise import run_einsums

DTYPES = {"fp64": torch.float64, "fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def run_request(arrays: dict[str, np.ndarray], request: dict[str, Any]) -> dict[str, np.ndarray]:
    """All results of a request; `device` is where kernels ran."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = DTYPES[request["dtype"]]
    results: dict[str, np.ndarray] = {"device": np.array(device)}
    for name in request["sets"]:
        for operator in (one for one in operators_of(request["cascade"]) if one.name in request["operators"]):
            given = [_operand(arrays, name, request["axes"], one) for one in operator.operands]
            sizes = [request["sizes"][rank] for rank in operator.sizes]
            results[f"{name}/exact/{operator.name}"] = _array(operator.reference(*given, *sizes))
            typed = [x.to(dtype).to(device) for x in given]
            results[f"{name}/reference/{operator.name}"] = _array(operator.reference(*typed, *sizes))
            wanted = operator.name in request["kernels"] and name in request["kernel_sets"]
            if operator.kernel is not None and wanted:
                results[f"{name}/kernel/{operator.name}"] = _array(operator.kernel(*typed, *sizes))
    return results


def _operand(arrays: dict[str, np.ndarray], name: str, axes: dict[str, list[str]], operand: Operand) -> Tensor:
    """A tensor of the cascade with its axes in the operator's order, in fp64."""
    ranks = axes[operand.tensor]
    array = np.asarray(arrays[f"{name}/{operand.tensor}"], dtype=np.float64)
    return torch.from_numpy(np.ascontiguousarray(array.transpose([ranks.index(rank) for rank in operand.ranks])))


def _array(result: Tensor) -> np.ndarray:
    return result.detach().to("cpu").double().numpy()


def main() -> None:
    source, target = sys.argv[1:]
    with np.load(source) as loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    request = json.loads(str(arrays.pop("request")))
    results = run_einsums(arrays, request["einsums"]) if "einsums" in request else run_request(arrays, request)
    np.savez(target, allow_pickle=False, **results)


if __name__ == "__main__":
    main()
