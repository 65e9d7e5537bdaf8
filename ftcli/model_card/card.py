"""README.md of a run folder: the model card, made of the report alone.

No folder, host or user is named in it, and nothing is asked of the network. Equal reports give equal bytes, whenever
they were made. Names from data are escaped, so that they stay text in Markdown, HTML and YAML.
"""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import MISSING, fields

from msgspec import UNSET

from ftcli.commands import COMMANDS, options_class
from ftcli.commands import title_of as method_title
from ftcli.comparison.export import escape_markdown, markdown_table
from ftcli.console.cells import interval, percent, set_name
from ftcli.measures.types import Figures, FiguresBySet
from ftcli.model_card.local_paths import last_name, of_prose, of_spec, of_value, of_word
from ftcli.model_card.metadata import front_matter
from ftcli.report.selection.tables import picked
from ftcli.report.types import Report
from ftcli.run_folder.options import NO_EFFECT
from ftcli.safe_text import printable, shortened

CLASSES_SHOWN = 100
HIDDEN = {*NO_EFFECT, "dry_run"} - {"preset", "root"}  # options that say nothing of the training
FLAG = re.compile(r"-q|--(no-)?(overwrite|resume|json|quiet|debug|cache)")  # those of them that are typed alone
WITH_VALUE = ("--out", "-o", "--workers", "--save-every")
TIMM = """\
import timm, torch
from PIL import Image
{imports}
model = timm.create_model("local-dir:.", pretrained=True).eval()  # after an upload: "hf-hub:OWNER/NAME"
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
image = transform(Image.open("image.jpg").convert("RGB"))
with torch.inference_mode():
    probabilities = model(image[None]).softmax(-1)[0]
print(model.pretrained_cfg["label_names"][probabilities.argmax()], float(probabilities.max()))
"""
TRANSFORMERS = """\
from transformers import pipeline

classify = pipeline("image-classification", model=".")  # after an upload: "OWNER/NAME"
print(classify("image.jpg"))
"""
LIMITS = (
    "The figures hold for the sets above and say nothing certain about other data.",
    "Every image is given one of these classes; an image of none of them is not recognised as such.",
    "ID-val was used to select the model, so its figures are optimistic. No OOD set was used for selection.",
    "The licences of the data and of the initial weights are not known to ftcli: state yours before you publish.",
)


def model_card(report: Report, base_model: str | None = None) -> str:
    """The card of the model that a run has saved. base_model: the repository of the hub that it started from."""
    figures, title = saved_figures(report), f"{report.model.name}, {title_of(report)}"
    parts = [
        f"---\n{front_matter(report, figures, title, base_model)}\n---",
        f"# {escape_markdown(title)}",
        *about(report, base_model),
        "## Use",
        *use(report),
        "## Accuracy",
        *accuracy(report, figures),
        "## Training",
        *training(report),
        "## Data",
        *data(report),
        "## Limits",
        "\n".join(f"- {line}" for line in limits(report)),
    ]
    return "\n\n".join(parts) + "\n"


def title_of(report: Report) -> str:
    return method_title(report.command, report.config) or report.command


def saved_figures(report: Report) -> FiguresBySet:
    """The figures of the saved model: of several seeds, those of the one that was selected."""
    for seed in [] if report.seeds is UNSET else report.seeds:
        if report.selected and seed.selected.seed == report.selected.seed:
            return seed.results
    return report.results


def about(report: Report, base_model: str | None) -> Iterator[str]:
    """What the model is."""
    model, classes = report.model, report.data.classes
    start = base_model or (last_name(model.checkpoint) if model.checkpoint else "")
    began = f"It started from {inline(start)}." if start else "It started from random weights."
    if report.models is not UNSET:
        began = f"Its weights are made of those of {', '.join(inline(last_name(one.label)) for one in report.models)}."
    trained = f", of which {model.trainable:,} were trained" if model.trainable else ""
    yield (
        f"A classifier of images with {len(classes):,} classes, made with `ftcli {report.command}` "
        f"({COMMANDS[report.command].help.rstrip('.')}). {began} The architecture is {inline(model.name)} with "
        f"{model.parameters:,} parameters{trained}."
    )
    named = ", ".join(escape_markdown(shortened(name)) for name in classes[:CLASSES_SHOWN])
    more = f" and {len(classes) - CLASSES_SHOWN:,} more in `config.json`" if len(classes) > CLASSES_SHOWN else ""
    yield f"Classes, in the order of the outputs: {named}{more}."


def use(report: Report) -> Iterator[str]:
    """How to load the model."""
    file = last_name(str(report.config.get("import") or ""))
    module = re.sub(r"\.py$", "", file)
    imports = f"import {module}  # registers the architecture\n" if module.isidentifier() else ""
    if file:
        yield f"The architecture is not one of timm: it is registered by the file {inline(file)}, which is needed too."
    yield "In timm:"
    yield f"```python\n{TIMM.format(imports=imports)}```"
    if not file:
        yield "In transformers:"
        yield f"```python\n{TRANSFORMERS}```"
    if isinstance(report.temperature, float):
        yield (
            f"Calibrated on ID-val, the probabilities are softmax(logits / {report.temperature:.3g}). The temperature "
            "is in `config.json`; the code above does not apply it."
        )


def accuracy(report: Report, figures: FiguresBySet) -> Iterator[str]:
    """The figures of every set, and with several seeds their means."""
    heads = ["set", "images", "accuracy, %", "95 % interval", "balanced, %", "worst class, %", "ECE, %"]
    rows = [[set_name(name), *line(of_set)] for name, of_set in figures.by_set().items()]
    rows += [[set_name(name), f"{of.n:,}", *["-"] * 5] for name, of in figures.without_labels().items()]
    if figures.ood_mean:
        rows.append([set_name("ood_mean"), "", percent(figures.ood_mean.accuracy), *[""] * 4])
    yield "Of this model; the intervals are Wilson's. ECE is the expected calibration error without the temperature."
    yield markdown_table(heads, rows, left=1)
    if report.seeds is not UNSET and len(report.seeds) > 1:
        yield f"Mean over {len(report.seeds)} seeds, of which this model is the best on ID-val:"
        means = [
            [set_name(name), percent(of_set.accuracy), interval(bounds) if (bounds := of_set.get("ci90")) else "-"]
            for name, of_set in report.results.by_set().items()
        ]
        yield markdown_table(["set", "accuracy, %", "90 % interval (Student's t)"], means, left=1)


def line(figures: Figures) -> list[str]:
    """The cells of one set."""
    shares = (figures.balanced_accuracy, figures.worst_class_recall, figures.ece)
    return [f"{figures.n:,}", percent(figures.accuracy), interval(figures.accuracy_ci95), *map(percent, shares)]


def training(report: Report) -> Iterator[str]:
    """The command, the options that are not the defaults, and the versions."""
    if report.selected:
        yield f"Selected on ID-val: {escape_markdown(picked(report.selected))}."
    if report.argv:
        yield "The command, without its output folder and with the last name of each path:"
        yield fenced(shlex.join(["ftcli", *map(of_word, words_of_training(report.argv))]))
    if options := changed_options(report):
        yield "The options that differ from their defaults, as a file for `--config` has them:"
        yield fenced("\n".join(options), "toml")
    of = report.environment
    yield (
        f"ftcli {escape_markdown(report.version)}, Python {of.python}, torch {of.torch}, timm {of.timm}; "
        f"{escape_markdown(of.device)}, {of.precision}."
    )


def words_of_training(argv: list[str]) -> Iterator[str]:
    """The words of a command line without those on which no figure depends, so that a resumed run has the same."""
    words = iter(argv)
    for word in words:
        if word in WITH_VALUE:
            next(words, None)
        elif word.partition("=")[0] not in WITH_VALUE and not FLAG.fullmatch(word):
            yield word


def changed_options(report: Report) -> list[str]:
    """`name = value` for every option that is not at its default."""
    defaults = {field.name.rstrip("_"): field.default for field in fields(options_class(report.command))}
    lines = []
    for name, value in report.config.items():
        default = defaults.get(name, MISSING)
        default = list(default) if isinstance(default, tuple) else default
        if name not in HIDDEN and value is not None and value != default:
            lines.append(f"{name} = {json.dumps(of_value(value), ensure_ascii=False)}")
    return lines


def data(report: Report) -> Iterator[str]:
    """The sets with their fingerprints."""
    rows = [
        [set_name(name), of_spec(of.spec), f"{of.n:,}", f"{of.classes:,}", of.fingerprint]
        for name, of in report.data.by_set().items()
    ]
    yield "The fingerprint is a SHA-256 over all images and class names of a set, in order."
    yield markdown_table(["set", "source", "images", "classes", "fingerprint"], rows, left=2)


def limits(report: Report) -> Iterator[str]:
    """What does not follow from the figures, and the warnings of the run."""
    yield from LIMITS
    known = [word for value in report.config.values() for word in (value if isinstance(value, list) else [value])]
    known = [str(word) for word in known if isinstance(word, str)]
    known += [name.partition("=")[2] for name in known if "=" in name]
    for warning in report.warnings:
        yield f"Warning of the run: {escape_markdown(shortened(of_prose(warning.text, known), 1000))}"


def inline(name: str) -> str:
    """A name in a sentence."""
    return escape_markdown(shortened(name))


def fenced(text: str, language: str = "") -> str:
    """A block of code; its fence is longer than any in the text."""
    text = "\n".join(map(printable, text.split("\n")))
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
