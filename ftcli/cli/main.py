"""The command line: one Typer command per row of the registry, and how every command ends.

Nothing heavy is imported here; a command's own module is imported when it runs, so that `--help` answers at once.
"""

import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

import typer

from ftcli import __version__
from ftcli.cli.help import ABOUT, VERSION, asks_for_help, options_among, print_help, rows
from ftcli.cli.short_help import asks_for_short_help, print_short_help
from ftcli.commands import COMMANDS, import_named, options_class
from ftcli.config.machine import from_machine
from ftcli.config.shared import Common
from ftcli.console import streams
from ftcli.console.status import status_line
from ftcli.errors import INTERRUPTED, TERMINATED, FtcliError, RequestError, Stopped, ran_out_of_memory, suggest
from ftcli.limits import MAX_MESSAGE
from ftcli.processes import command_line, process_count, process_index
from ftcli.safe_text import printable, reason, shortened

NAME = "ftcli"
COMPLETION = "_FTCLI_COMPLETE"  # set by a shell that asks how a line could go on
OTHERS_WAIT = 5  # seconds
QUIET = ("--quiet", "-q")
RETYPE = "type the same command again"


def build_app(
    make_run: Callable[[str], Callable[[Common], None]] | None = None, commands: Collection[str] = COMMANDS
) -> typer.Typer:
    """The Typer program. make_run: from "module:function" to what is run on the options. commands: those to build;
    all of them take a fifth of a second.
    """
    from ftcli.cli.options import command_class, command_of  # here, because `--help` needs none of it

    app = typer.Typer(name=NAME, help=ABOUT, pretty_exceptions_enable=False)
    app.callback()(lambda: None)  # so that a single command is typed with its name too
    for name in commands:
        row = COMMANDS[name]
        run = (make_run or runner)(row.function)
        app.command(name, cls=command_class(options_class(name)), rich_help_panel=row.panel)(
            command_of(options_class(name), run, name, row.help)
        )
    return app


def configuration_of(words: Sequence[str]) -> Common:
    """The options of a command line, the command first, checked and not carried out. Raises RequestError."""
    found: list[Common] = []
    try:
        build_app(lambda _: found.append, [words[0]])(list(words), standalone_mode=False)
    except typer.TyperException as error:
        raise request_error(error, words) from None
    return found[0]


def runner(function: str, when_imported: Callable[[], None] = lambda: None) -> Callable[[Common], None]:
    """A function that imports "module:function", runs it on a command's options and prints the answer."""

    def run(config: Common) -> None:
        try:
            try:
                command = import_named(function)
            finally:
                when_imported()
            answer = command(config)
            if process_index() == 0:
                answer.deliver(config.json)
        except KeyboardInterrupt as stop:
            raise typer.Exit(exit_code_of_stop(stop)) from None
        except Exception as error:
            if config.debug:
                traceback.print_exc()
            raise typer.Exit(exit_code_of(error)) from None
        if answer.exit_code:
            raise typer.Exit(answer.exit_code)

    return run


def exit_code_of_stop(stop: KeyboardInterrupt) -> int:
    """Print why a command was stopped; gives its exit code."""
    if isinstance(stop, Stopped):
        return print_error(stop.problem, stop.fix, stop.exit_code)
    return print_error("interrupted", RETYPE, INTERRUPTED)


def on_sigterm(*_: object) -> None:
    """The handler of SIGTERM while there is no state to save."""
    raise Stopped("terminated", RETYPE, TERMINATED)


def exit_code_of(error: Exception) -> int:
    """Print one plain message for the error that ended a command; gives the exit code."""
    if isinstance(error, BrokenPipeError) and streams.reader_has_gone():  # nobody is left to tell
        return streams.SIGPIPE_EXIT
    if isinstance(error, FtcliError):
        return print_error(error.problem, error.fix, error.exit_code)
    if ran_out_of_memory(error):
        return print_error(f"out of memory: {reason(error)}", "a smaller --batch-size, --image-size or model", 1)
    if isinstance(error, OSError):
        return print_error(f"{error.strerror or reason(error)}: {error.filename or ''}".rstrip(": "), "", 1)
    return print_error(f"{type(error).__name__}: {reason(error)}", "--debug shows where; please report it", 1)


def request_error(error: typer.TyperException, words: Sequence[str]) -> RequestError:
    """The parser's error in the form of every other: the option, the value seen, what to type instead."""
    message = error.format_message() if hasattr(error, "format_message") else reason(error)
    problem = re.sub(r"^Invalid value for '[^']*': |Value error, ", "", " ".join(message.split()))
    command = next((word for word in words if word in COMMANDS), "")
    known = {row.name: row for row in rows(options_class(command))} if command else {}
    fix = f"`{f'ftcli {command}'.strip()} --help` shows what there is"
    names = getattr(getattr(error, "param", None), "opts", ())
    row = next((known[name] for name in names if name in known), None)
    if row:
        seen = value_typed(words, names) or value_in_file(error)
        problem = f"{row.name} {seen or ''}".strip() + f": {problem}"
        fix = suggest(seen or "", row.value.split("|")) or f"{row.name} {row.value}: {row.help}"
    elif (option := getattr(error, "option_name", None)) is not None:
        fix = f"{option} {known[option].value}" if option in known else suggest(option, known) or fix
    return RequestError(problem, fix)


def value_typed(words: Sequence[str], names: Sequence[str]) -> str | None:
    """What was typed after one of an option's names."""
    for i, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names:
            return value if equals else next(iter(words[i + 1 :]), None)
    return None


def value_in_file(error: typer.TyperException) -> str | None:
    """The value of the option at fault in the preset, the configuration file or the machine's defaults."""
    context, name = getattr(error, "ctx", None), str(getattr(getattr(error, "param", None), "name", None))
    value = (getattr(context, "default_map", None) or {}).get(name)
    return None if value is None else f"{value!r}{from_machine(name, value) or ' (from the file)'}"


def print_error(problem: str, fix: str, code: int) -> int:
    """On stderr; gives the exit code. Of several processes, which all meet the same error, the first one prints it."""
    if process_index() > 0:  # the end of the first process ends the others
        time.sleep(OTHERS_WAIT)
    with suppress(OSError):  # stderr may be full, or read by nobody
        print(f"error: {printable(shortened(problem, MAX_MESSAGE))}", file=sys.stderr)
        if fix:
            print(f"  try: {printable(shortened(fix, MAX_MESSAGE))}", file=sys.stderr)
    return code


def main() -> None:
    """A command line, from the words to the exit code."""
    words = sys.argv[1:]
    if COMPLETION in os.environ:  # the line is in the environment too, and no words are given
        from ftcli.cli.completion import answer_shell

        answer_shell(os.environ[COMPLETION], lambda: build_app()(prog_name=NAME))
    elif any(word in VERSION for word in options_among(words)):
        print(f"ftcli {__version__}")
    elif asks_for_help(words):
        sys.exit(help_for(words))
    else:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # until there is a state to save
        if process_count() == 1:  # several are ended from outside, and the system's way ends them at once
            signal.signal(signal.SIGTERM, on_sigterm)
        sys.exit(run(words))


def help_for(words: Sequence[str]) -> int:
    """The help that is asked for; gives the exit code."""
    try:
        (print_short_help if asks_for_short_help(words) else print_help)(words)
    except FtcliError as error:  # a command that there is not
        return exit_code_of(error)
    return 0


def unwritable_output(error: OSError) -> int:
    """Print that stdout or stderr could not be written to; gives the exit code."""
    if isinstance(error, BrokenPipeError):
        return streams.SIGPIPE_EXIT
    return print_error(f"the output cannot be written: {error.strerror}", "", 1)


def process_entry() -> None:
    """`main` as a process of its own: the streams are made ready before and emptied after.

    One that was stopped ends at once, and by its exit code: Python would take its time, in which a second signal meets
    nobody, and may end by the signal once more.
    """
    streams.prepare_streams()
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except OSError as error:  # of a stream: whatever else there is, `run` has met
        code = unwritable_output(error)
    if (left := streams.flush_outputs()) and code in (0, 1):
        code = unwritable_output(left)
        streams.flush_outputs()
    if code in (INTERRUPTED, TERMINATED):
        os._exit(code)
    sys.exit(code)


def run(words: Sequence[str]) -> int:
    """Carry out a command line; gives the exit code."""
    before = command_line.set(tuple(words))
    try:
        with status_line(first_line(words)) as erase:
            named = [word for word in words[:1] if word in COMMANDS]
            app = build_app(lambda function: runner(function, erase), named or COMMANDS)
            return int(app(list(words), prog_name=NAME, standalone_mode=False) or 0)
    except FtcliError as error:  # raised while the options were read
        return exit_code_of(error)
    except KeyboardInterrupt as stop:  # before any work began
        return exit_code_of_stop(stop)
    except typer.Abort:
        return INTERRUPTED
    except typer.TyperException as error:
        return exit_code_of(request_error(error, words))
    finally:
        command_line.reset(before)


def first_line(words: Sequence[str]) -> str:
    """What a terminal shows while the libraries are imported, which takes seconds; empty where none or few are."""
    row = COMMANDS.get(words[0]) if words else None
    if row is None or row.light or process_index() > 0 or {*QUIET} & {*options_among(words)}:
        return ""
    return f"ftcli {words[0]}: loading PyTorch and timm"


if __name__ == "__main__":
    process_entry()
