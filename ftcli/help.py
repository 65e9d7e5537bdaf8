"""Help, printed from the declarations of the options themselves.

Typer would print the same from the same declarations; it takes three times as long, most of it for imports.
"""

from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.models import ArgumentInfo, OptionInfo

from ftcli.config import COMMANDS, Common
from ftcli.declare import PANELS

ABOUT = "Robust fine-tuning of vision models: keep the accuracy out of distribution."
ARGUMENTS = "Arguments"  # they have no panel and come first
HELP = ("--help", "-h")
LEAST_VALUE = 16  # characters for what is typed after an option; longer choices are folded
FIRST = ("--train", "--checkpoint")  # what a newcomer looks for stands at the top of its panel


@dataclass(frozen=True)
class Row:
    """One option or argument: how it is typed, what it does, what stands for it when it is not typed."""

    panel: str
    name: str  # "--lr", or an argument's metavar
    value: str  # "A,B,…", "train|eval", or "" for a flag
    help: str
    default: str


def rows(options: type[Common]) -> Iterator[Row]:
    """Every option and argument of a command, in the order of their declarations."""
    hints = get_type_hints(options, include_extras=True)
    for field in fields(options):
        kind, declared = get_args(hints[field.name])[:2]
        if isinstance(declared, ArgumentInfo):
            yield Row(ARGUMENTS, str(declared.metavar), "", str(declared.help), default_of(field, declared))
            continue
        words = str(declared.help).removesuffix(".") + limits(declared) + "."
        panel, name = str(declared.rich_help_panel), name_of(field, declared)
        yield Row(panel, name, value_of(kind, declared), words, default_of(field, declared))


def name_of(field: "Field[Any]", declared: OptionInfo) -> str:
    """The option as typed. Inside `Annotated`, a name that is given stands where Typer otherwise has the default."""
    given = [name for name in (declared.default, *(declared.param_decls or ())) if str(name).startswith("--")]
    return str(given[0]) if given else f"--{field.name.replace('_', '-')}"


def value_of(kind: Any, declared: OptionInfo) -> str:
    """What is typed after an option's name: its choices, its metavar, or nothing."""
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    return "" if kind is bool else str(declared.metavar)


def limits(declared: OptionInfo) -> str:
    """The range that a number must keep to, in words."""
    bounds = (("at least", declared.min), ("at most", declared.max))
    return "".join(f"; {word} {bound:g}" for word, bound in bounds if bound is not None)


def default_of(field: "Field[Any]", declared: OptionInfo | ArgumentInfo) -> str:
    """The default in words where the declaration has some, else the value itself."""
    if field.default is MISSING:
        return "required"
    if isinstance(declared.show_default, str):
        return declared.show_default
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default)


def asks_for_help(words: Sequence[str]) -> bool:
    """Whether the words are those of somebody who wants to read: none at all, or --help among them."""
    return not words or any(word in HELP for word in words)


def print_help(words: Sequence[str]) -> None:
    """The page of the command that is named first among the words, or of the program."""
    console = Console(highlight=False, markup=False, emoji=False)
    command = next((word for word in words if word in COMMANDS), None)
    if command is None:
        print_program(console)
        return
    found = list(rows(COMMANDS[command].options))
    arguments = "".join(f" {row.name}" for row in found if row.panel == ARGUMENTS)
    console.print(f"Usage: ftcli {command} [OPTIONS]{arguments}\n\n{COMMANDS[command].help}\n")
    named = max(len(row.name) for row in found)
    typed = max(len(row.value) for row in found)
    for panel in (ARGUMENTS, *PANELS):
        entries = [row for row in found if row.panel == panel]
        entries.sort(key=lambda row: row.name not in FIRST)
        if entries:
            console.print(panel_table(panel, entries, named, min(typed, max(LEAST_VALUE, console.width // 5))))


def panel_table(panel: str, entries: Sequence[Row], named: int, typed: int) -> Table:
    """One panel: the option, what is typed after it, what it means and what holds without it."""
    table = new_panel(panel)
    table.add_column(no_wrap=True, min_width=named, style="bold cyan")
    table.add_column(overflow="fold", min_width=min(typed, LEAST_VALUE), max_width=typed, style="yellow")
    table.add_column(overflow="fold", ratio=1)
    for row in entries:
        words = Text.assemble(
            row.help, " ", (f"[default: {row.default}]" if row.default != "required" else "[required]", "dim")
        )
        table.add_row(Text(row.name), Text(row.value.replace("|", " | ")), words)
    return table


def print_program(console: Console) -> None:
    """The commands, by panel."""
    console.print(f"Usage: ftcli COMMAND [OPTIONS]\n\n{ABOUT}\n")
    for panel in dict.fromkeys(row.panel for row in COMMANDS.values()):
        table = new_panel(panel)
        table.add_column(no_wrap=True, min_width=max(map(len, COMMANDS)), style="bold cyan")
        table.add_column(overflow="fold", ratio=1)
        for name, row in COMMANDS.items():
            if row.panel == panel:
                table.add_row(name, row.help)
        console.print(table)
    console.print("ftcli COMMAND --help shows the options of one; ftcli --version the version.")
    console.print("ftcli --install-completion teaches your shell (bash, zsh, fish) to complete;")
    console.print("ftcli --show-completion prints the script that it would install.")


def new_panel(title: str) -> Table:
    return Table(title=title, title_style="bold", title_justify="left", box=box.ROUNDED, show_header=False, expand=True)
