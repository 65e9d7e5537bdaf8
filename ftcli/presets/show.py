"""Presets as tables for a person: the list of them, one of them whole, and what of its data is there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.table import Table

from ftcli.console.cells import new_table, percent, set_name, text
from ftcli.presets import options_of
from ftcli.presets.sets import PresetSet, sets_of

if TYPE_CHECKING:  # it opens data, and the other tables must not wait for what that needs
    from ftcli.presets.check import Found

UNKNOWN = "-"


def list_of_presets(contents: dict[str, dict[str, Any]]) -> list[RenderableType]:
    """One line for each preset."""
    table = new_table("Presets", "`ftcli presets NAME` shows one of them whole")
    for column in ("preset", "benchmark", "protocol of"):
        table.add_column(column, overflow="fold")
    for name, content in contents.items():
        table.add_row(text(name), text(content["title"]), text(content.get("paper", UNKNOWN)))
    return [table]


def preset_tables(name: str, content: dict[str, Any]) -> list[RenderableType]:
    """The options of a preset, the files that it needs, the sizes of its sets and the published accuracies."""
    tables: list[RenderableType] = [options_table(name, content)]
    tables += [files_table(content["files"])] if "files" in content else []
    tables += [counts_table(sets_of(content))] if "counts" in content else []
    tables += [published_table(content["published"])] if "published" in content else []
    return tables + ([text(backbone_line(content["backbone"]))] if "backbone" in content else [])


def options_table(name: str, content: dict[str, Any]) -> Table:
    """The options that a preset sets, those for every command first."""
    table = new_table(f"{name}: {content['title']}", content["about"])
    for column in ("command", "option", "value"):
        table.add_column(column, overflow="fold")
    shared, own = options_of(content)
    for command, options in {"all": shared, **own}.items():
        for key, value in options.items():
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            table.add_row(text(command), text(f"--{key.replace('_', '-')}"), text(shown or "none"))
    return table


def files_table(files: Sequence[dict[str, str]]) -> Table:
    table = new_table("Files below --root DIR")
    for column in ("path", "what", "where to get it"):
        table.add_column(column, overflow="fold")
    for file in files:
        table.add_row(text(file["path"]), text(file["what"]), text(file["get"]))
    return table


def counts_table(sets: Sequence[PresetSet]) -> Table:
    table = new_table("Published sizes", "before ID-val and ID-test are cut from the training set, where they are")
    _columns(table, "set", "images", "classes")
    for one in sets:
        if one.n or one.classes:
            table.add_row(text(set_name(one.name)), *_size(one))
    return table


def published_table(published: dict[str, Any]) -> Table:
    table = new_table("Published accuracy in per cent", f"{published['source']}; ±: {published['interval']}")
    _columns(table, "method", "set", "accuracy", "±", words=2)
    for row in published["figures"]:
        method = f"{row['command']} {row.get('choice', '')}".strip()
        spread = percent(row["plus_minus"]) if "plus_minus" in row else UNKNOWN
        table.add_row(text(method), text(set_name(row["set"])), percent(row["accuracy"]), spread)
    return table


def backbone_line(backbone: dict[str, str]) -> str:
    """The paper's network, and how it is typed."""
    return f"backbone of the paper: {backbone['name']}; {backbone['type']}"


def check_tables(name: str, found: Sequence["Found"], missing: Sequence[dict[str, str]]) -> list[RenderableType]:
    """What is there of the data of a preset, set by set, and what is not."""
    right = sum(one.right for one in found)
    table = new_table(f"{name}: {right} of {len(found)} sets as published")
    _columns(table, "set", "images", "expected", "classes", "expected classes", "")
    for one in found:
        n, classes = (UNKNOWN if value is None else f"{value:,}" for value in (one.n, one.classes))
        images, expected = _size(one.expected)
        state = "ok" if one.right else "cannot be opened" if one.problem else "differs"
        table.add_row(text(set_name(one.expected.name)), n, images, classes, expected, state)
    lines: list[RenderableType] = [table]
    for one in found:
        if one.problem:
            lines.append(text(f"{set_name(one.expected.name)}: {one.problem}"))
        elif one.expected.groups and one.groups != one.expected.groups:
            lines.append(text(f"{set_name(one.expected.name)}: groups {_groups(one.groups, one.expected.groups)}"))
    return lines + [text(f"missing: {file['path']} ({file['what']}). {file['get']}") for file in missing]


def check_content(found: Sequence["Found"], missing: Sequence[dict[str, str]]) -> dict[str, Any]:
    """The same in types of JSON."""
    sets = {
        one.expected.name: {
            "spec": one.spec, "n": one.n, "expected_n": list(one.expected.n), "classes": one.classes,
            "expected_classes": one.expected.classes, "groups": one.groups, "expected_groups": one.expected.groups,
            "problem": one.problem or None, "right": one.right,
        }
        for one in found
    }  # fmt: skip
    return {"right": not missing and all(one.right for one in found), "missing": list(missing), "sets": sets}


def _columns(table: Table, *names: str, words: int = 1) -> None:
    """Columns, the first `words` and the last without a head of words, the others of numbers."""
    for i, name in enumerate(names):
        table.add_column(name, justify="left" if i < words or not name else "right", overflow="fold")


def _size(one: PresetSet) -> tuple[str, str]:
    """Numbers of images and of classes, as published."""
    n = " or ".join(f"{number:,}" for number in one.n) or UNKNOWN
    return n, UNKNOWN if one.classes is None else f"{one.classes:,}"


def _groups(found: dict[str, int], expected: dict[str, int]) -> str:
    """Counts of groups, found and expected."""
    names = sorted({*found, *expected})
    return ", ".join(f"{name}: {found.get(name, 0):,} of {expected.get(name, 0):,}" for name in names)
