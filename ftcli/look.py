"""The commands that only look: reports, comparisons, blocks, data, presets, the schema. Nothing is trained."""

import sys
from collections import Counter
from typing import Any

from rich.console import RenderableType

from ftcli.config import looking as options
from ftcli.console.answer import Answer, show_parts, write_json
from ftcli.console.cells import new_table, text
from ftcli.console.streams import Console
from ftcli.presets import DESCRIPTION, preset_names, read_preset
from ftcli.report.read import read_both, untrusted
from ftcli.report.tables import tables as report_tables
from ftcli.safe_text import counted

MOST_ROWS = 1_000  # of a table that somebody is to read


def compare(config: options.Compare) -> Answer:
    """`compare`: many reports as one table, CSV, Markdown or JSON."""
    from ftcli.comparison import export
    from ftcli.comparison.compare import compare as compared

    with untrusted("one of the reports"):
        found = compared(config.reports, config.against)

    def show(out: Console) -> None:
        if config.format == "csv":
            sys.stdout.write(export.to_csv(found))
        elif config.format == "markdown":
            sys.stdout.write(export.to_markdown(found))
        else:
            show_parts(out, [*export.tables(found, out.width), *(text(f"note: {note}") for note in found.notes)])

    return Answer(export.to_json(found), show)


def report(config: options.Report) -> Answer:
    """`report`: the tables of a finished run, or its JSON again."""
    content, found = read_both(config.file)

    def show(out: Console) -> None:
        with untrusted(f"the report {str(config.file)!r}"):
            show_parts(out, report_tables(found, out.width))

    return Answer(content, show, found)


def blocks(config: options.Blocks) -> Answer:
    """`blocks`: the contiguous blocks of a model, in order, and its head."""
    from ftcli.model.blocks import blocks_of
    from ftcli.model.loading.from_options import load_structure

    name, model = load_structure(config)
    body, head = blocks_of(model)
    rows = [
        {"index": index, "name": block.name, "tensors": len(block.tensors), "parameters": block.parameters}
        for index, block in [*enumerate(body), ("head", head)]
    ]
    total = sum(block.parameters for block in [*body, head])
    table = new_table(f"Blocks of {name}: {total:,} parameters")
    for column in ("block", "name", "tensors", "parameters", "share, %"):
        table.add_column(column, justify="left" if column == "name" else "right", overflow="fold")
    for row in rows:
        share = f"{100 * int(str(row['parameters'])) / total:.1f}"
        table.add_row(str(row["index"]), text(str(row["name"])), str(row["tensors"]), f"{row['parameters']:,}", share)
    return Answer({"model": name, "blocks": rows}, lambda out: show_parts(out, [table]))


def data(config: options.Data) -> Answer:
    """`data`: counts and classes of a set of images, and a picture of some of them."""
    from ftcli.console.progress import ConsoleLog
    from ftcli.data.examples import open_images
    from ftcli.data.spec import parse
    from ftcli.figures.contact_sheet import check_sheet, save_classes

    spec = parse(config.source)
    if config.save:
        check_sheet(config.save, "--save")
    with ConsoleLog(config.quiet) as log:
        images = open_images(spec, log, damaged=config.damaged).flipped()
    if config.save:
        save_classes(images, config.save)
    counts = Counter(images.labels.tolist())
    groups = Counter(images.groups.tolist()) if images.groups is not None else {}
    asked = {"labels": "flip" if spec.flip else None, "shift": spec.shift, "shuffle": spec.shuffle}
    changes = {name: str(change) for name, change in asked.items() if change}
    content = {
        "spec": config.source, "n": len(images),
        "classes": {name: counts.get(i, 0) for i, name in enumerate(images.classes)},
        "groups": dict(sorted(groups.items())), "fingerprint": images.fingerprint, "dropped": images.dropped,
        "damaged": images.damaged, "changes": changes,
    }  # fmt: skip
    size = f"{counted(len(images), 'image', 'images')} of {counted(len(counts), 'class', 'classes')}"
    size += "".join(f", {name}={change}" for name, change in changes.items())
    table = new_table(size, f"fingerprint {images.fingerprint[:16]}")
    table.add_column("class", overflow="fold")
    table.add_column("images", justify="right")
    rows = [(name, counts.get(i, 0)) for i, name in enumerate(images.classes)]
    rows += [(f"group {name}", count) for name, count in sorted(groups.items())]
    for name, count in rows[:MOST_ROWS]:
        table.add_row(text(name), f"{count:,}")
    if len(rows) > MOST_ROWS:
        table.add_row(f"and {len(rows) - MOST_ROWS:,} more, which --json has", "")
    return Answer(content, lambda out: show_parts(out, [table]))


def presets(config: options.Presets) -> Answer:
    """`presets`: the named benchmarks, or one of them whole."""
    contents = {name: read_preset(name) for name in ([config.name] if config.name else preset_names())}
    tables: list[RenderableType] = []
    for name, content in contents.items():
        table = new_table(f"{name}: {content['title']}", content["about"])
        for column in ("command", "option", "value"):
            table.add_column(column, overflow="fold")
        own = {key: value for key, value in content.items() if isinstance(value, dict)}
        for command, of_command in {"all": content, **own}.items():
            for key, value in of_command.items():
                if key not in (*DESCRIPTION, *own):
                    shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
                    table.add_row(text(command), text(f"--{key.replace('_', '-')}"), text(shown))
        tables.append(table)
    return Answer(contents, lambda out: show_parts(out, tables))


def cache(config: options.Cache) -> Answer:
    """`cache`: what is kept between runs, by kind; `clear` removes it and says what it was."""
    from datetime import UTC, datetime

    from ftcli.cache.cache import KINDS, open_cache
    from ftcli.errors import RequestError
    from ftcli.log import Log

    found = open_cache(Log())
    if found is None:
        raise RequestError("there is no home folder that a cache could lie in.", "name a folder by FTCLI_CACHE")
    asked = KINDS if config.kind == "all" else (config.kind,)
    entries = [entry for kind in asked for entry in (found.clear if config.action == "clear" else found.entries)(kind)]
    kinds: dict[str, dict[str, Any]] = {}
    for kind in asked:
        own = [entry for entry in entries if entry.kind == kind]
        last = max((datetime.fromtimestamp(entry.used, UTC) for entry in own), default=None)
        used = last.isoformat(timespec="seconds") if last else None
        kinds[kind] = {"entries": len(own), "bytes": sum(entry.size for entry in own), "last_used": used}
    total = sum(entry.size for entry in entries)
    content = {"action": config.action, "folder": str(found.folder), "cap": found.cap, "bytes": total, "kinds": kinds}
    size = f"{total / 1e6:,.1f}" + (" MB removed" if config.action == "clear" else f" of {found.cap / 1e6:,.0f} MB")
    table = new_table(f"{found.folder}: {size}")
    for column in ("kind", "entries", "MB", "last use (UTC)"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    for name, row in kinds.items():
        used = row["last_used"][:16].replace("T", " ") if row["last_used"] else "-"
        table.add_row(name, f"{row['entries']:,}", f"{row['bytes'] / 1e6:,.1f}", used)
    return Answer(content, lambda out: show_parts(out, [table]))


def schema(config: options.Schema) -> Answer:
    """`schema`: the JSON Schema of report.json."""
    from ftcli.report.schema import report_schema

    content = report_schema()
    return Answer(content, lambda _: write_json(content))
