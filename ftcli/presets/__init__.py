"""Presets, named benchmarks: a TOML file each, with a title, a sentence about it, and options.

Options at the top hold for every command; those in a table named after a command hold for that command only.
"""

import tomllib
from pathlib import Path
from typing import Any

from ftcli.errors import RequestError, suggest

FOLDER = Path(__file__).parent
DESCRIPTION = ("title", "about")  # keys that are no options


def preset_names() -> list[str]:
    """Names of all presets, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_preset(name: str) -> dict[str, Any]:
    """A preset's file, parsed. Raises RequestError for an unknown name."""
    if name not in preset_names():
        raise RequestError(
            f"--preset {name!r}: there is no such preset.",
            suggest(name, preset_names()) or f"the presets are {', '.join(preset_names())}",
        )
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def load_preset(name: str, command: str) -> dict[str, Any]:
    """A preset's options for a command; those in the command's table win. Raises RequestError for an unknown name."""
    content = read_preset(name)
    shared = {key: value for key, value in content.items() if key not in DESCRIPTION and not isinstance(value, dict)}
    return {**shared, **content.get(command, {})}
