"""Commands that are loaded when they run, so that each loads only what it needs, and listing them loads nothing.

The command NAME is the function `NAME_command` of `sim.commands.NAME`; `SETTINGS` of that module, if present, are the
arguments of `Typer.command`.
"""

import ast
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

PLAIN: Any = {"add_completion": False, "pretty_exceptions_enable": False, "rich_markup_mode": None}

HELP: Any = {"context_settings": {"help_option_names": ["-h", "--help"]}}


class LateCommand(TyperCommand):
    """Stands in for a command until it runs or shows its own help."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        assert self.name is not None, "commands are registered by name"
        return load_command(self.name).make_context(info_name, args, parent, **extra)

    def get_short_help_str(self, limit: int = 45) -> str:
        assert self.name is not None, "commands are registered by name"
        self.help = help_of(self.name)
        return super().get_short_help_str(limit)


def load_command(name: str) -> Any:
    """The actual command, made by typer from its function."""
    module = import_module(f"sim.commands.{name}")
    alone = typer.Typer(**PLAIN)
    alone.command(name, **{**HELP, **getattr(module, "SETTINGS", {})})(getattr(module, f"{name}_command"))
    return typer.main.get_command(alone)


def help_of(name: str) -> str:
    """The docstring of a command's function, read without loading what its module imports."""
    module = ast.parse((Path(__file__).parent / f"{name}.py").read_text("utf-8"))
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef)]
    return cleandoc(next(ast.get_docstring(node) or "" for node in functions if node.name == f"{name}_command"))
