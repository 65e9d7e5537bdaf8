"""Options of `ftcli surgical`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ftcli.config.averages.options import Averaged
from ftcli.config.declare import TRAINING, Numbers, Words, option, words
from ftcli.config.loop import BLOCK_WORDS, L1, BatchNorm, Epochs, Merge, Mixup, Optimizer, Schedule, WeightDecay, rates
from ftcli.config.training import ProbeC
from ftcli.errors import RequestError

SURGICAL_RATES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # Lee et al. 2022
AUTOMATIC = ("rgn", "snr", "snr-code", "gradual-first", "gradual-last", "l1")  # choices that no hand makes


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Surgical(Averaged):
    """Options of `ftcli surgical`."""

    blocks: Annotated[
        Words | None,
        option(
            f"Choices of blocks to compare: {', '.join(BLOCK_WORDS)}, number, name, A..B.",
            panel=TRAINING,
            parser=words(offered=BLOCK_WORDS),
            default="needed, here or in --auto",
            metavar="A,B,…",
        ),
    ] = None
    auto: Annotated[
        Words | None,
        option(
            f"Automatic choices: {', '.join(AUTOMATIC)}.",
            panel=TRAINING,
            parser=words(AUTOMATIC),
            default="none",
            metavar="A,B,…",
        ),
    ] = None
    merge: Merge = None
    head: Annotated[
        Literal["auto", "keep", "probe"],
        option("Initial head: the checkpoint's (keep) or a new probe; auto: keep if its classes fit.", panel=TRAINING),
    ] = "auto"
    probe_c: ProbeC = None
    snr_threshold: Annotated[
        float,
        option(
            "With --auto snr, freeze tensors whose score is below this share of the highest.",
            panel=TRAINING,
            min=0.0,
            max=1.0,
            metavar="SHARE",
        ),
    ] = 0.5
    l1_sp: L1 = 1e-4
    lr: Annotated[Numbers, rates(SURGICAL_RATES)] = Numbers(SURGICAL_RATES)
    epochs: Epochs = 15
    optimizer: Optimizer = "adam"
    weight_decay: WeightDecay = 1e-4
    schedule: Schedule = "constant"
    bn: BatchNorm = "eval"
    mixup: Mixup = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.blocks and not self.auto:
            raise RequestError(
                "Nothing says what shall train.", "--blocks each tries every block, --auto rgn lets gradients decide"
            )
        if self.probe_c and self.head == "keep":
            raise RequestError(
                f"--head keep trains no probe, and --probe-c {self.probe_c} is one's.", "leave one of the two out"
            )
