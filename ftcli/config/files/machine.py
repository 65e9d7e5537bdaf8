"""A machine's own defaults: four environment variables, and `ftcli.toml` in the user's configuration folder.

They are weaker than a preset, and the environment is stronger than the file. The file may hold only what a machine
decides: nothing that runs code, says where to write, or changes the data or the model.
"""

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftcli.config.files.toml import parse_toml
from ftcli.errors import RequestError, suggest
from ftcli.limits import MAX_OPTIONS_FILE_BYTES
from ftcli.safe_text import quoted, shortened

VARIABLES = {
    "device": "FTCLI_DEVICE",
    "precision": "FTCLI_PRECISION",
    "workers": "FTCLI_WORKERS",
    "threads": "FTCLI_THREADS",
}
KINDS = {"device": str, "precision": str, "workers": int, "threads": int, "no_cache": bool}  # in the user's file
WORDS = {str: "a text in quotation marks", int: "a whole number", bool: "true or false"}


@dataclass(frozen=True)
class MachineDefault:
    """The value of an option, and the variable or the file that it is from."""

    value: Any
    origin: str


def user_file() -> Path | None:
    """Path of the user's file, which need not exist; None where the user has no home folder."""
    shared = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config")
    try:
        return (shared if shared.is_absolute() else Path("~/.config").expanduser()) / "ftcli" / "ftcli.toml"
    except RuntimeError:
        return None


def machine_defaults(options: Collection[str]) -> dict[str, MachineDefault]:
    """The machine's defaults of those options among `options` that may have one. The file is not read for a command
    that has none of them. A variable that is empty counts as not set.

    Raises RequestError for a file that cannot be read, and for a key or a kind of value that it may not hold.
    """
    if not any(name in options for name in KINDS):
        return {}
    of_environment = {
        name: MachineDefault(os.environ[variable], variable)
        for name, variable in VARIABLES.items()
        if os.environ.get(variable)
    }
    return {name: default for name, default in {**of_user_file(), **of_environment}.items() if name in options}


def of_user_file() -> dict[str, MachineDefault]:
    """The options in the user's file, checked; none where there is no such file."""
    path = user_file()
    if path is None:
        return {}
    where = str(path)
    try:
        values = parse_toml(read_text(path))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:  # UnicodeDecodeError is a ValueError
        raise RequestError(f"{quoted(where)} cannot be read: {shortened(str(error))}.", "mend or remove it") from None
    named = {key.replace("-", "_"): (key, value) for key, value in values.items()}
    for name, (key, value) in named.items():
        if name not in KINDS:
            allowed = ", ".join(KINDS)
            fix = suggest(name, KINDS) or f"it may hold {allowed}; other options belong into a file for --config"
            raise RequestError(f"{quoted(where)}: {quoted(key)} is not an option of a machine.", fix)
        if type(value) is not KINDS[name]:  # isinstance would take true for a number
            raise RequestError(
                f"{quoted(where)}: {key} = {shortened(str(value))} is not {WORDS[KINDS[name]]}.", "mend it there"
            )
    return {name: MachineDefault(value, where) for name, (_, value) in named.items()}


def from_machine(option: str, value: object) -> str:
    """`" (from FTCLI_DEVICE)"` where the machine's default of an option is this value, else an empty string."""
    default = machine_defaults([option]).get(option)
    return f" (from {default.origin})" if default is not None and str(default.value) == str(value) else ""


def read_text(path: Path) -> str:
    """A file of options. Raises OSError for what is no regular file, or longer than any is, and UnicodeDecodeError."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # to read a pipe or a device could last for ever
        raise OSError("it is no regular file")
    if found.st_size > MAX_OPTIONS_FILE_BYTES:
        raise OSError(f"it has {found.st_size:,} bytes, and at most {MAX_OPTIONS_FILE_BYTES:,} are read")
    return path.read_text(encoding="utf-8-sig")  # editors of Windows begin a file with a byte order mark
