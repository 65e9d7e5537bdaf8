"""Named benchmarks, one TOML file each: a title, a sentence about it, options under their own names.

Options at the top are for every command; a table named after a command holds what that command has of its own.
"""

import tomllib
from pathlib import Path
from typing import Any

from ftcli.errors import RequestError, suggest

FOLDER = Path(__file__).parent
WORDS = ("title", "about")  # what a preset says of itself; everything else is an option


def preset_names() -> list[str]:
    """The presets that are installed, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_preset(name: str) -> dict[str, Any]:
    """A preset's whole file. Raises RequestError where there is none of that name."""
    if name not in preset_names():
        raise RequestError(
            f"--preset {name!r}: there is no such preset.",
            suggest(name, preset_names()) or f"the presets are {', '.join(preset_names())}",
        )
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def load_preset(name: str, command: str) -> dict[str, Any]:
    """A preset's options for a command: those at the top, and over them those of the command's own table.

    Raises RequestError where there is no preset of that name.
    """
    content = read_preset(name)
    shared = {key: value for key, value in content.items() if key not in WORDS and not isinstance(value, dict)}
    return {**shared, **content.get(command, {})}
