"""`--set OPTION=A,B`: the values of an option of the methods, a cell for each."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from ftcli.cli.help import name_of
from ftcli.commands import options_class
from ftcli.config.declare import Numbers, Triple, Words
from ftcli.config.study import NOT_PASSED_ON, Study
from ftcli.errors import RequestError
from ftcli.safe_text import shortest_unique_suffixes
from ftcli.studies.cells import DATA

GRID = "lr"  # the option whose values are candidates of one run
CHECKPOINT = "checkpoint"  # the option whose values are comparisons of their own: no selection is among them
NEVER_TYPED = ("config", "overwrite", "resume")  # options of cells that a study gives them where they are needed
COMPARED = ("probe_c",)  # options that take a list, whose values commas part too: each is a row
LISTS = (Numbers, Words, Triple)  # types of options that take a list


@dataclass(frozen=True)
class Setting:
    """An option with its values. option: as declared; typed: as it is typed."""

    option: str
    typed: str
    values: tuple[str, ...]

    @property
    def parts_grid(self) -> bool:
        """Whether its values part a grid over cells, whose runs are joined by the selection rule."""
        return self.option == GRID and len(self.values) > 1

    @property
    def tells_rows_apart(self) -> bool:
        """Whether each value is a row of its own."""
        return self.option not in (GRID, CHECKPOINT) and len(self.values) > 1

    @property
    def parts_comparisons(self) -> bool:
        """Whether the methods are compared under each value by itself."""
        return self.option == CHECKPOINT and len(self.values) > 1

    def name_of(self, value: str) -> str:
        """What a value is called: of a path the end, as short as tells all values apart."""
        names = shortest_unique_suffixes([str(Path(one)) for one in self.values])
        return names[self.values.index(value)]


@cache
def settings_of(command: str) -> dict[str, tuple[str, bool]]:
    """The options of a command that --set may vary: by name, how each is typed, and whether it takes a list."""
    options = options_class(command)
    hints = get_type_hints(options, include_extras=True)
    found = {}
    for field in fields(options):
        kind, declared = get_args(hints[field.name])[:2]
        if field.name not in NOT_PASSED_ON and kind is not bool:
            found[field.name.rstrip("_")] = name_of(field, declared), takes_list(kind)
    return found


@cache
def flags_of(command: str) -> set[str]:
    """The options of a command that are on or off."""
    options = options_class(command)
    hints = get_type_hints(options, include_extras=True)
    return {
        one.name for one in fields(options) if one.name not in NOT_PASSED_ON and get_args(hints[one.name])[0] is bool
    }


def takes_list(kind: Any) -> bool:
    """Whether an option of this type takes a list."""
    kinds = [kind, *get_args(kind)]
    return any(one in LISTS or get_origin(one) is list or one is list for one in kinds)


def read_settings(texts: Iterable[str]) -> list[Setting]:
    """What is typed after --set. Raises RequestError where it is no OPTION=VALUES, or names an option twice."""
    found: list[Setting] = []
    for text in texts:
        name, equals, values = text.partition("=")
        option = name.strip().lstrip("-").replace("-", "_")
        if not equals or not option or not values:
            raise RequestError(f"--set {text!r} is not OPTION=VALUES.", "type --set epochs=5, or --set l2_sp=0.01,0.1")
        if option in NOT_PASSED_ON:
            fix = "leave it out" if option in NEVER_TYPED else f"give --{option.replace('_', '-')} to the study itself"
            raise RequestError(f"--set {option}: that is decided by the study.", fix)
        if option == "ood":
            raise RequestError("--set ood: every cell is measured on every OOD set.", "give --ood to the study itself")
        if option in DATA:
            typed = f"--{option.replace('_', '-')}"
            raise RequestError(
                f"--set {option}: all methods have the same data.", f"give {typed} to a study of its own"
            )
        if option in (one.option for one in found):
            raise RequestError(f"--set {option} is given twice.", f"type all its values once: {several(option)}")
        found.append(setting_of(option, values))
    return found


def setting_of(option: str, values: str) -> Setting:
    """An option's values: parted by ';' where the option takes a list and its values are none of `COMPARED`, else by
    ',' (or ';' where there is one).
    """
    typed, is_list = declared(option)
    parts = values.split(";" if (is_list and option not in COMPARED) or ";" in values else ",")
    if not all(part.strip() for part in parts):
        raise RequestError(f"--set {option}={values!r} holds an empty value.", f"type {several(option)}")
    return Setting(option, typed, tuple(dict.fromkeys(part.strip() for part in parts)))


def declared(option: str) -> tuple[str, bool]:
    """How an option is typed, and whether it takes a list."""
    known = [settings_of(name).get(option) for name in ("surgical", "lpft", "finetune", "probe")]
    return next((one for one in known if one), (f"--{option.replace('_', '-')}", False))


def several(option: str) -> str:
    """How several values of an option are typed."""
    by_semicolons = declared(option)[1] and option not in COMPARED
    return f"--set '{option}=A;B'" if by_semicolons else f"--set {option}=A,B"


def label_of(words: Sequence[str], pairs: Sequence[tuple[Setting, str]]) -> str:
    """The row of a cell: the command with its options, and the settings of which there are several values."""
    told = [f"{setting.typed}={value}" for setting, value in pairs if setting.tells_rows_apart]
    return shlex.join([*words, *told])


def checkpoint_of(pairs: Sequence[tuple[Setting, str]]) -> str:
    """What the checkpoint of a cell is called where there are several, else an empty string."""
    return next((setting.name_of(value) for setting, value in pairs if setting.parts_comparisons), "")


def rates_of(pairs: Sequence[tuple[Setting, str]]) -> list[str]:
    """The settings that part a grid over cells, whose runs are joined."""
    return [f"{setting.typed}={value}" for setting, value in pairs if setting.parts_grid]


def checkpoint_names(config: Study) -> list[str]:
    """What the checkpoints of a study are called, in the order typed; none where there are not several."""
    several = [setting for setting in read_settings(config.set or ()) if setting.parts_comparisons]
    return [setting.name_of(value) for setting in several for value in setting.values]
