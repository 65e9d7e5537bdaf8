"""The words in which options are declared: an option, a flag, a set of images, a list of numbers."""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

import typer

# Of the help, in its order.
PANELS = DATA, MODEL, TRAINING, MEASURE, MACHINE, OUTPUT = "Data", "Model", "Training", "Measure", "Machine", "Output"


class Numbers(tuple[float, ...]):
    """A grid: sorted, without repeats, so that the order in which it was typed changes nothing."""

    def __str__(self) -> str:
        return ",".join(f"{value:g}" for value in self)


def numbers(kind: Callable[[str], float], least: float, below: float = float("inf")) -> Callable[[Any], Numbers]:
    """A parser of comma-separated numbers, each at least `least` and below `below`."""
    what = "whole numbers" if kind is int else "numbers"

    def parse(value: Any) -> Numbers:
        parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
        try:
            read = [kind(str(part)) for part in parts]
        except ValueError:
            raise typer.BadParameter(f"{value!r} is not a list of {what}; type them with commas, e.g. 1,2,3.") from None
        if not read or not all(least <= number < below for number in read):
            raise typer.BadParameter(
                f"{value!r} holds a number that is not allowed: at least {least:g}, below {below:g}."
            )
        return Numbers(sorted(set(read)))

    return parse


class Triple(tuple[float, ...]):
    """One number for each channel, in the order R, G, B."""

    def __str__(self) -> str:
        return ",".join(f"{value:g}" for value in self)


def triple(value: Any) -> Triple:
    """Parser of three numbers with commas between them."""
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    try:
        read = Triple(float(part) for part in parts)
    except (TypeError, ValueError):
        read = Triple()
    if len(read) != 3 or not all(map(isfinite, read)):
        raise typer.BadParameter(f"{value!r} is not three numbers; type one for each channel, e.g. 0.5,0.5,0.5.")
    return read


class Words(tuple[str, ...]):
    """A list as typed, without repeats."""

    def __str__(self) -> str:
        return ",".join(self)


def words(allowed: Sequence[str] = (), offered: Sequence[str] = ()) -> Callable[[Any], Words]:
    """A parser of comma-separated words; `allowed`: the only ones there are; `offered`: some, for completion."""

    def parse(value: Any) -> Words:
        parts = [str(part).strip() for part in (value if isinstance(value, (list, tuple)) else str(value).split(","))]
        for part in parts:
            if not part or (allowed and part not in allowed):
                raise typer.BadParameter(
                    f"{part!r} is not one of {', '.join(allowed)}." if allowed else f"{value!r} holds an empty word."
                )
        return Words(dict.fromkeys(parts))

    parse.offered = allowed or offered  # type: ignore[attr-defined]
    return parse


def option(help: str, *names: str, panel: str, default: str | None = None, **more: Any) -> Any:
    """One option. `default` says in words what happens where no value stands for "not given"."""
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=default or True, **more)


def flag(help: str, name: str, panel: str, *short: str) -> Any:
    """An option without a value, off unless it is typed; its opposite takes back what a file says."""
    opposite = f"--{name.removeprefix('--no-')}" if name.startswith("--no-") else f"--no-{name.removeprefix('--')}"
    return option(help, f"{name}/{opposite}", *short, panel=panel, default="off")


def spec(help: str, default: str, **more: Any) -> Any:
    """An option that names a set of images."""
    return option(help, panel=DATA, default=default, metavar="SPEC", **more)


def figure(what: str) -> Any:
    """The option `--plot`."""
    return option(f"{what} Needs matplotlib.", panel=OUTPUT, default="none", metavar="FILE.pdf|svg|png")
