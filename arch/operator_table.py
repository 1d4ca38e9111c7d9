"""Tables of operations that several machines share: what a vector unit computes from its basic slots.

An array that names such a table has its operations besides its own, and its own come first: a machine with a divider
keeps it. A row made of others takes them from the array or, where the array has none, from the table, so that a sigmoid
costs what an exponential costs there.
"""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, TypeAdapter

from arch.fields import validated_by_name
from arch.operation import FROZEN, Operation

OperationsByName = Annotated[
    tuple[Operation, ...], BeforeValidator(validated_by_name(TypeAdapter(dict[str, Operation]), "operation"))
]


class OperatorTable(BaseModel):
    """Operations by name, each with the source of its cost."""

    model_config = FROZEN

    name: str
    description: str = ""
    operations: OperationsByName
    source: str
