"""The commands `blocks` and `data`: what a model and a set of images hold. Nothing is trained."""

from collections import Counter

from ftcli.config import looking as options
from ftcli.console.answer import Answer, show_parts
from ftcli.console.cells import new_table, text
from ftcli.console.progress import ConsoleLog
from ftcli.data.examples import open_images
from ftcli.data.specs.parse import parse
from ftcli.data.storage.retries import waits_announced_to
from ftcli.figures.contact_sheet import check_sheet, save_classes
from ftcli.model.blocks import blocks_of
from ftcli.model.loading.from_options import load_structure
from ftcli.safe_text import counted

MOST_ROWS = 1_000  # of a table that somebody is to read


def blocks(config: options.Blocks) -> Answer:
    """`blocks`: the contiguous blocks of a model, in order, and its head."""
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
    spec = parse(config.source)
    if config.save:
        check_sheet(config.save, "--save")
    with ConsoleLog(config.quiet) as log, waits_announced_to(log.note):
        images = open_images(spec, log, damaged=config.damaged).flipped()
    if config.save:
        save_classes(images, config.save)
    counts = Counter(images.labels.tolist() if images.labelled else [])
    groups = Counter(images.groups.tolist()) if images.groups is not None else {}
    asked = {"labels": spec.labels, "exif": spec.exif, "shift": spec.shift, "shuffle": spec.shuffle}
    changes = {name: str(change) for name, change in asked.items() if change}
    content = {
        "spec": spec.text, "n": len(images),
        "classes": {name: counts.get(i, 0) for i, name in enumerate(images.classes)},
        "groups": dict(sorted(groups.items())), "fingerprint": images.fingerprint, "dropped": images.dropped,
        "damaged": images.damaged, "changes": changes,
    }  # fmt: skip
    of = f"of {counted(len(counts), 'class', 'classes')}" if images.labelled else "without labels"
    size = f"{counted(len(images), 'image', 'images')} {of}"
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
