"""Options of every command that trains, and of `probe`."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from ftcli.commands import COMMANDS
from ftcli.config.budget import Budget
from ftcli.config.declare import OUTPUT, TRAINING, Numbers, Words, flag, numbers, option, spec, words
from ftcli.config.details.options import Detailed
from ftcli.config.following import LogWith
from ftcli.config.loop import BatchNorm, Epochs, Optimizer, Schedule, SelectionRule, WeightDecay, rates
from ftcli.config.preparation import Augment, CropScale, check_crop_scale
from ftcli.config.schedule import check_schedule
from ftcli.config.shared import SETTINGS, CutBy, Resumable, SplitSeed, check_finite, weights
from ftcli.data.augmentation.kinds import LEAST_SHARE
from ftcli.errors import RequestError
from ftcli.limits import MAX_PATH_POINTS, MAX_SEEDS

# Learning rates that Kumar et al. 2022 fine-tune with.
FINETUNE_RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
PROBE_RATES = (1e-3, 1e-2, 1e-1, 1.0)
# Of no use to the exact probe, which takes no steps and draws no numbers.
LOOP_OPTIONS = (
    "lr", "seeds", "seed", "label_smoothing", "clip_norm", "ema", "ma", "class_weights", "sampling", "ood_every_epoch",
    "pick", "epoch_zero", "optimizer", "momentum", "weight_decay", "schedule", "warmup", "bn",
)  # fmt: skip
MEASURES = tuple(name for name, row in COMMANDS.items() if row.measure)


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Training(Detailed, Resumable):
    """What every command that trains shares."""

    picks_on_id_val: ClassVar[bool] = True

    checkpoint: Annotated[str | None, weights("needed, here or in a preset")] = None
    train: Annotated[str | None, spec(f"ID training set: {SETTINGS}.", "needed, here or in a preset")] = None
    id_val: Annotated[
        str | None, spec("ID validation set: learning rate and epoch are selected on it.", "cut from train, 10 %")
    ] = None
    id_test: Annotated[str | None, spec("ID test set, only reported.", "cut from train, 10 %")] = None
    split_seed: SplitSeed = 0
    cut_by: CutBy = None
    augment: Augment = "light"
    crop_scale: CropScale = LEAST_SHARE
    lr: Annotated[Numbers, rates(FINETUNE_RATES)] = Numbers(FINETUNE_RATES)
    epochs: Epochs = 10
    budget: Budget = None
    optimizer: Optimizer = "sgd"
    momentum: Annotated[
        float, option("Momentum of sgd (not Nesterov).", panel=TRAINING, min=0.0, max=1.0, metavar="FACTOR")
    ] = 0.9
    weight_decay: WeightDecay = 0.0
    schedule: Schedule = "cosine"
    warmup: Annotated[
        float,
        option(
            "Warm-up: epochs over which the learning rate rises linearly from 0.",
            panel=TRAINING,
            min=0.0,
            metavar="EPOCHS",
        ),
    ] = 0.0
    bn: BatchNorm = "train"
    label_smoothing: Annotated[
        float,
        option(
            "Label smoothing: share of each label that is spread over all classes.",
            panel=TRAINING,
            min=0.0,
            max=1.0,
            metavar="SHARE",
        ),
    ] = 0.0
    clip_norm: Annotated[
        float | None,
        option("Clip the gradient norm to this value.", panel=TRAINING, default="none", min=0.0, metavar="NORM"),
    ] = None
    ema: Annotated[
        float | None,
        option(
            "Evaluate and save an exponential moving average of the weights with this decay.",
            panel=TRAINING,
            default="none",
            min=0.0,
            max=1.0,
            metavar="DECAY",
        ),
    ] = None
    ma: Annotated[
        bool,
        flag(
            "Evaluate and save the mean of the weights over all steps from the second epoch on.",
            "--ma",
            TRAINING,
        ),
    ] = False
    class_weights: Annotated[
        Literal["none", "balanced"],
        option("Class weights in the loss: none, or inversely proportional to class frequency.", panel=TRAINING),
    ] = "none"
    sampling: Annotated[
        Literal["shuffled", "balanced"],
        option("shuffled: each image once per epoch; balanced: every class equally often, on average.", panel=TRAINING),
    ] = "shuffled"
    pick: Annotated[
        Literal["best", "last"], option("Epoch taken from each run: the best on ID-val, or the last.", panel=TRAINING)
    ] = "best"
    epoch_zero: Annotated[
        bool, flag("Include the initial state (epoch 0) in the history and the selection.", "--epoch-zero", TRAINING)
    ] = False
    ood_every_epoch: Annotated[
        bool,
        flag(
            "Measure the OOD sets after every epoch; selection on them is reported separately.",
            "--ood-every-epoch",
            TRAINING,
        ),
    ] = False
    seeds: Annotated[
        int | None,
        option("Number of seeds, 0 to N-1.", panel=TRAINING, default="1", min=1, max=MAX_SEEDS, metavar="N"),
    ] = None
    seed: Annotated[
        Numbers | None,
        option(
            "Comma-separated seeds, instead of --seeds.",
            panel=TRAINING,
            default="0",
            metavar="A,B,…",
            parser=numbers(int, 0, 2**63),
        ),
    ] = None
    measure: Annotated[
        Words | None,
        option(
            "Also measure the selected model against its initial weights; available: distortion.",
            panel=OUTPUT,
            default="none",
            metavar="A,B,…",
            parser=words(MEASURES),
        ),
    ] = None
    log_with: LogWith = None
    dry_run: Annotated[
        bool,
        flag(
            "Print the resolved options, the size of every set and an estimate of the time, and stop.",
            "--dry-run",
            OUTPUT,
        ),
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seeds is not None and self.seed is not None:
            raise RequestError(f"--seeds {self.seeds} and --seed {self.seed} are both given.", "give one of the two")
        if self.warmup >= self.epochs:
            raise RequestError(
                f"--warmup {self.warmup:g} leaves none of --epochs {self.epochs} at the full rate.",
                "give it fewer epochs",
            )
        check_finite(self)
        check_schedule(self.schedule, self.epochs, self.warmup)
        check_crop_scale(self.augment, self.crop_scale)
        if self.budget and self.pick == "last":
            raise RequestError(
                f"--budget {self.budget} ends runs early, and --pick last takes epochs that they do not reach.",
                "leave one of the two out",
            )
        if self.clip_norm == 0:
            raise RequestError("--clip-norm 0 leaves no gradient to follow.", "give a length above 0, as 1")
        if self.ema == 1:
            raise RequestError("--ema 1 never moves from the start.", "give a decay below 1, as 0.999")
        if self.ma and self.ema is not None:
            raise RequestError(f"--ma and --ema {self.ema:g} are two means.", "give one of the two")
        if self.ma and self.epochs < 2:
            raise RequestError("--ma takes the mean from the second epoch on, and there is one.", "--epochs 2 or more")
        if self.ood_every_epoch and not self.ood:
            raise RequestError("--ood-every-epoch has no OOD set to measure.", "add --ood NAME=SPEC")
        if self.train is None:
            raise RequestError(
                "No training set is given.", "add --train SPEC, or --preset NAME (`ftcli presets` lists them)"
            )

    @property
    def random_body(self) -> bool:
        """Whether the body starts from random weights, not from a checkpoint."""
        return False

    def average_names(self) -> list[str]:
        """The names of all averages of weights that are asked for."""
        return []

    @property
    def keeps_weights(self) -> bool:
        """Whether the weights of every run are needed after the pick."""
        return False

    @property
    def training_transforms(self) -> tuple[str, ...]:
        """With which transforms training images are used: "plain", as in evaluation, or "augmented"."""
        return ("augmented", "plain") if self.ma and self.bn == "train" else ("augmented",)

    def seed_list(self) -> tuple[int, ...]:
        """The seeds to run, ascending."""
        return tuple(range(self.seeds)) if self.seeds else tuple(int(seed) for seed in self.seed or (0,))


PathPoints = Annotated[
    int,
    option(
        "Values of C on the exact probe's path, from 1e-7 to 100.",
        panel=TRAINING,
        min=2,
        max=MAX_PATH_POINTS,
        metavar="COUNT",
    ),
]
ProbeC = Annotated[
    Numbers | None,
    option(
        "Values of C of the exact probe instead of its path; ID-val selects among several.",
        panel=TRAINING,
        default="the path",
        metavar="A,B,…",
        parser=numbers(float, 1e-12),
    ),
]


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Probe(Training):
    """Options of `ftcli probe`."""

    solver: Annotated[
        Literal["lbfgs", "sgd"],
        option(
            "lbfgs: exact regularisation path on features; sgd: minibatch training (--lr, --epochs, …).", panel=TRAINING
        ),
    ] = "lbfgs"
    path_points: PathPoints = 100
    rule: SelectionRule = "best"
    lr: Annotated[Numbers, rates(PROBE_RATES, " with --solver sgd")] = Numbers(PROBE_RATES)
    bn: BatchNorm = "eval"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rule == "se" and self.solver == "sgd":
            raise RequestError(
                "--rule se is about C, and --solver sgd has none.", "--solver lbfgs, or leave --rule out"
            )
        if self.budget and self.solver == "lbfgs":
            raise RequestError(
                f"--budget {self.budget}: the exact probe has no epochs, and all values of C are solved together.",
                "--solver sgd, or leave --budget out",
            )

    @property
    def training_transforms(self) -> tuple[str, ...]:
        return ("augmented",) if self.solver == "sgd" else ("plain",)
