"""What `-h` prints: usage, two examples and the ten commonest options of a command. `--help` has all of them."""

from collections.abc import Sequence
from typing import NamedTuple

from ftcli.cli.help import (
    ABOUT,
    ARGUMENTS,
    Row,
    command_table,
    named_command,
    new_console,
    options_among,
    panel_table,
    rows,
    typed_width,
    usage,
)
from ftcli.commands import COMMANDS, options_class

SHOWN = 10  # options, or commands
LONG, SHORT = "--help", "-h"
OPTIONS = (  # the commonest first
    "--preset", "--checkpoint", "--train", "--ood", "--out", "--lr", "--epochs", "--seeds", "--id-test", "--image-size",
    "--device", "--batch-size", "--json", "--config", "--id-val", "--plot", "--overwrite", "--quiet",
)  # fmt: skip
MAIN = ("study", "lpft", "finetune", "probe", "surgical", "evaluate", "predict", "compare", "report", "presets")


class Use(NamedTuple):
    """How a command is typed. options: of its own, commoner than the shared ones."""

    examples: tuple[str, ...]
    options: tuple[str, ...] = ()


EXAMPLES = ("ftcli lpft --preset digits", "ftcli compare runs/lpft runs/finetune")  # of the program
USES: dict[str, Use] = {
    "probe": Use((
        "ftcli probe --preset digits",
        "ftcli probe --checkpoint my-model/ --train photos/ --ood sketch=sketches/ --out runs/probe",
    )),
    "finetune": Use((
        "ftcli finetune --preset digits",
        "ftcli finetune --checkpoint my-model/ --train photos/ --ood sketch=sketches/ --lr 1e-4,1e-3 --out runs/ft",
    )),
    "lpft": Use((
        "ftcli lpft --preset digits",
        "ftcli lpft --checkpoint my-model/ --train photos/ --ood sketch=sketches/ --seeds 3 --out runs/lpft",
    )),
    "surgical": Use((
        "ftcli surgical --preset digits --blocks each,all",
        "ftcli surgical --checkpoint my-model/ --train target/ --id-test target-test/ --auto rgn --out runs/surgical",
    ), ("--blocks", "--auto")),
    "dfr": Use((
        "ftcli dfr --preset digits",
        "ftcli dfr --checkpoint my-model/ --train 'a.csv?group=y+place' --id-val 'b.csv?group=y+place' --out runs/dfr",
    ), ("--on", "--draws")),
    "adapt": Use((
        "ftcli adapt --preset digits --blocks all,first,none",
        "ftcli adapt --checkpoint runs/lpft --ood sketch=sketches/ --method memo --out runs/memo",
    ), ("--method", "--blocks", "--steps")),
    "study": Use((
        "ftcli study --preset digits --methods probe,finetune,lpft --seeds 3 --out study",
        "ftcli study --checkpoint my-model/ --train photos/ --ood sketch=sketches/ --jobs 2 --out study",
    ), ("--methods", "--jobs", "--print")),
    "evaluate": Use((
        "ftcli evaluate runs/lpft --id-test later-photos/ --ood sketch=sketches/",
        "ftcli evaluate runs/lpft --ood night=night.parquet --confusion --out runs/night",
    ), ("--ood", "--id-test", "--per-class", "--confusion")),
    "predict": Use((
        "ftcli predict runs/lpft new-images/ --out classes.csv",
        "ftcli predict runs/lpft a.jpg b.png --top 3 --json",
    ), ("--out", "--top", "--probabilities", "--features")),
    "distortion": Use((
        "ftcli distortion my-model/ runs/lpft runs/finetune --train photos/ --ood sketch=sketches/",
        "ftcli distortion my-model/ runs/lpft --id-test test/ --matrix --plot cka.svg",
    ), ("--matrix",)),
    "advise": Use((
        "ftcli advise runs/lpft --train photos/ --target night/",
        "ftcli advise runs/lpft --train photos/ --target 'new.parquet?labels=none' --out runs/advice",
    ), ("--target", "--unlabelled")),
    "agreement": Use((
        "ftcli agreement runs/lpft runs/finetune --id-test test/ --ood sketch=sketches/",
        "ftcli agreement runs/lpft runs/finetune --id-test test/ --sheet wrong.png --mistakes g2",
    ), ("--sheet", "--mistakes")),
    "interpolate": Use((
        "ftcli interpolate runs/a runs/b --id-val val/ --id-test test/",
        "ftcli interpolate runs/lp runs/ft --train photos/ --ood sketch=sketches/ --save-best --out runs/average",
    ), ("--points", "--soup", "--save-best")),
    "criticality": Use((
        "ftcli criticality my-model/ runs/finetune --train photos/ --out runs/criticality",
        "ftcli criticality my-model/ runs/finetune --train photos/ --images 200 --draws 2 --plot criticality.svg",
    ), ("--images", "--draws")),
    "rank": Use((
        "ftcli rank my-model/ resnet18.a1_in1k runs/lpft --train photos/",
        "ftcli rank my-model/ early/ late/ --train photos/ --ood sketch=sketches/ --out runs/ranking",
    )),
    "theory": Use((
        "ftcli theory",
        "ftcli theory --sweep epsilon --plot ratio.svg",
    ), ("--sweep", "--worlds", "--points", "--k", "--n", "--d")),
    "compare": Use((
        "ftcli compare runs/lpft runs/finetune",
        "ftcli compare runs/lpft runs/finetune runs/probe --against probe --format markdown",
    ), ("--against", "--format")),
    "report": Use(("ftcli report runs/lpft", "ftcli report runs/lpft --html report.html")),
    "runs": Use(("ftcli runs", "ftcli runs studies/pacs --format csv")),
    "blocks": Use(("ftcli blocks resnet18", "ftcli blocks my-model/")),
    "data": Use(("ftcli data photos/", "ftcli data 'photos/?shift=frost:4' --save frost.png")),
    "presets": Use(("ftcli presets", "ftcli presets living17 --root data/ --check")),
    "cache": Use(("ftcli cache", "ftcli cache clear --kind pixels")),
    "schema": Use(("ftcli schema", "ftcli schema > report.schema.json")),
}  # fmt: skip


def asks_for_short_help(words: Sequence[str]) -> bool:
    """Whether `-h` is among the words, and nothing that asks for all."""
    options = options_among(words)
    return SHORT in options and LONG not in options and words[0] != "help"


def print_short_help(words: Sequence[str]) -> None:
    """The short page of the command that is named first among the words, or of the program.

    Raises RequestError for a command that there is not.
    """
    console = new_console()
    command = named_command(words)
    if command is None:
        console.print(f"Usage: ftcli COMMAND [OPTIONS]\n\n{ABOUT}\n")
        console.print(examples(EXAMPLES), soft_wrap=True)
        console.print(command_table("Commands", {name: COMMANDS[name].help for name in MAIN}))
        console.print(f"ftcli --help shows all {len(COMMANDS)} commands, ftcli COMMAND -h examples of a command.")
        return
    found = list(rows(options_class(command)))
    use = USES.get(command, Use(()))
    console.print(usage(command, found))
    if use.examples:
        console.print(examples(use.examples), soft_wrap=True)
    arguments, options = [row for row in found if row.panel == ARGUMENTS], commonest(found, use.options)
    for title, entries in ((ARGUMENTS, arguments), ("Options", options)):
        if entries:
            console.print(panel_table(title, entries, *typed_width([*arguments, *options], console.width)))
    number = len(found) - len(arguments)
    console.print(f"ftcli {command} --help shows all {number} options.")


def examples(lines: Sequence[str]) -> str:
    return "Examples:\n" + "".join(f"  {line}\n" for line in lines)


def commonest(found: Sequence[Row], own: Sequence[str]) -> list[Row]:
    """The commonest options among all, those of the command's own first; others only where these are too few."""
    by_name = {row.name: row for row in found if row.panel != ARGUMENTS}
    order = dict.fromkeys([*own, *OPTIONS, *by_name])
    return [by_name[name] for name in order if name in by_name][:SHOWN]
