"""Which nouns are possible at a place inside a noun: the traversal of pydantic fields for error messages."""

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, Tag
from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class Member:
    """A noun as a member of a union, with the tag under which the union knows it, if it has one."""

    noun: type[BaseModel]
    tag: str | None = None

    @property
    def fields(self) -> dict[str, FieldInfo]:
        """The noun's fields; a noun that holds itself by name is completed first."""
        self.noun.model_rebuild(raise_errors=False)
        return self.noun.model_fields

    def answers_to(self, label: str) -> bool:
        """Whether pydantic calls this member `label` in the location of an error."""
        if label in (self.tag, self.noun.__name__):
            return True
        annotations = (field.annotation for field in self.fields.values())
        return any(get_origin(a) is Literal and label in get_args(a) for a in annotations)


def members_of(annotation: Any, tag: str | None = None) -> tuple[Member, ...]:
    """Every noun in an annotation, through unions, tuples and metadata, without entering the nouns."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (Member(annotation, tag),)
    if get_origin(annotation) is Literal:
        return ()
    arguments = get_args(annotation)
    tags = [argument.tag for argument in arguments if isinstance(argument, Tag)]
    found = (member for argument in arguments for member in members_of(argument, tags[0] if tags else tag))
    return tuple(dict.fromkeys(found))


def narrow(members: tuple[Member, ...], label: str) -> tuple[Member, ...]:
    """The members of a union that `label` names."""
    return tuple(member for member in members if member.answers_to(label))


def step_into(members: tuple[Member, ...], key: str) -> tuple[Member, ...] | None:
    """The nouns that are possible under `key`; None if no member has such a field."""
    fields = [field for member in members for name, field in member.fields.items() if key in (field.alias, name)]
    if not fields:
        return None
    inner = (member for field in fields for member in members_of(field.annotation))
    return tuple(dict.fromkeys(inner))


def field_names(members: tuple[Member, ...]) -> tuple[str, ...]:
    """The keys that a file may use for one of these nouns."""
    names = (field.alias or name for member in members for name, field in member.fields.items())
    return tuple(dict.fromkeys(names))
