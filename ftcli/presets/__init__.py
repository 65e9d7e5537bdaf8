"""Named benchmarks: one TOML file each, holding options under their own names, a title and a sentence about it."""

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


def load_preset(name: str) -> dict[str, Any]:
    """A preset's options. Raises RequestError where there is none of that name."""
    return {key: value for key, value in read_preset(name).items() if key not in WORDS}
