"""Options of `finetune` and `lpft`."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from ftcli.config.averages.options import Averaged
from ftcli.config.declare import MODEL, TRAINING, Numbers, option
from ftcli.config.loop import INSTALL_PEFT, L1, LORA, BatchNorm, Mixup, Project, SelectionRule, Tune, rates
from ftcli.config.shared import weights
from ftcli.config.training import PathPoints, ProbeC
from ftcli.errors import RequestError
from ftcli.limits import MAX_HEAD_SCALE

# From a probed head the best rate can lie thousands of times below the best one from a fresh head.
LPFT_RATES = (3e-7, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3)

HeadWeights = Annotated[
    Path | None,
    option(
        "Weights of the head: a tensor [D] for each class, by its name, as of a zero-shot classifier; the bias is 0.",
        panel=MODEL,
        default="none",
        metavar="FILE.safetensors",
    ),
]


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Tuning(Averaged):
    """How fine-tuning treats the parts of a network: which train, when, how fast, and what holds them back."""

    tune: Tune = "all"
    unfreeze: Annotated[
        Literal["at-once", "first-to-last", "last-to-first"],
        option("Gradual unfreezing: off (at-once), or one more of L blocks every epochs/L epochs.", panel=TRAINING),
    ] = "at-once"
    head_rate: Annotated[
        float, option("Learning rate of the head, relative to the body's.", panel=TRAINING, min=0.0, metavar="FACTOR")
    ] = 1.0
    layer_decay: Annotated[
        float,
        option(
            "Ratio of a block's learning rate to the next block's.",
            panel=TRAINING,
            min=0.0,
            max=1.0,
            metavar="FACTOR",
        ),
    ] = 1.0
    l2_sp: Annotated[
        float,
        option(
            "λ of the L2-SP penalty λ‖θ - θ⁰‖² towards the start, without the head.",
            panel=TRAINING,
            min=0.0,
            metavar="LAMBDA",
        ),
    ] = 0.0
    l1_sp: L1 = 0.0
    ldifs: Annotated[
        float,
        option(
            "α of the LDIFS penalty on the change of the blocks' outputs, normalised over channels.",
            panel=TRAINING,
            min=0.0,
            metavar="ALPHA",
        ),
    ] = 0.0
    project: Project = None
    mixup: Mixup = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.project and self.weight_decay:
            raise RequestError(
                f"--project {self.project} takes the place of --weight-decay {self.weight_decay:g}.", "leave one out"
            )
        if self.lora_rank is not None:
            self.check_lora()

    def check_lora(self) -> None:
        """Raises RequestError for what does not go with matrices of low rank, and where PEFT is not installed."""
        whole = {"--l2-sp": self.l2_sp, "--l1-sp": self.l1_sp, "--project": self.project}
        if given := [f"{option} {value}" for option, value in whole.items() if value]:
            raise RequestError(
                f"--tune {self.tune}: {given[0]} acts on the weights W of the body, of which only W + BA trains here.",
                "leave it out; a lower rank, rate or number of epochs holds the weights back too",
            )
        if self.random_body:
            raise RequestError(
                f"--tune {self.tune} changes pretrained weights little, and --init random has none.",
                "--tune all",
            )
        if find_spec("peft") is None:
            raise RequestError(f"--tune {self.tune} needs PEFT, which is not installed.", INSTALL_PEFT)

    @property
    def lora_rank(self) -> int | None:
        """R of --tune lora:R; None where something else trains."""
        return int(self.tune.removeprefix(LORA)) if self.tune.startswith(LORA) else None


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Finetune(Tuning):
    """Options of `ftcli finetune`."""

    checkpoint: Annotated[str | None, weights("needed, here or in a preset, unless --init random")] = None

    init: Annotated[
        Literal["checkpoint", "random"],
        option("Initial weights of the body: the checkpoint's, or random (training from scratch).", panel=MODEL),
    ] = "checkpoint"
    head_weights: HeadWeights = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.random_body and self.head_weights:
            raise RequestError(
                "--head-weights are made for the features of a checkpoint, and --init random has none.", "leave one out"
            )
        if self.random_body and self.measure:
            raise RequestError(
                "--measure distortion: what starts at random has no features to distort.", "leave --measure out"
            )
        pulls = {"--l2-sp": self.l2_sp, "--l1-sp": self.l1_sp, "--ldifs": self.ldifs, "--project": self.project}
        if self.init == "random" and (given := [option for option, value in pulls.items() if value]):
            raise RequestError(
                f"{given[0]} pulls towards pretrained weights, and --init random has none.", "leave one out"
            )

    def check_several(self, name: str, least: int) -> None:
        """Seeds with random heads are several models, where there are as many as the estimate needs."""
        if self.head_weights:
            raise RequestError(
                f"--estimate {name} compares models fine-tuned from heads of their own, and --head-weights gives "
                "every seed the same.",
                f"leave {name} or --head-weights out",
            )
        if (seeds := len(self.seed_list())) < least:
            raise RequestError(
                f"--estimate {name} compares at least {least} seeds, and there are {seeds}.", f"--seeds {least}"
            )

    @property
    def random_body(self) -> bool:
        return self.init == "random"


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Lpft(Tuning):
    """Options of `ftcli lpft`."""

    path_points: PathPoints = 100
    rule: SelectionRule = "best"
    probe_c: ProbeC = None
    head_scale: Annotated[
        float,
        option(
            "Factor on the probed head's weights and bias, before the second stage.",
            panel=TRAINING,
            min=0.0,
            max=MAX_HEAD_SCALE,
            metavar="FACTOR",
        ),
    ] = 1.0
    lr: Annotated[Numbers, rates(LPFT_RATES)] = Numbers(LPFT_RATES)
    bn: BatchNorm = "eval"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.head_scale == 0:
            raise RequestError("--head-scale 0 takes away all that the probe found.", "give a factor above 0, as 0.1")
        if self.probe_c and self.path_points != Lpft.path_points:
            raise RequestError(
                f"--probe-c {self.probe_c} takes the place of the path of --path-points {self.path_points}.",
                "give one of the two",
            )

    @property
    def training_transforms(self) -> tuple[str, ...]:
        return ("plain", "augmented")
