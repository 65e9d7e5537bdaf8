"""The methods of a study as they are typed, and the settings beside them."""

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from ftcli.commands import COMMANDS
from ftcli.config.study import NOT_PASSED_ON, Study
from ftcli.errors import RequestError, choose
from ftcli.studies.cells import DATA
from ftcli.studies.selection.among_values import STRENGTHS
from ftcli.studies.settings import Setting, flags_of, settings_of


class Line(NamedTuple):
    """A method as typed: its command, and its own options."""

    command: str
    options: tuple[str, ...]


def read_line(text: str) -> Line:
    """A method as typed. Raises RequestError for no training command, and for an option that is the study's."""
    try:
        command, *options = shlex.split(text) or [""]
    except ValueError as error:
        raise RequestError(f"--method {text!r} is not parted into words: {error}.", "check its quotes") from None
    training = [name for name, row in COMMANDS.items() if row.method]
    if command not in training:
        what = "--methods" if not options else "--method"
        raise RequestError(f"{what} {command!r} is no command that trains.", choose(command, training))
    for word in options:
        name = word.partition("=")[0].lstrip("-").replace("-", "_")
        of_study = name in (*NOT_PASSED_ON, *DATA, "ood", "html")
        if word.startswith("-o") or (word.startswith("--") and of_study):
            raise RequestError(
                f"--method {text!r}: {word.partition('=')[0]} is decided by the study.", "give it to the study itself"
            )
    # An option and its value are two words, as only the values of --set are joined by "=" in the name of a row.
    pairs = [word.split("=", 1) if word.startswith("--") else [word] for word in options]
    return Line(command, tuple(word for pair in pairs for word in pair))


def check_given_once(settings: Sequence[Setting], lines: Sequence[Line], config: Study) -> None:
    """Raises RequestError for a setting that no method uses, for an option with two values, for a method that is given
    twice, and for a rule that has nothing to choose among.
    """
    for line in lines:
        if lines.count(line) > 1:
            words = shlex.join([line.command, *line.options])
            raise RequestError(f"--method {words!r} is given twice.", "leave one out; --seeds 3 repeats every method")
    if config.rule == "se" and not any(one.option in STRENGTHS and len(one.values) > 1 for one in settings):
        raise RequestError(
            "--rule se: no strength has several values in --set.",
            "--set ldifs=0.1,1,10, or for the C of the probe --method 'lpft --rule se'",
        )
    shared = config.passed_on()
    for setting in settings:
        check_used(setting, lines)
        if setting.option in shared:
            raise RequestError(
                f"--set {setting.option}={','.join(setting.values)}: the study also has {setting.typed} "
                f"{shared[setting.option]}.",
                "give one of the two",
            )


def check_used(setting: Setting, lines: Sequence[Line]) -> None:
    """Raises RequestError for an option that none of the methods has, or that one of them has a value for."""
    for line in lines:
        if setting.typed in (word.partition("=")[0] for word in line.options):
            raise RequestError(
                f"--set {setting.option}: --method {shlex.join([line.command, *line.options])!r} has a value for it.",
                "leave it out of one of the two",
            )
    if flagged := next((line.command for line in lines if setting.option in flags_of(line.command)), None):
        raise RequestError(
            f"--set {setting.option}: {setting.typed} is on or off, and has no values.",
            f"--method {flagged} --method '{flagged} {setting.typed}'",
        )
    if not any(has_option(line.command, setting.option) for line in lines):
        every = {name for line in lines for name in settings_of(line.command)}
        raise RequestError(
            f"--set {setting.option}: no method of the study has an option {setting.typed}.",
            choose(setting.option, sorted(every)),
        )


def has_option(command: str, option: str) -> bool:
    return option in settings_of(command)
