"""What several commands have in common: how a model is loaded, how images go through it, what a report needs."""

from dataclasses import dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import typer

from ftcli.config.declare import DATA, MACHINE, MODEL, OUTPUT, Triple, flag, option, spec, triple
from ftcli.config.following import Progress
from ftcli.config.preparation import CropMode, CropPct, Interpolation
from ftcli.errors import RequestError
from ftcli.limits import MAX_COUNT, MAX_INPUT_SIDE, MAX_THREADS, MAX_WORKERS
from ftcli.safe_text import redacted_spec

RESERVED_SET_NAMES = ("train", "id_val", "id_test", "ood_mean")
Damaged = Annotated[
    Literal["stop", "skip"], option("On a damaged image: stop with an error, or skip and count it.", panel=DATA)
]
Overwrite = Annotated[bool, flag("Replace a finished result in the output folder.", "--overwrite", OUTPUT)]
ConfigFile = Annotated[
    Path | None,
    option("Options from a TOML file or an earlier report.json.", panel=OUTPUT, default="none", metavar="FILE"),
]
SplitSeed = Annotated[
    int, option("Seed for cutting ID-val and ID-test from the training set.", panel=DATA, min=0, metavar="SEED")
]
CutBy = Annotated[
    str | None,
    option(
        "Column of the training set: ID-val and ID-test are cut by whole groups of rows with one value there.",
        panel=DATA,
        default="rows are cut one by one",
        metavar="COLUMN",
    ),
]
Root = Annotated[
    str | None,
    option(
        "Folder that holds a preset's data; `{root}` at the beginning of a SPEC stands for it.",
        panel=DATA,
        default="none",
        metavar="DIR",
    ),
]
ModelArgument = Annotated[
    str, typer.Argument(help="A folder that ftcli saved, or any checkpoint.", metavar="MODEL", show_default=False)
]
SETTINGS = "PATH, hf:NAME, torchvision:CLASS or digits:WORLD, settings after '?'"


def check_finite(config: object) -> None:
    """Raises RequestError for an option that is infinite or no number."""
    for field in fields(config):  # type: ignore[arg-type]
        if isinstance(value := getattr(config, field.name), float) and not isfinite(value):
            raise RequestError(f"--{field.name.replace('_', '-')} {value} is no number.", "give a finite one")


def weights(default: str) -> Any:
    """The option `--checkpoint`; `default` says where it is needed."""
    help = "Pretrained weights: folder, .safetensors, .pth, hf-hub:NAME or timm tag."
    return option(help, panel=MODEL, default=default, metavar="WHERE")


def per_channel(what: str) -> Any:
    """The options `--mean` and `--std`."""
    help = f"{what} of each channel (pixel values in [0, 1]), if the checkpoint does not state it."
    return option(help, panel=MODEL, parser=triple, default="as the checkpoint says", metavar="R,G,B")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Common:
    """What every command understands."""

    picks_on_id_val: ClassVar[bool] = False  # whether anything is picked on ID-val
    defaults_for_cells: ClassVar[bool] = False  # whether presets and machine defaults are for commands that it starts

    json: Annotated[bool, flag("Print JSON to stdout and nothing else.", "--json", OUTPUT)] = False
    quiet: Annotated[bool, flag("Hide progress and notes; show warnings and errors.", "--quiet", OUTPUT, "-q")] = False
    debug: Annotated[bool, flag("Show the full traceback of an error.", "--debug", OUTPUT)] = False


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class RunFolder(Common):
    """Where a command that leaves a run folder puts it."""

    out: Annotated[
        Path | None,
        option(
            "Run folder: report, predictions, model.",
            "--out",
            "-o",
            panel=OUTPUT,
            default="runs/COMMAND-DATE-TIME",
            metavar="DIR",
        ),
    ] = None
    overwrite: Overwrite = False
    html: Annotated[
        bool, flag("Also write report.html: figures and tables of the run on one page.", "--html", OUTPUT)
    ] = False


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Loading(Common):
    """How a checkpoint becomes a model."""

    model: Annotated[
        str | None,
        option("Architecture or tag known to timm.", panel=MODEL, default="as the checkpoint says", metavar="NAME"),
    ] = None
    import_: Annotated[
        Path | None,
        option(
            "Python file that registers architectures with timm.",
            "--import",
            panel=MODEL,
            default="none",
            metavar="FILE.py",
        ),
    ] = None
    strip_prefix: Annotated[
        str | None,
        option(
            "Prefix to remove from tensor names; tensors without it are ignored.",
            panel=MODEL,
            default="prefixes of known wrappers",
            metavar="P",
        ),
    ] = None
    drop_prefix: Annotated[
        list[str] | None,
        option(
            "Ignore tensors whose names begin with one of these prefixes; repeatable.",
            panel=MODEL,
            default="none",
            metavar="P,Q,…",
        ),
    ] = None
    mean: Annotated[Triple | None, per_channel("Mean")] = None
    std: Annotated[Triple | None, per_channel("Standard deviation")] = None
    model_arg: Annotated[
        list[str] | None,
        option(
            "Argument of the architecture, if the checkpoint does not state it; repeatable.",
            panel=MODEL,
            default="none",
            metavar="NAME=VALUE",
        ),
    ] = None
    model_config: Annotated[
        Path | None,
        option(
            "File in the format of timm's config.json, for weights that have none.",
            panel=MODEL,
            default="none",
            metavar="FILE.json",
        ),
    ] = None
    image_size: Annotated[
        int | None,
        option(
            "Input size (side of the square), in pixels.",
            panel=DATA,
            default="the model's own",
            min=1,
            max=MAX_INPUT_SIDE,
            metavar="PIXELS",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Running(Loading):
    """How images go through a model."""

    crop_mode: CropMode = None
    crop_pct: CropPct = None
    interpolation: Interpolation = None
    damaged: Damaged = "stop"
    batch_size: Annotated[
        int,
        option(
            "Batch size: images per step, over all processes.", panel=MACHINE, min=1, max=MAX_COUNT, metavar="IMAGES"
        ),
    ] = 64
    device: Annotated[
        str, option("cpu, cuda, cuda:N or mps; auto: the best available.", panel=MACHINE, metavar="NAME")
    ] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        option(
            "Number format of the body's forward pass; auto: bf16 on a GPU that supports it, else fp32.", panel=MACHINE
        ),
    ] = "auto"
    workers: Annotated[
        int | None,
        option(
            "Worker processes that decode images.",
            panel=MACHINE,
            default="0 on CPU, else up to 8",
            min=0,
            max=MAX_WORKERS,
            metavar="N",
        ),
    ] = None
    threads: Annotated[
        int | None,
        option("CPU threads of one process.", panel=MACHINE, default="all cores", min=1, max=MAX_THREADS, metavar="N"),
    ] = None
    compile: Annotated[
        bool, flag("Compile the network with torch.compile; worthwhile for long runs.", "--compile", MACHINE)
    ] = False
    no_cache: Annotated[bool, flag("Do not read or write the cache of images and features.", "--no-cache", MACHINE)] = (
        False
    )


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Reporting(Running, RunFolder):
    """What every command that makes a report shares."""

    progress: Progress = "auto"
    preset: Annotated[
        str | None,
        option("Named benchmark; sets options that are not given.", panel=DATA, default="none", metavar="NAME"),
    ] = None
    root: Root = None
    config: ConfigFile = None
    id_val: Annotated[
        str | None, spec("ID validation set: reported, and used to fit the temperature of ece_calibrated.", "none")
    ] = None
    id_test: Annotated[str | None, spec("ID test set.", "none")] = None
    ood: Annotated[
        list[str] | None,
        option("OOD set, only reported; repeatable.", panel=DATA, default="none", metavar="NAME=SPEC"),
    ] = None

    def __post_init__(self) -> None:
        self.ood_sets()  # refuses odd names before anything is imported

    def ood_sets(self) -> list[tuple[str, str]]:
        """The OOD sets as (name, SPEC). Raises RequestError where a name is missing, taken or odd."""
        pairs: list[tuple[str, str]] = []
        for text in self.ood or []:
            name, equals, source = text.partition("=")
            if not (equals and name and source) or "/" in name:  # a path may hold an equals sign of its own
                fix = f"type --ood shifted={text.lstrip('=')}"
                raise RequestError(f"--ood {text!r} has no name: an OOD set is NAME=SPEC.", fix)
            if any(mark in name for mark in "\\?: "):
                fix = "type --ood shifted=SPEC, or another plain name"
                raise RequestError(f"--ood {text!r}: a name holds no space, colon, backslash or question mark.", fix)
            if name in RESERVED_SET_NAMES or name in dict(pairs):
                raise RequestError(f"--ood {text!r}: the name {name!r} is taken.", "give this set another name")
            pairs.append((name, source))
        return pairs


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Resumable(Reporting):
    """What every command shares that goes on where it was stopped."""

    resume: Annotated[
        bool,
        flag("If --out is unfinished, continue it; if finished, print its report; if new, start.", "--resume", OUTPUT),
    ] = False
    save_every: Annotated[
        float, option("Minutes between saved states within an epoch.", panel=OUTPUT, min=0.0, metavar="MINUTES")
    ] = 5.0


def resolved(config: Common) -> dict[str, Any]:
    """Every option with its value, as JSON has it: the report's `config`. URLs are without their queries."""
    plain: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, Path):
            value = str(value)
        elif isinstance(value, tuple | list):
            value = [redacted_spec(word) if isinstance(word, str) else word for word in value]
        elif isinstance(value, str):
            value = redacted_spec(value)
        plain[field.name.rstrip("_")] = value
    return plain
