"""Workloads as reports write them: a model and a length."""

Workload = tuple[str, int]


def length_label(length: int) -> str:
    """16384 as 16K, 1048576 as 1M."""
    for unit, factor in (("M", 2**20), ("K", 2**10)):
        if length >= factor and length % factor == 0:
            return f"{length // factor}{unit}"
    return str(length)
