"""The sets of a preset: their SPECs, and how many images and classes they have as published."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ftcli.presets import options_of
from ftcli.presets.placing import SETS


@dataclass(frozen=True)
class PresetSet:
    """A set of a preset. `name`: its role, the name of an OOD set, or COMMAND/NAME where a command has its own.

    n: numbers of images, any of which is right; none where no number is published. classes: those with images.
    groups: images of each group.
    """

    name: str
    role: str  # one of SETS
    command: str  # "" for every command
    spec: str
    n: tuple[int, ...]
    classes: int | None
    groups: dict[str, int]


def sets_of(content: dict[str, Any]) -> list[PresetSet]:
    """The sets of a preset's content, in order; those of single commands last."""
    shared, own = options_of(content)
    counts = content.get("counts", {})
    found = []
    for command, options in {"": shared, **own}.items():
        for role, name, spec in _specs(options):
            name = f"{command}/{name}" if command else name
            count = counts.get(name, {})
            n = count.get("n", [])
            n = tuple(n) if isinstance(n, list) else (n,)
            found.append(PresetSet(name, role, command, spec, n, count.get("classes"), count.get("groups", {})))
    return found


def _specs(options: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Role, name and SPEC of every set among the options."""
    for role in SETS:
        if role == "ood":
            for text in options.get(role, []):
                name, _, spec = text.partition("=")
                yield role, name, spec
        elif role in options:
            yield role, role, options[role]
