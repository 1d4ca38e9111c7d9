"""Names of derived tensors, as in the literature: LM local, RM running, SLN a local summand, PRM a correction."""

_PREFIXES = ("G", "S")  # global, sum


def stem_of(name: str) -> str:
    """GM and SD without their first letter; any other name unchanged."""
    if len(name) > 1 and name[0] in _PREFIXES and name[1].isupper():
        return name[1:]
    return name


def local_name(name: str, reducer: str) -> str:
    """GM gives LM, SD gives SLD."""
    return ("L" if reducer in ("max", "min") else "SL") + stem_of(name)


def element_name(name: str) -> str:
    """SN gives SLN."""
    return f"{name[0]}L{name[1:]}"
