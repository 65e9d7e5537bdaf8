"""The commands that only look: reports, comparisons, blocks, data, presets, the schema. Nothing is trained."""

import sys
from collections import Counter

from ftcli import config as options
from ftcli.presets import WORDS, preset_names, read_preset
from ftcli.report.cells import new_table, text
from ftcli.report.folder import as_json
from ftcli.report.read import read_report
from ftcli.report.show import console, show, show_parts


def compare(config: options.Compare) -> None:
    """`compare`: many reports as one table, CSV, Markdown or JSON."""
    from ftcli.report import compare_export as export
    from ftcli.report.compare import compare as compared

    found = compared(config.reports, config.against)
    if config.json:
        sys.stdout.write(as_json(export.to_json(found)))
    elif config.format == "csv":
        sys.stdout.write(export.to_csv(found))
    elif config.format == "markdown":
        sys.stdout.write(export.to_markdown(found))
    else:
        out = console()
        show_parts(out, [*export.tables(found, out.width), *(text(f"note: {note}") for note in found.notes)])


def report(config: options.Report) -> None:
    """`report`: the tables of a finished run, or its JSON again."""
    show(read_report(config.file), None, as_json=config.json)


def blocks(config: options.Blocks) -> None:
    """`blocks`: the contiguous blocks of a model, in order, and its head."""
    from ftcli.model.architecture import bare_model
    from ftcli.model.blocks import blocks_of

    name, model = bare_model(config)
    body, head = blocks_of(model)
    rows = [
        {"index": index, "name": block.name, "tensors": len(block.tensors), "parameters": block.parameters}
        for index, block in [*enumerate(body), ("head", head)]
    ]
    if config.json:
        sys.stdout.write(as_json({"model": name, "blocks": rows}))
        return
    total = sum(block.parameters for block in [*body, head])
    table = new_table(f"Blocks of {name}: {total:,} parameters")
    for column in ("block", "name", "tensors", "parameters", "share, %"):
        table.add_column(column, justify="left" if column == "name" else "right", overflow="fold")
    for row in rows:
        share = f"{100 * int(str(row['parameters'])) / total:.1f}"
        table.add_row(str(row["index"]), text(str(row["name"])), str(row["tensors"]), f"{row['parameters']:,}", share)
    show_parts(console(), [table])


def data(config: options.Data) -> None:
    """`data`: counts and classes of a set of images, and a picture of some of them."""
    from ftcli.data.sources import open_source
    from ftcli.data.spec import parse
    from ftcli.report.contact_sheet import save_sheet
    from ftcli.report.progress import ConsoleLog

    with ConsoleLog(config.quiet) as log:
        images = open_source(parse(config.source), log, damaged=config.damaged)
    assert images.labels is not None
    if config.save:
        save_sheet(images, config.save)
    counts = Counter(images.labels.tolist())
    groups = Counter(images.groups.tolist()) if images.groups is not None else {}
    if config.json:
        classes = {name: counts.get(i, 0) for i, name in enumerate(images.classes)}
        content = {"spec": config.source, "n": len(images), "classes": classes, "groups": dict(sorted(groups.items()))}
        sys.stdout.write(
            as_json(content | {"fingerprint": images.fingerprint, "dropped": images.dropped, "damaged": images.damaged})
        )
        return
    table = new_table(f"{len(images):,} images of {len(counts)} classes", f"fingerprint {images.fingerprint[:16]}")
    table.add_column("class", overflow="fold")
    table.add_column("images", justify="right")
    for i, name in enumerate(images.classes):
        table.add_row(text(name), f"{counts.get(i, 0):,}")
    for name, count in sorted(groups.items()):
        table.add_row(text(f"group {name}"), f"{count:,}")
    show_parts(console(), [table])


def presets(config: options.Presets) -> None:
    """`presets`: the named benchmarks, or one of them whole."""
    contents = {name: read_preset(name) for name in ([config.name] if config.name else preset_names())}
    if config.json:
        sys.stdout.write(as_json(contents))
        return
    for name, content in contents.items():
        table = new_table(f"{name}: {content['title']}", content["about"])
        for column in ("command", "option", "value"):
            table.add_column(column, overflow="fold")
        own = {key: value for key, value in content.items() if isinstance(value, dict)}
        for command, of_command in {"all": content, **own}.items():
            for key, value in of_command.items():
                if key not in (*WORDS, *own):
                    shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
                    table.add_row(text(command), text(f"--{key.replace('_', '-')}"), text(shown))
        show_parts(console(), [table])


def schema(config: options.Schema) -> None:
    """`schema`: the JSON Schema of report.json."""
    from ftcli.report.schema import REPORT_SCHEMA

    sys.stdout.write(as_json(REPORT_SCHEMA))
