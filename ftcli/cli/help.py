"""Help, printed from the declarations of the options themselves.

Typer would print the same from the same declarations; it takes three times as long, most of it for imports.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from rich import box
from rich.table import Table
from rich.text import Text
from typer.models import ArgumentInfo, OptionInfo

from ftcli.commands import COMMANDS, options_class
from ftcli.config.declare import PANELS
from ftcli.config.files.machine import VARIABLES
from ftcli.config.shared import Common
from ftcli.console.streams import Console
from ftcli.errors import RequestError, choose

ABOUT = "Fine-tune vision models, and measure their accuracy out of distribution."
ARGUMENTS = "Arguments"  # they have no panel and come first
HELP, VERSION = ("--help", "-h"), ("--version", "-V")
REQUIRED, NEEDED = "required", "needed"  # in the place of a default: by the parser, and by the command
TAKEN_BACK = "--no-… undoes a flag that a file sets, as in --no-overwrite; --cache undoes --no-cache."
MACHINE_DEFAULTS = (
    f"{', '.join(VARIABLES.values())} and the file ~/.config/ftcli/ftcli.toml set defaults of the machine."
)
LEAST_VALUE = 16  # characters for what is typed after an option; longer choices are folded
FIRST = ("--train", "--checkpoint")  # what a newcomer looks for stands at the top of its panel


@dataclass(frozen=True)
class Row:
    """One option or argument: how it is typed, what it does, what stands for it when it is not typed."""

    panel: str
    name: str  # "--lr", or an argument's metavar
    short: str  # "-o", or "" where there is none
    value: str  # "A,B,…", "train|eval", or "" for a flag
    help: str
    default: str


def rows(options: type[Common]) -> Iterator[Row]:
    """Every option and argument of a command, in the order of their declarations."""
    hints = get_type_hints(options, include_extras=True)
    for field in fields(options):
        kind, declared = get_args(hints[field.name])[:2]
        if isinstance(declared, ArgumentInfo):
            yield Row(ARGUMENTS, str(declared.metavar), "", "", str(declared.help), default_of(field, declared))
            continue
        words = str(declared.help).removesuffix(".") + limits(declared) + "."
        panel, name = str(declared.rich_help_panel), name_of(field, declared)
        short = next((one for one in names_of(declared) if not one.startswith("--")), "")
        yield Row(panel, name, short, value_of(kind, declared), words, default_of(field, declared))


def name_of(field: "Field[Any]", declared: OptionInfo) -> str:
    """The option as typed, of a flag the word that sets it."""
    given = [name for name in names_of(declared) if name.startswith("--")]
    return given[0].split("/")[0] if given else f"--{field.name.replace('_', '-')}"


def opposite_of(declared: OptionInfo) -> str:
    """The word that takes a flag back."""
    return next(name for name in names_of(declared) if "/" in name).split("/")[1]


def names_of(declared: OptionInfo) -> list[str]:
    """The names that are given. Inside `Annotated` the first stands where Typer otherwise has the default."""
    return [name for name in map(str, (declared.default, *(declared.param_decls or ()))) if name.startswith("-")]


def value_of(kind: Any, declared: OptionInfo) -> str:
    """What is typed after an option's name: its choices, its metavar, or nothing."""
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    return "" if kind is bool else str(declared.metavar)


def limits(declared: OptionInfo) -> str:
    """The range that a number must keep to, in words."""
    bounds = (("at least", declared.min), ("at most", declared.max))
    return "".join(f"; {word} {plain(bound)}" for word, bound in bounds if bound is not None)


def default_of(field: "Field[Any]", declared: OptionInfo | ArgumentInfo) -> str:
    """The default in words where the declaration has some, else the value itself."""
    if field.default is MISSING:
        return REQUIRED
    if isinstance(declared.show_default, str):
        return declared.show_default
    return "the method's" if field.default is None else plain(field.default)


def plain(value: Any) -> str:
    """A value as it would be typed."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def options_among(words: Sequence[str]) -> Sequence[str]:
    """The words before "--", behind which nothing is an option."""
    return words[: words.index("--")] if "--" in words else words


def asks_for_help(words: Sequence[str]) -> bool:
    """Whether the words are those of somebody who wants to read: none at all, `help` first, or --help among them."""
    return not words or words[0] == "help" or any(word in HELP for word in options_among(words))


def named_command(words: Sequence[str]) -> str | None:
    """The command that is named first among the words of somebody who wants to read; None where there is none.

    Raises RequestError for a command that there is not.
    """
    named = [word for word in words if not word.startswith("-")]
    named = named[1:] if named[:1] == ["help"] else named
    command = next((word for word in named if word in COMMANDS), None)
    if command is None and named:
        raise RequestError(f"there is no command {named[0]!r}.", choose(named[0], COMMANDS))
    return command


def new_console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


def print_help(words: Sequence[str]) -> None:
    """The whole page of the command that is named first among the words, or of the program.

    Raises RequestError for a command that there is not.
    """
    console = new_console()
    command = named_command(words)
    if command is None:
        print_program(console)
        return
    found = list(rows(options_class(command)))
    console.print(usage(command, found))
    for panel in (ARGUMENTS, *PANELS):
        entries = [row for row in found if row.panel == panel]
        entries.sort(key=lambda row: row.name not in FIRST)
        if entries:
            console.print(panel_table(panel, entries, *typed_width(found, console.width)))
    console.print(TAKEN_BACK)
    if any(row.name in (f"--{name}" for name in VARIABLES) for row in found):
        console.print(MACHINE_DEFAULTS)


def usage(command: str, found: Sequence[Row]) -> str:
    """How a command is typed, and what it does. found: its options and arguments."""
    arguments = "".join(
        f" {row.name}" if row.default == REQUIRED else f" [{row.name}]" for row in found if row.panel == ARGUMENTS
    )
    return f"Usage: ftcli {command} [OPTIONS]{arguments}\n\n{COMMANDS[command].help}\n"


def typed_width(entries: Sequence[Row], width: int) -> tuple[int, int]:
    """The widths of the columns of names and of values, on a page of `width` characters."""
    typed = max(len(row.value) for row in entries)
    return max(len(names_shown(row)) for row in entries), min(typed, max(LEAST_VALUE, width // 5))


def panel_table(panel: str, entries: Sequence[Row], named: int, typed: int) -> Table:
    """One panel: the option, what is typed after it, what it means and what holds without it."""
    table = new_panel(panel)
    table.add_column(no_wrap=True, min_width=named, style="bold cyan")
    table.add_column(overflow="fold", min_width=min(typed, LEAST_VALUE), max_width=typed, style="yellow")
    table.add_column(overflow="fold", ratio=1)
    for row in entries:
        plainly = row.default == REQUIRED or row.default.startswith(NEEDED)
        words = Text.assemble(row.help, " ", (f"[{'' if plainly else 'default: '}{row.default}]", "dim"))
        table.add_row(Text(names_shown(row)), Text(row.value.replace("|", " | ")), words)
    return table


def names_shown(row: Row) -> str:
    return f"{row.name} {row.short}" if row.short else row.name


def print_program(console: Console) -> None:
    """The commands, by panel."""
    console.print(f"Usage: ftcli COMMAND [OPTIONS]\n\n{ABOUT}\n")
    for panel in dict.fromkeys(row.panel for row in COMMANDS.values()):
        console.print(command_table(panel, {name: row.help for name, row in COMMANDS.items() if row.panel == panel}))
    console.print("ftcli COMMAND -h shows examples and the commonest options of a command, ftcli COMMAND --help all")
    console.print("of them; ftcli --version (-V) shows the version.")
    console.print("ftcli --install-completion installs completion for bash, zsh or fish;")
    console.print("ftcli --show-completion prints the script that it would install.")


def command_table(title: str, commands: Mapping[str, str]) -> Table:
    """Commands, and what each does."""
    table = new_panel(title)
    table.add_column(no_wrap=True, min_width=max(map(len, COMMANDS)), style="bold cyan")
    table.add_column(overflow="fold", ratio=1)
    for name, words in commands.items():
        table.add_row(name, words)
    return table


def new_panel(title: str) -> Table:
    return Table(title=title, title_style="bold", title_justify="left", box=box.ROUNDED, show_header=False, expand=True)
