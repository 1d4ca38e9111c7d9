"""Checks of the arguments of operators before anything is launched; each error is one sentence.

A kernel trusts its launcher: a shape, a length or a stride that does not fit would make it read or write outside a
tensor. Operators therefore declare their arguments in the notation of the cascades, `q[B,H,Nq,D] k[B,Hkv,Nk,D]`, and
`bind_ranks` checks tensors against it. Numbers inside tensors (page numbers, lists of blocks) are treated differently,
because reading them back from an accelerator would stall every call. Kernels do not trust those: pages or blocks that
do not exist are not read, and the rows concerned become NaN. `is_read` decides when they are also checked here.
"""

import re
from typing import Literal

import torch
from torch import Tensor

from kernels.plans.problems import require
from kernels.records import QKV

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
INTEGERS = (torch.int32, torch.int64)
PATTERN = re.compile(r"(\w+)\[([^\]]*)\](:int)?")
# `host`: numbers in tensors on the CPU are checked; `device`: also those on an accelerator, at the cost of a wait.
Check = Literal["host", "device"]
CHECKS = ("host", "device")


def bind_ranks(text: str, *tensors: Tensor | None) -> dict[str, int]:
    """The size of each rank named in `text`, checked against one tensor per pattern.

    `x[...,N]` has any ranks before N, `a[G,6]` a rank of 6, `table[B,P]:int` holds int32 or int64, the others
    floating-point numbers; None stands for an omitted tensor. All must be dense and on one device. TypeError for
    anything but such a tensor, ValueError for a wrong shape or device.
    """
    sizes: dict[str, int] = {}
    origins: dict[str, str] = {}
    first: tuple[str, Tensor] | None = None
    for (name, ranks, kind), x in zip(PATTERN.findall(text), tensors, strict=True):
        if x is None:
            continue
        _check_kind(name, x, INTEGERS if kind else FLOATS)
        first = first or (name, x)
        if x.device != first[1].device:
            raise ValueError(f"expected {name} on {first[1].device} as {first[0]} is, got {x.device}")
        _bind(name, ranks.split(","), x, sizes, origins)
    return sizes


def _check_kind(name: str, x: object, dtypes: tuple[torch.dtype, ...]) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"expected a tensor for {name}, got {type(x).__name__}")
    if x.layout != torch.strided:
        raise TypeError(f"expected a dense tensor for {name}, got {x.layout}")
    if x.dtype not in dtypes:
        *most, last = (str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise TypeError(f"expected {name} of {', '.join(most)} or {last}, got {x.dtype}")


def _bind(name: str, ranks: list[str], x: Tensor, sizes: dict[str, int], origins: dict[str, str]) -> None:
    is_open = ranks[0] == "..."
    named = ranks[1:] if is_open else ranks
    shown = f"{name}[{', '.join(ranks)}]"
    if x.dim() < len(named) or (x.dim() > len(named) and not is_open):
        raise ValueError(f"expected {shown}, got shape {tuple(x.shape)}")
    given = x.shape[x.dim() - len(named) :]
    broken = []
    for rank, size in zip(named, given, strict=True):
        expected = int(rank) if rank.isdigit() else sizes.setdefault(rank, size)
        origins.setdefault(rank, name)
        if size != expected:
            broken.append("" if rank.isdigit() else f"{rank} = {expected} as in {origins[rank]}")
    if broken:
        reason = " and ".join(filter(None, broken))
        raise ValueError(f"expected {shown}{reason and ' with ' + reason}, got shape {tuple(x.shape)}")


def require_one_dtype(names: str, *tensors: Tensor) -> None:
    """TypeError if the operands of a product differ in dtype, as with torch's own products."""
    if len({x.dtype for x in tensors}) > 1:
        *most, last = names.split()
        found = [str(x.dtype).removeprefix("torch.") for x in tensors]
        raise TypeError(
            f"{', '.join(most)} and {last} must have one dtype, got {', '.join(found[:-1])} and {found[-1]}"
        )


def require_groups(heads: int, kv_heads: int) -> None:
    require(
        kv_heads > 0 and heads % kv_heads == 0,
        f"query heads must be a multiple of key-value heads, got {heads} and {kv_heads}",
    )


def check_linear(qkv: QKV, state: Tensor | None) -> None:
    """Check linear attention's q, k, v and the state before the first token."""
    bind_ranks("q[B,H,T,D] k[B,H,T,D] v[B,H,T,Dv] state[B,H,D,Dv]", *qkv, state)
    require_one_dtype("q k v", *qkv)


def check_gate(q: Tensor, gate: Tensor) -> None:
    """Log gates, one per head or per key channel."""
    is_wide = isinstance(gate, Tensor) and gate.dim() == 4
    bind_ranks("q[B,H,T,D] gate[B,H,T,D]" if is_wide else "q[B,H,T,D] gate[B,H,T]", q, gate)


def whole_numbers(name: str, values: object) -> tuple[int, ...]:
    """A sequence of lengths as integers from 0 to 2^30; TypeError for anything else."""
    if isinstance(values, Tensor):
        raise TypeError(f"{name} must be numbers on the host, got a tensor; its tolist() gives them")
    if not isinstance(values, tuple | list) or not all(isinstance(n, int) for n in values):
        raise TypeError(f"{name} must be a tuple of whole numbers, got {values!r}")
    require(all(0 <= n <= 1 << 30 for n in values), f"{name} must be from 0 to 2^30, got {tuple(values)}")
    return tuple(values)


def is_read(x: Tensor, check: Check) -> bool:
    """Whether numbers in a tensor are checked: always on the CPU, elsewhere only on request."""
    return x.device.type == "cpu" or check == "device"


def require_check(check: str) -> None:
    require(check in CHECKS, f"check must be 'host' or 'device', got '{check}'")


def check_numbers(name: str, x: Tensor, limit: int, counted: Tensor, what: str) -> None:
    """ValueError names the first valid entry of x outside 0 to limit - 1; `what` is what the entries number."""
    broken = (counted & ((x < 0) | (x >= limit))).nonzero()
    if broken.numel():
        place = tuple(broken[0].tolist())
        expected = f"from 0 to {limit - 1}" if limit else "none, for there are none"
        raise ValueError(f"{name}{list(place)} is {what} {int(x[place])}, expected {expected}")


def to_int32(x: Tensor, device: torch.device) -> Tensor:
    """As contiguous int32; values that int32 cannot hold stay out of range."""
    if x.dtype == torch.int64:
        x = x.clamp(-1, (1 << 31) - 1)
    return x.to(device=device, dtype=torch.int32).contiguous()


def in_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Operands of products in the precision of torch's own products: the lower one under autocast, except for fp64."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    lower = torch.get_autocast_dtype(device)
    return tuple(x if x.dtype == torch.float64 else x.to(lower) for x in tensors)


def out_of_autocast(x: Tensor) -> Tensor:
    """An operand of softmax or a norm: in fp32 under autocast on a GPU, like torch's own, otherwise unchanged."""
    is_widened = x.is_cuda and torch.is_autocast_enabled("cuda") and x.element_size() < 4
    return x.float() if is_widened else x
