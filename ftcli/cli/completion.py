"""What a shell may complete a value to: names of timm, presets, lists of words, settings of a data SPEC.

Paths are left to the shell, which completes files where nothing is offered. Nothing that computes is imported: the
names of timm are read from its source, which takes a tenth of a second; a list of them would grow old.
"""

import contextlib
import glob
import importlib.util
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ftcli.data.shifts.shift import CORRUPTION_NAMES, SEVERITIES
from ftcli.data.specs.parse import LABELS, SETTINGS
from ftcli.presets import preset_names

WORDS, POSITION = "COMP_WORDS", "COMP_CWORD"  # of bash: the words of the line, and which of them is completed
BREAKS = set("=:")  # at which bash cuts words, besides spaces
REGISTERED = re.compile(r"^@register_model\s+def (\w+)\(", re.MULTILINE)
TAGGED = re.compile(r"""['"](\w+\.[\w.-]+)['"]\s*:""")  # keys of the tables of pretrained weights
VALUES = {
    "shift": [f"{name}:{severity}" for name in CORRUPTION_NAMES for severity in SEVERITIES],
    "split": ["train", "validation", "test"],
    "labels": [*LABELS],
    "exif": ["apply", "ignore"],
    "streaming": ["true"],
}


def complete_preset(incomplete: str) -> list[str]:
    """Names of presets."""
    return beginning_with(incomplete, preset_names())


def complete_model(incomplete: str) -> list[str]:
    """Architectures of timm; behind a dot, or where only one is left, their tags."""
    found = beginning_with(incomplete, architectures())
    return found + beginning_with(incomplete, tags()) if "." in incomplete or found == [incomplete] else found


def complete_checkpoint(incomplete: str) -> list[str]:
    """Names of timm, where no file begins so."""
    if not incomplete or "/" in incomplete or next(glob.iglob(f"{glob.escape(incomplete)}*"), None):
        return []
    return complete_model(incomplete)


def complete_spec(incomplete: str) -> list[str]:
    """Settings of a SPEC and their values, behind its "?"."""
    if "?" not in incomplete:
        return []
    setting = re.split("[?&]", incomplete)[-1]
    before = incomplete.removesuffix(setting)
    name, equals, value = setting.partition("=")
    if equals:
        return [f"{before}{name}={found}" for found in beginning_with(value, VALUES.get(name, []))]
    names = beginning_with(setting, SETTINGS)
    if len(names) == 1:  # a shell would put a space behind it
        return [f"{before}{names[0]}={value}" for value in VALUES.get(names[0], [])]
    return [f"{before}{name}=" for name in names]


def complete_list(offered: Sequence[str]) -> Callable[[str], list[str]]:
    """Words of a comma-separated list; those that are in it already are not offered."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        typed = before.split(",")
        return [f"{before}{comma}{word}" for word in beginning_with(last, offered) if word not in typed]

    return complete


COMPLETERS: dict[str, Callable[[str], list[str]]] = {
    "model": complete_model,
    "checkpoint": complete_checkpoint,
    "preset": complete_preset,
    "name": complete_preset,  # of `presets`
    "train": complete_spec,
    "id_val": complete_spec,
    "id_test": complete_spec,
    "ood": complete_spec,
    "source": complete_spec,
}


def completer_of(name: str, declared: Any) -> Callable[[str], list[str]] | None:
    """What completes an option's value; None where the shell does, or the option's own type."""
    offered = getattr(getattr(declared, "parser", None), "offered", ())
    return complete_list(offered) if offered else COMPLETERS.get(name)


def beginning_with(incomplete: str, words: Sequence[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]


@cache
def architectures() -> list[str]:
    """The names that timm registers, sorted."""
    return sorted({name for text in timm_sources() for name in REGISTERED.findall(text)})


@cache
def tags() -> list[str]:
    """Architectures with the tags of their pretrained weights, sorted: "resnet18.a1_in1k"."""
    known = {*architectures()}
    found = {tag for text in timm_sources() for tag in TAGGED.findall(text)}
    return sorted(tag for tag in found if tag.partition(".")[0] in known)


@cache
def timm_sources() -> list[str]:
    """The text of every file of timm's models; none where timm is not found."""
    found = importlib.util.find_spec("timm")  # does not import it
    folders = [Path(place) / "models" for place in (found.submodule_search_locations or [])] if found else []
    return [path.read_text(encoding="utf-8") for folder in folders for path in sorted(folder.glob("*.py"))]


def answer_shell(shell: str, complete: Callable[[], Any]) -> None:
    """Let `complete` answer a shell, named as it asks: "complete_bash".

    bash cuts words at "=" and ":" and completes only what follows; the parser gets whole words, and of its answers bash
    gets what follows.
    """
    if not shell.endswith("_bash") or WORDS not in os.environ:
        complete()
        return
    separator = "\n" if "\n" in os.environ[WORDS] else " "
    words = os.environ[WORDS].split(separator)[: int(os.environ[POSITION]) + 1]
    joined = list(whole_words(words))
    os.environ |= {WORDS: separator.join(joined), POSITION: str(len(joined) - 1)}
    piece = "" if set(words[-1]) <= BREAKS else words[-1]
    before = joined[-1].removesuffix(piece)
    if before.startswith("-"):  # the parser cuts a value off its option
        before = before.partition("=")[2]
    answer = io.StringIO()
    try:
        with contextlib.redirect_stdout(answer):
            complete()
    finally:
        print("\n".join(line.removeprefix(before) for line in answer.getvalue().splitlines()))


def whole_words(words: Sequence[str]) -> Iterator[str]:
    """The words with those joined that bash has cut at "=" and ":"."""
    word = ""
    for last, piece in zip(["", *words], words, strict=False):
        joins = word and piece and (set(piece) <= BREAKS or (last and set(last) <= BREAKS))
        if word and not joins:
            yield word
            word = ""
        word += piece
    yield word
