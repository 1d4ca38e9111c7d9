"""Second derivatives of operators: by torch's autograd through the reference of their gradients.

First derivatives come from kernels. Second derivatives are rare and of small tensors, so the closed formulas of
`kernels.reference` are recomputed in the precision of the reference and differentiated by autograd.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def gradients_of(
    reference: Callable[..., tuple[Tensor | None, ...]], inputs: Sequence[Tensor], gradients: Sequence[Tensor | None]
) -> tuple[Tensor | None, ...]:
    """For each input the gradient of the reference's outputs, or None if it needs none.

    One input may be computed from another, as dO is from q if a loss is squared, but partial derivatives are required.
    Each input is therefore taken through its own view. If a third derivative is requested, autograd goes through these.
    """
    is_kept = torch.is_grad_enabled()
    with torch.enable_grad():
        views = [x.view_as(x) for x in inputs]
        outputs = reference(*views)
        pairs = [
            (output, gradient.to(output.dtype))
            for output, gradient in zip(outputs, gradients, strict=False)
            if output is not None and gradient is not None and output.requires_grad
        ]
        wanted = [x for x in views if x.requires_grad]
        if not pairs or not wanted:
            return (None,) * len(inputs)
        found = torch.autograd.grad(
            [output for output, _ in pairs],
            wanted,
            [gradient for _, gradient in pairs],
            create_graph=is_kept,
            allow_unused=True,
        )
    by_place = iter(found)
    return tuple(next(by_place) if x.requires_grad else None for x in views)
