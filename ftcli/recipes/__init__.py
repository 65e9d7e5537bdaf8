"""Recipes, named studies: a TOML file each, with a title, a description, and options of `ftcli study`."""

import tomllib
from pathlib import Path
from typing import Any

from ftcli.errors import RequestError, choose

FOLDER = Path(__file__).parent
DESCRIPTION = ("title", "about")  # keys that are no options


def recipe_names() -> list[str]:
    """Names of all recipes, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_recipe(name: str) -> dict[str, Any]:
    """A recipe's file, parsed. Raises RequestError for an unknown name."""
    if name not in recipe_names():
        raise RequestError(f"--recipe {name!r}: there is no such recipe.", choose(name, recipe_names()))
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def load_recipe(name: str) -> dict[str, Any]:
    """A recipe's options. Raises RequestError for an unknown name."""
    return {key: value for key, value in read_recipe(name).items() if key not in DESCRIPTION}
