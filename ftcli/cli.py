"""The command line: one Typer command per row of `config.COMMANDS`, and how every command ends.

Nothing heavy is imported here; a command's own module is imported when it runs, so that `--help` answers at once.
"""

import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Annotated

import typer

from ftcli import __version__
from ftcli.config import COMMANDS, Common
from ftcli.errors import FtcliError
from ftcli.options import command_of
from ftcli.text import printable

app = typer.Typer(
    name="ftcli",
    help="Robust fine-tuning of vision models: keep the accuracy out of distribution.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)


def show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ftcli {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and stop.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    """Robust fine-tuning of vision models: keep the accuracy out of distribution."""


def runner(target: str) -> Callable[[Common], None]:
    """A function that imports "module:function" and runs it on a configuration, once that is there."""

    def run(config: Common) -> None:
        module, function = target.split(":")
        try:
            getattr(import_module(module), function)(config)
        except Exception as error:
            if config.debug:
                traceback.print_exc()
            raise typer.Exit(explain(error)) from None

    return run


def explain(error: BaseException) -> int:
    """One plain message on stderr for whatever ended a command; gives the exit code."""
    if isinstance(error, typer.Exit):
        return int(error.exit_code)
    if isinstance(error, BrokenPipeError):  # the reader of our output went away: nobody is left to tell
        sys.stderr.close()
        return 1
    if isinstance(error, FtcliError):
        problem, fix, code = error.problem, error.fix, error.exit_code
    elif isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        problem, fix, code = f"out of memory: {first_line(error)}", "try a smaller --batch-size", 1
    elif isinstance(error, OSError):
        problem, fix, code = f"{error.strerror or first_line(error)}: {error.filename or ''}".rstrip(": "), "", 1
    else:
        problem, fix, code = f"{type(error).__name__}: {first_line(error)}", "--debug shows where; please report it", 1
    print(f"error: {printable(problem)}", file=sys.stderr)
    if fix:
        print(f"  try: {printable(fix)}", file=sys.stderr)
    return code


def first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


for name, row in COMMANDS.items():
    app.command(name, rich_help_panel=row.panel)(command_of(row.options, runner(row.runs), name, row.help))


def main() -> None:
    """Entry point of `ftcli` and of `python -m ftcli`."""
    try:
        app(standalone_mode=True)
    except FtcliError as error:  # raised while the options themselves were read
        sys.exit(explain(error))


if __name__ == "__main__":
    main()
