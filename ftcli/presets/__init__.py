"""Presets, named benchmarks: a TOML file each, with a title, a description, and options.

Options at the top hold for every command; those in a table named after a command hold for that command only. `{root}`
in a SPEC stands for `--root`, and a name of the table `texts` in braces for its text.
"""

import tomllib
from pathlib import Path
from typing import Any

from ftcli.errors import RequestError, suggest

FOLDER = Path(__file__).parent
# Keys that are no options: what the benchmark is, the paper's backbone, the files that it needs with where to get them,
# how many images each set has, the accuracies that the paper states.
DESCRIPTION = ("title", "about", "paper", "backbone", "files", "counts", "published")
TEXTS = "texts"  # the table of texts that several SPECs have in common


def preset_names() -> list[str]:
    """Names of all presets, sorted."""
    return sorted(_files())


def read_preset(name: str) -> dict[str, Any]:
    """A preset's file, parsed, its texts put where they belong. Raises RequestError for an unknown name."""
    files = _files()
    if name not in files:
        raise RequestError(
            f"--preset {name!r}: there is no such preset.",
            suggest(name, files) or f"the presets are {', '.join(preset_names())}",
        )
    content = tomllib.loads(files[name].read_text(encoding="utf-8"))
    texts = {f"{{{key}}}": text for key, text in content.pop(TEXTS, {}).items()}
    return _with_texts(content, texts) if texts else content


def load_preset(name: str, command: str) -> dict[str, Any]:
    """A preset's options for a command; those in the command's table win. Raises RequestError for an unknown name."""
    shared, own = options_of(read_preset(name))
    return {**shared, **own.get(command, {})}


def options_of(content: dict[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The options of a preset's content: of every command, and of single ones by their names."""
    options = {key: value for key, value in content.items() if key not in DESCRIPTION}
    own = {key: value for key, value in options.items() if isinstance(value, dict)}
    return {key: value for key, value in options.items() if key not in own}, own


def _files() -> dict[str, Path]:
    return {path.name.removesuffix(".toml"): path for path in FOLDER.rglob("*.toml")}


def _with_texts(value: Any, texts: dict[str, str]) -> Any:
    """The same value with every text in its place."""
    if isinstance(value, dict):
        return {key: _with_texts(part, texts) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_texts(part, texts) for part in value]
    if isinstance(value, str):
        for name, text in texts.items():
            value = value.replace(name, text)
    return value
