"""Every option of every command, declared once: its type, its default, its unit, its checks.

A command's configuration is a frozen dataclass; a shared option is inherited, never repeated. `options.py` turns a
class into a Typer signature, the report stores it, the documentation is printed from it. Nothing heavy is imported.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ftcli.cache import Kind
from ftcli.declare import DATA, MACHINE, MODEL, OUTPUT, TRAINING, Numbers, Words, flag, numbers, option, spec, words
from ftcli.errors import RequestError

# Learning rates that Kumar et al. 2022 fine-tune with; the second grid reaches lower, because from a probed head the
# best rate can lie thousands of times below the best one from a fresh head.
FINETUNE_RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
LPFT_RATES = (3e-7, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3)
PROBE_RATES = (1e-3, 1e-2, 1e-1, 1.0)
SURGICAL_RATES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # Lee et al. 2022
AUTOMATIC = ("rgn", "snr", "snr-code", "gradual-first", "gradual-last", "l1")  # choices that no hand makes
EVERYTHING = Words(("all",))
RESERVED_SET_NAMES = ("train", "id_val", "id_test", "ood_mean")


def rates(default: Sequence[float], note: str = "") -> Any:
    """The option `--lr`, with a command's own grid in its help."""
    help = "Learning rate; several, with commas, are a grid: the best by ID-val is picked."
    return option(
        help,
        panel=TRAINING,
        metavar="A,B,…",
        parser=numbers(float, 1e-12),
        default=", ".join(f"{rate:g}" for rate in default) + note,
    )


def weights(default: str) -> Any:
    """The option `--checkpoint`; `default` says where it is needed."""
    help = "Weights: .safetensors, folder, hf-hub:NAME, timm tag, .pth."
    return option(help, panel=MODEL, default=default, metavar="WHERE")


# Options that several classes need with another default.
BatchNorm = Annotated[
    Literal["train", "eval"],
    option("BatchNorm and dropout while training: train, or eval (statistics kept, no dropout).", panel=TRAINING),
]
Epochs = Annotated[int, option("Passes over the training set.", panel=TRAINING, min=1, metavar="PASSES")]
Optimizer = Annotated[Literal["sgd", "adam", "adamw"], option("Update rule.", panel=TRAINING)]
WeightDecay = Annotated[
    float, option("Weight decay, a factor; decoupled with adamw.", panel=TRAINING, min=0.0, metavar="FACTOR")
]
Schedule = Annotated[
    Literal["cosine", "constant"], option("The rate falls to 0 by a cosine, step by step, or stays.", panel=TRAINING)
]
L1 = Annotated[
    float, option("L1 from the start: λ of λ‖θ - θ⁰‖₁, the head left out.", panel=TRAINING, min=0.0, metavar="LAMBDA")
]
Merge = Annotated[
    int | None,
    option(
        "Join the body's blocks into so many, of nearly equal size.",
        panel=TRAINING,
        min=1,
        default="as they are",
        metavar="BLOCKS",
    ),
]
Damaged = Annotated[
    Literal["stop", "skip"], option("A damaged image ends the command, or is left out and counted.", panel=DATA)
]
Overwrite = Annotated[bool, flag("Replace the finished result that is there.", "--overwrite", OUTPUT)]
ModelArgument = Annotated[
    str, typer.Argument(help="A folder that ftcli saved, or any checkpoint.", metavar="MODEL", show_default=False)
]
SETTINGS = "PATH, hf:NAME, torchvision:CLASS or digits:WORLD, settings after '?'"


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Common:
    """What every command understands."""

    json: Annotated[bool, flag("Print JSON to stdout and nothing else.", "--json", OUTPUT)] = False
    quiet: Annotated[bool, flag("No progress and no notes; errors still show.", "--quiet", OUTPUT)] = False
    debug: Annotated[bool, flag("Show the full traceback of an error.", "--debug", OUTPUT)] = False


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
        option("Prefix to take off the checkpoint's keys.", panel=MODEL, default="known wrappers only", metavar="P"),
    ] = None
    image_size: Annotated[
        int | None,
        option("Side of the input, in pixels.", panel=DATA, default="the model's own", min=1, metavar="PIXELS"),
    ] = None


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Running(Loading):
    """How images go through a model."""

    damaged: Damaged = "stop"
    batch_size: Annotated[int, option("Images per step.", panel=MACHINE, min=1, metavar="IMAGES")] = 64
    device: Annotated[
        str, option("cpu, cuda, cuda:N or mps; auto takes the best there is.", panel=MACHINE, metavar="NAME")
    ] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        option("Number format of the body's forward pass; auto: fp32, or bf16 on a GPU that has it.", panel=MACHINE),
    ] = "auto"
    workers: Annotated[
        int | None,
        option("Processes that decode images.", panel=MACHINE, default="0 on CPU, else up to 8", min=0, metavar="N"),
    ] = None
    threads: Annotated[
        int | None, option("CPU threads of one process.", panel=MACHINE, default="all cores", min=1, metavar="N")
    ] = None
    compile: Annotated[bool, flag("Compile the network first; pays off in long runs.", "--compile", MACHINE)] = False
    no_cache: Annotated[bool, flag("Keep no pixels and features on disk, use none.", "--no-cache", MACHINE)] = False


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Reporting(Running):
    """What every command that makes a report shares."""

    preset: Annotated[
        str | None, option("Named benchmark that fills in options.", panel=DATA, default="none", metavar="NAME")
    ] = None
    config: Annotated[
        Path | None,
        option("Options from a TOML file or an earlier report.json.", panel=OUTPUT, default="none", metavar="FILE"),
    ] = None
    id_val: Annotated[str | None, spec("ID set to select on.", "none")] = None
    id_test: Annotated[str | None, spec("ID set that is reported only.", "none")] = None
    ood: Annotated[
        list[str] | None,
        option("OOD set, reported only; repeat for more.", panel=DATA, default="none", metavar="NAME=SPEC"),
    ] = None
    out: Annotated[
        Path | None,
        option("Folder for the report and the model.", panel=OUTPUT, default="runs/COMMAND-DATE-TIME", metavar="DIR"),
    ] = None
    overwrite: Overwrite = False
    per_class: Annotated[bool, flag("Recall, precision and F1 of every class on every set.", "--per-class", OUTPUT)] = (
        False
    )
    confusion: Annotated[bool, flag("Confusion matrix of every set.", "--confusion", OUTPUT)] = False

    def details(self) -> tuple[str, ...]:
        """What every set of the report gets besides its figures."""
        return tuple(name for name in ("per_class", "confusion") if getattr(self, name))

    def ood_sets(self) -> list[tuple[str, str]]:
        """The OOD sets as (name, SPEC). Raises RequestError where a name is missing, taken or odd."""
        pairs: list[tuple[str, str]] = []
        for text in self.ood or []:
            name, equals, source = text.partition("=")
            if not (equals and name and source) or "/" in name:  # a path may hold an equals sign of its own
                fix = f"type --ood shifted={text}"
                raise RequestError(f"--ood {text!r} has no name: an OOD set is NAME=SPEC.", fix)
            if any(mark in name for mark in "\\?: "):
                fix = "type --ood shifted=SPEC, or another plain name"
                raise RequestError(f"--ood {text!r}: a name holds no space, colon, backslash or question mark.", fix)
            if name in RESERVED_SET_NAMES or name in dict(pairs):
                raise RequestError(f"--ood {text!r}: the name {name!r} is taken.", "give this set another name")
            pairs.append((name, source))
        return pairs


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Training(Reporting):
    """What every command that trains shares."""

    checkpoint: Annotated[str | None, weights("needed, unless --init random")] = None
    train: Annotated[str | None, spec(f"ID training set: {SETTINGS}.", "needed, here or in a preset")] = None
    id_val: Annotated[str | None, spec("ID set to select on.", "cut from train, 10 %")] = None
    id_test: Annotated[str | None, spec("ID set that is reported only.", "cut from train, 10 %")] = None
    split_seed: Annotated[int, option("Seed of the cuts from train.", panel=DATA, min=0, metavar="SEED")] = 0
    augment: Annotated[
        Literal["none", "light", "standard"],
        option("Training images: as in evaluation; random crop and flip; RandomResizedCrop and flip.", panel=DATA),
    ] = "light"
    lr: Annotated[Numbers, rates(FINETUNE_RATES)] = Numbers(FINETUNE_RATES)
    epochs: Epochs = 10
    optimizer: Optimizer = "sgd"
    momentum: Annotated[
        float, option("Momentum of sgd, a factor (not Nesterov).", panel=TRAINING, min=0.0, max=1.0, metavar="FACTOR")
    ] = 0.9
    weight_decay: WeightDecay = 0.0
    schedule: Schedule = "cosine"
    warmup: Annotated[
        float, option("Epochs over which the rate rises linearly from 0.", panel=TRAINING, min=0.0, metavar="EPOCHS")
    ] = 0.0
    bn: BatchNorm = "train"
    label_smoothing: Annotated[
        float, option("Share of each label spread over all classes.", panel=TRAINING, min=0.0, max=1.0, metavar="SHARE")
    ] = 0.0
    clip_norm: Annotated[
        float | None,
        option(
            "Longest gradient; a longer one is scaled down.", panel=TRAINING, default="none", min=0.0, metavar="NORM"
        ),
    ] = None
    ema: Annotated[
        float | None,
        option(
            "Measure and save a running mean of the weights, with this decay per step.",
            panel=TRAINING,
            default="none",
            min=0.0,
            max=1.0,
            metavar="DECAY",
        ),
    ] = None
    class_weights: Annotated[
        Literal["none", "balanced"], option("Loss of a class: as it is, or over its frequency.", panel=TRAINING)
    ] = "none"
    sampling: Annotated[
        Literal["shuffled", "balanced"],
        option("Every image once an epoch, or drawn with every class equally likely.", panel=TRAINING),
    ] = "shuffled"
    pick: Annotated[
        Literal["best", "last"], option("Epoch that a run stands for: the best by ID-val, or the last.", panel=TRAINING)
    ] = "best"
    epoch_zero: Annotated[
        bool, flag("The start, before any step, counts as an epoch too.", "--epoch-zero", TRAINING)
    ] = False
    ood_every_epoch: Annotated[
        bool,
        flag(
            "Measure the OOD sets after every epoch; what they would pick is kept apart.", "--ood-every-epoch", TRAINING
        ),
    ] = False
    seeds: Annotated[
        int | None, option("Number of seeds: 0, 1, … N-1.", panel=TRAINING, default="1", min=1, metavar="N")
    ] = None
    seed: Annotated[
        Numbers | None,
        option("The seeds themselves.", panel=TRAINING, default="0", metavar="A,B,…", parser=numbers(int, 0, 2**63)),
    ] = None
    dry_run: Annotated[bool, flag("Say what would be done, with the counts, and stop.", "--dry-run", OUTPUT)] = False

    def __post_init__(self) -> None:
        if self.seeds is not None and self.seed is not None:
            raise RequestError(f"--seeds {self.seeds} and --seed {self.seed} are both given.", "give one of the two")
        if self.warmup >= self.epochs:
            raise RequestError(
                f"--warmup {self.warmup:g} leaves none of --epochs {self.epochs} at the full rate.",
                "give it fewer epochs",
            )
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), float) and not isfinite(value):
                raise RequestError(f"--{field.name.replace('_', '-')} {value} is no number.", "give a finite one")
        if self.clip_norm == 0:
            raise RequestError("--clip-norm 0 leaves no gradient to follow.", "give a length above 0, as 1")
        if self.ema == 1:
            raise RequestError("--ema 1 never moves from the start.", "give a decay below 1, as 0.999")
        if self.ood_every_epoch and not self.ood:
            raise RequestError("--ood-every-epoch has no OOD set to measure.", "add --ood NAME=SPEC")
        if self.train is None:
            raise RequestError(
                "No training set is given.", "add --train SPEC, or --preset NAME (`ftcli presets` lists them)"
            )

    def seed_list(self) -> tuple[int, ...]:
        """The seeds to run, ascending."""
        return tuple(range(self.seeds)) if self.seeds else tuple(int(seed) for seed in self.seed or (0,))


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Probe(Training):
    """Options of `ftcli probe`."""

    solver: Annotated[
        Literal["lbfgs", "sgd"],
        option("lbfgs: the exact path over C on features; sgd: minibatches (--lr, --epochs, …).", panel=TRAINING),
    ] = "lbfgs"
    lr: Annotated[Numbers, rates(PROBE_RATES, " with --solver sgd")] = Numbers(PROBE_RATES)
    bn: BatchNorm = "eval"


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Tuning(Training):
    """How fine-tuning treats the parts of a network: which train, when, how fast, and what holds them back."""

    tune: Annotated[
        Literal["all", "no-embedding", "bn-affine"],
        option("What trains: all, all but block 0, or BatchNorm's affine parameters and the head.", panel=TRAINING),
    ] = "all"
    unfreeze: Annotated[
        Literal["at-once", "first-to-last", "last-to-first"],
        option("When the blocks start: at once, or one more every epochs/L epochs; the head at once.", panel=TRAINING),
    ] = "at-once"
    head_rate: Annotated[
        float, option("The head's rate over the body's.", panel=TRAINING, min=0.0, metavar="FACTOR")
    ] = 1.0
    layer_decay: Annotated[
        float,
        option("Rate of each block over the next one's.", panel=TRAINING, min=0.0, max=1.0, metavar="FACTOR"),
    ] = 1.0
    l2_sp: Annotated[
        float, option("L2-SP: λ of λ‖θ - θ⁰‖², the head left out.", panel=TRAINING, min=0.0, metavar="LAMBDA")
    ] = 0.0
    l1_sp: L1 = 0.0


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Finetune(Tuning):
    """Options of `ftcli finetune`."""

    init: Annotated[
        Literal["checkpoint", "random"],
        option("Where the body starts: the checkpoint, or random weights (the from-scratch control).", panel=MODEL),
    ] = "checkpoint"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init == "random" and (self.l2_sp or self.l1_sp):
            raise RequestError(
                "--l2-sp and --l1-sp pull towards pretrained weights, and --init random has none.", "leave one out"
            )


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Lpft(Tuning):
    """Options of `ftcli lpft`."""

    lr: Annotated[Numbers, rates(LPFT_RATES)] = Numbers(LPFT_RATES)
    bn: BatchNorm = "eval"


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Surgical(Training):
    """Options of `ftcli surgical`."""

    blocks: Annotated[
        Words | None,
        option(
            "What trains, by choice: each; embed, first, middle, last, head, all, none; a number or name; A..B.",
            panel=TRAINING,
            parser=words(),
            default="needed, here or in --auto",
            metavar="A,B,…",
        ),
    ] = None
    auto: Annotated[
        Words | None,
        option(
            f"Choices that no hand makes: {', '.join(AUTOMATIC)}.",
            panel=TRAINING,
            parser=words(AUTOMATIC),
            default="none",
            metavar="A,B,…",
        ),
    ] = None
    merge: Merge = None
    head: Annotated[
        Literal["auto", "keep", "probe"],
        option("Head at the start: the checkpoint's, or probed; auto: kept where its classes fit.", panel=TRAINING),
    ] = "auto"
    snr_threshold: Annotated[
        float,
        option(
            "Share of the highest score below which snr freezes.", panel=TRAINING, min=0.0, max=1.0, metavar="SHARE"
        ),
    ] = 0.5
    l1_sp: L1 = 1e-4
    lr: Annotated[Numbers, rates(SURGICAL_RATES)] = Numbers(SURGICAL_RATES)
    epochs: Epochs = 15
    optimizer: Optimizer = "adam"
    weight_decay: WeightDecay = 1e-4
    schedule: Schedule = "constant"
    bn: BatchNorm = "eval"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.blocks and not self.auto:
            raise RequestError(
                "Nothing says what shall train.", "--blocks each tries every block, --auto rgn lets gradients decide"
            )


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Adapt(Reporting):
    """Options of `ftcli adapt`."""

    checkpoint: Annotated[str | None, weights("needed")] = None
    method: Annotated[
        Literal["tent", "memo"],
        option("tent: entropy of a batch's predictions; memo: of one image's mean over random views.", panel=TRAINING),
    ] = "tent"
    blocks: Annotated[
        Words,
        option(
            "What adapts, choices: each; embed, first, middle, last, head, all, none; a block's number or name; A..B.",
            panel=TRAINING,
            parser=words(),
            default="all",
            metavar="A,B,…",
        ),
    ] = EVERYTHING
    merge: Merge = None
    tensors: Annotated[
        Literal["auto", "norm", "all"],
        option(
            "Of these blocks: norm layers' scale and shift, or all; auto: norm for tent, all for memo.", panel=TRAINING
        ),
    ] = "auto"
    mode: Annotated[
        Literal["auto", "online", "episodic"],
        option(
            "Weights go on from step to step, or each batch or image starts anew; auto: online tent, episodic memo.",
            panel=TRAINING,
        ),
    ] = "auto"
    lr: Annotated[float, option("Learning rate.", panel=TRAINING, min=0.0, metavar="RATE")] = 1e-3
    steps: Annotated[int, option("Steps on each batch, or image.", panel=TRAINING, min=1, metavar="STEPS")] = 1
    batch_size: Annotated[
        int,
        option("Images per step of tent, and where only predictions are made.", panel=MACHINE, min=1, metavar="IMAGES"),
    ] = 200
    augmentations: Annotated[
        int, option("Random views of each image for memo.", panel=TRAINING, min=1, metavar="VIEWS")
    ] = 16
    augment: Annotated[
        Literal["none", "light", "standard"],
        option("Views of memo: as in evaluation; random crop and flip; RandomResizedCrop and flip.", panel=DATA),
    ] = "light"
    seed: Annotated[
        int, option("Seed of the order of each set, and of the views.", panel=TRAINING, min=0, metavar="SEED")
    ] = 0

    def __post_init__(self) -> None:
        if self.checkpoint is None:
            raise RequestError("No checkpoint is given.", "add --checkpoint WHERE")
        if not (self.id_val or self.id_test or self.ood):
            raise RequestError("No set is given to adapt to.", "add --ood NAME=SPEC or --id-test SPEC")
        if not (isfinite(self.lr) and self.lr > 0):
            raise RequestError(f"--lr {self.lr:g} makes no step.", "give a finite rate above 0, as 0.001")
        if self.method == "tent" and self.batch_size == 1:
            raise RequestError("--batch-size 1: one image has no statistics of a batch.", "2 or more, or --method memo")
        if self.method == "memo" and self.augment == "none" and self.augmentations > 1:
            raise RequestError(
                f"--augment none makes {self.augmentations} views of an image the same.", "--augment light or standard"
            )
        if self.precision == "fp16":
            raise RequestError("--precision fp16 needs many steps to find its scale.", "--precision bf16 or fp32")

    @property
    def episodic(self) -> bool:
        """Whether every piece starts from the checkpoint; unless said, as the method's paper has it."""
        return self.mode == "episodic" or (self.mode == "auto" and self.method == "memo")

    @property
    def norms_only(self) -> bool:
        """Whether only scale and shift of normalisation layers adapt; unless said, as the method's paper has it."""
        return self.tensors == "norm" or (self.tensors == "auto" and self.method == "tent")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Evaluate(Reporting):
    """Options of `ftcli evaluate`."""

    checkpoint: ModelArgument

    def __post_init__(self) -> None:
        if not (self.id_val or self.id_test or self.ood):
            raise RequestError("No set is given to evaluate on.", "add --id-test SPEC or --ood NAME=SPEC")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Predict(Running):
    """Options of `ftcli predict`."""

    checkpoint: ModelArgument
    images: Annotated[
        str, typer.Argument(help=f"Images; labels are not needed. {SETTINGS}.", metavar="SPEC", show_default=False)
    ]
    out: Annotated[
        Path | None, option("File to write, .csv or .parquet.", panel=OUTPUT, default="CSV to stdout", metavar="FILE")
    ] = None
    overwrite: Overwrite = False


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Compare(Common):
    """Options of `ftcli compare`."""

    reports: Annotated[
        list[Path], typer.Argument(help="Reports, or the folders that hold them.", metavar="FILE…", show_default=False)
    ]
    against: Annotated[
        str | None,
        option(
            "Report that the others are held against.",
            panel=OUTPUT,
            default="every pair of up to 4, else the first",
            metavar="NAME",
        ),
    ] = None
    format: Annotated[Literal["table", "csv", "markdown"], option("Form of the output.", panel=OUTPUT)] = "table"


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Report(Common):
    """Options of `ftcli report`."""

    file: Annotated[
        Path, typer.Argument(help="A report.json, or the folder that holds it.", metavar="FILE", show_default=False)
    ]


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Blocks(Loading):
    """Options of `ftcli blocks`."""

    checkpoint: ModelArgument


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Data(Common):
    """Options of `ftcli data`."""

    source: Annotated[str, typer.Argument(help=f"A set of images. {SETTINGS}.", metavar="SPEC", show_default=False)]
    damaged: Damaged = "stop"
    save: Annotated[
        Path | None,
        option("Picture of a few examples of each class.", panel=OUTPUT, default="none", metavar="GRID.png"),
    ] = None


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Presets(Common):
    """Options of `ftcli presets`."""

    name: Annotated[
        str | None, typer.Argument(help="One preset, to show whole.", metavar="NAME", show_default="list them all")
    ] = None


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Cache(Common):
    """Options of `ftcli cache`."""

    action: Annotated[
        Literal["show", "clear"],
        typer.Argument(help="Say what is kept, or remove it: show or clear.", metavar="ACTION", show_default="show"),
    ] = "show"
    kind: Annotated[Literal["all", Kind], option("Only this kind of entries.", panel=DATA)] = "all"


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Schema(Common):
    """Options of `ftcli schema`."""


def resolved(config: Common) -> dict[str, Any]:
    """Every option with its value, as JSON has it: the report's `config`."""
    plain: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, Path):
            value = str(value)
        elif isinstance(value, tuple):
            value = list(value)
        plain[field.name.rstrip("_")] = value
    return plain


@dataclass(frozen=True)
class Command:
    """One row of the program: its options, where it runs ("module:function"), its help."""

    options: type[Common]
    runs: str
    help: str
    panel: str


COMMANDS: dict[str, Command] = {
    "probe": Command(Probe, "ftcli.run:train", "Linear probing: train the head alone, on frozen features.", "Train"),
    "finetune": Command(Finetune, "ftcli.run:train", "Fine-tuning: train everything, from a fresh head.", "Train"),
    "lpft": Command(Lpft, "ftcli.run:train", "LP-FT: probe first, then fine-tune from the probed head.", "Train"),
    "surgical": Command(
        Surgical, "ftcli.run:train", "Surgical fine-tuning: train one part, chosen or found out.", "Train"
    ),
    "adapt": Command(Adapt, "ftcli.run:adapt", "Test-time adaptation to each set, without its labels.", "Train"),
    "evaluate": Command(Evaluate, "ftcli.run:evaluate", "Figures of a model on ID and OOD sets.", "Measure"),
    "predict": Command(Predict, "ftcli.run:predict", "Classes of images without labels, as CSV or parquet.", "Measure"),
    "compare": Command(Compare, "ftcli.look:compare", "Many reports as one table, with paired tests.", "Look"),
    "report": Command(Report, "ftcli.look:report", "The tables of a finished run.", "Look"),
    "blocks": Command(Blocks, "ftcli.look:blocks", "The blocks of a model, in order, with their sizes.", "Look"),
    "data": Command(Data, "ftcli.look:data", "Counts and classes of a set of images.", "Look"),
    "presets": Command(Presets, "ftcli.look:presets", "The named benchmarks.", "Look"),
    "cache": Command(Cache, "ftcli.look:cache", "What is kept between runs; clear removes it.", "Look"),
    "schema": Command(Schema, "ftcli.look:schema", "The JSON Schema of report.json.", "Look"),
}  # fmt: skip
