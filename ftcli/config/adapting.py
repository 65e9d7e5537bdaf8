"""The command that learns without labels: `adapt`."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from ftcli.config.declare import DATA, MACHINE, TRAINING, Words, option, words
from ftcli.config.details.options import Detailed
from ftcli.config.following import LogWith
from ftcli.config.loop import BLOCK_WORDS, Merge
from ftcli.config.preparation import CropScale, check_crop_scale
from ftcli.config.shared import Resumable, check_finite, weights
from ftcli.data.augmentation.kinds import LEAST_SHARE, POLICY_HELP, Augmentation
from ftcli.errors import RequestError
from ftcli.limits import MAX_COUNT, MAX_SEED, MAX_VIEWS

EVERYTHING = Words(("all",))


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Adapt(Detailed, Resumable):
    """Options of `ftcli adapt`."""

    one_model: ClassVar[bool] = False

    checkpoint: Annotated[str | None, weights("needed, here or in a preset")] = None
    method: Annotated[
        Literal["tent", "memo"],
        option("Minimise the entropy of a batch's predictions (tent) or of an image's mean (memo).", panel=TRAINING),
    ] = "tent"
    blocks: Annotated[
        Words,
        option(
            f"Choices of blocks to compare: {', '.join(BLOCK_WORDS)}, number, name, A..B.",
            panel=TRAINING,
            parser=words(offered=BLOCK_WORDS),
            default="all",
            metavar="A,B,…",
        ),
    ] = EVERYTHING
    merge: Merge = None
    tensors: Annotated[
        Literal["auto", "norm", "all"],
        option(
            "Tensors that adapt: scale and shift of normalisation layers, or all; auto: norm for tent, all for memo.",
            panel=TRAINING,
        ),
    ] = "auto"
    mode: Annotated[
        Literal["auto", "online", "episodic"],
        option(
            "online: weights carry over; episodic: reset for each batch or image; auto: online tent, episodic memo.",
            panel=TRAINING,
        ),
    ] = "auto"
    lr: Annotated[float, option("Learning rate, above 0.", panel=TRAINING, metavar="RATE")] = 1e-3
    steps: Annotated[int, option("Steps per batch (tent) or image (memo).", panel=TRAINING, min=1, metavar="STEPS")] = 1
    batch_size: Annotated[
        int,
        option(
            "Images per step of tent, and per batch of other passes.",
            panel=MACHINE,
            min=1,
            max=MAX_COUNT,
            metavar="IMAGES",
        ),
    ] = 200
    augmentations: Annotated[
        int, option("Random views of each image for memo.", panel=TRAINING, min=1, max=MAX_VIEWS, metavar="VIEWS")
    ] = 16
    augment: Annotated[
        Augmentation,
        option(
            "Random views for memo: none; flip: horizontal flip; light: random crop and flip; standard:"
            f" RandomResizedCrop and flip; {POLICY_HELP}.",
            panel=DATA,
        ),
    ] = "light"
    crop_scale: CropScale = LEAST_SHARE
    seed: Annotated[
        int,
        option("Seed of the order of each set, and of the views.", panel=TRAINING, min=0, max=MAX_SEED, metavar="SEED"),
    ] = 0

    log_with: LogWith = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.checkpoint is None:
            raise RequestError("No checkpoint is given.", "add --checkpoint WHERE")
        if not (self.id_val or self.id_test or self.ood):
            raise RequestError("No set is given to adapt to.", "add --ood NAME=SPEC or --id-test SPEC")
        check_finite(self)
        check_crop_scale(self.augment, self.crop_scale)
        if self.lr <= 0:
            raise RequestError(f"--lr {self.lr:g} makes no step.", "give a rate above 0, as 0.001")
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
