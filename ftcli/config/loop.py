"""Options of the training loop that several classes of options share, or give a default of their own."""

from collections.abc import Sequence
from math import inf
from typing import Annotated, Any, Literal

import typer

from ftcli.config.declare import TRAINING, numbers, option
from ftcli.config.schedule import FORMS, complete_schedule, schedule
from ftcli.limits import MAX_LORA_RANK, MAX_MIXUP


def rates(default: Sequence[float], note: str = "") -> Any:
    """The option `--lr`, with a command's own grid in its help."""
    help = "Learning rate, or a comma-separated grid, of which ID-val selects the best."
    return option(
        help,
        panel=TRAINING,
        metavar="A,B,…",
        parser=numbers(float, 1e-12),
        default=", ".join(f"{rate:g}" for rate in default) + note,
    )


def mixup(value: Any) -> float | None:
    """Parser of α: a number above 0, or "none", which takes back what a file says."""
    if str(value).strip() == "none":
        return None
    try:
        alpha = float(value)
    except (TypeError, ValueError):
        raise typer.BadParameter(f"{value!r} is not a number; type one above 0, e.g. 0.7, or none.") from None
    if not 0 < alpha <= MAX_MIXUP:
        raise typer.BadParameter(f"{value!r} is not allowed: above 0, at most {MAX_MIXUP:g}, or none.")
    return alpha


TUNED = ("all", "no-embedding", "bn-affine")  # of --tune, beside lora:R
LORA = "lora:"
INSTALL_PEFT = "python -m pip install peft, or in a clone of ftcli: python -m pip install '.[peft]'"


def tune(value: Any) -> str:
    """Parser of what trains: one of TUNED, or "lora:R" with the rank R."""
    word = str(value).strip()
    rank = word.removeprefix(LORA)
    if word in TUNED:
        return word
    if word == rank or not (rank.isascii() and rank.isdecimal() and len(rank) < 10 and 0 < int(rank) <= MAX_LORA_RANK):
        allowed = f"{', '.join(TUNED)}, or {LORA}R with a rank R from 1 to {MAX_LORA_RANK}, e.g. {LORA}8"
        raise typer.BadParameter(f"{value!r} is not allowed: {allowed}.")
    return f"{LORA}{int(rank)}"


def complete_tune(incomplete: str) -> list[str]:
    """What a shell may complete the beginning of a value of --tune to."""
    return [word for word in (*TUNED, f"{LORA}8") if word.startswith(incomplete)]


def project(value: Any) -> str | None:
    """Parser of a projection: "spd", "spd:0.5", "ftp", "ftp:0.5", or "none"; gives the rule with its strength."""
    rule, _, strength = str(value).strip().partition(":")
    if rule == "none" and not strength:
        return None
    most = {"spd": inf, "ftp": 1.0}.get(rule)
    if most is None:
        raise typer.BadParameter(f"{value!r} is no projection; type spd, ftp, one of them with a strength, or none.")
    try:
        number = float(strength or 1)
    except ValueError:
        raise typer.BadParameter(f"{strength!r} is not a number; type {rule}:1, say.") from None
    if not (0 <= number <= most and number < inf):
        allowed = "at least 0" if most == inf else "from 0 to 1"
        raise typer.BadParameter(f"{value!r} is not allowed: the strength of {rule} is {allowed}.")
    return f"{rule}:{number:g}"


BatchNorm = Annotated[
    Literal["train", "eval"],
    option("Mode of BatchNorm and dropout during training; eval: fixed statistics, no dropout.", panel=TRAINING),
]
Epochs = Annotated[int, option("Number of passes over the training set.", panel=TRAINING, min=1, metavar="PASSES")]
Optimizer = Annotated[Literal["sgd", "adam", "adamw"], option("Optimiser.", panel=TRAINING)]
WeightDecay = Annotated[
    float, option("Weight decay factor; decoupled with adamw.", panel=TRAINING, min=0.0, metavar="FACTOR")
]
Schedule = Annotated[
    str,
    option(
        "Learning-rate schedule: cosine decay to 0, updated at every step; constant; or a tenth after each of the"
        " given numbers of epochs.",
        panel=TRAINING,
        parser=schedule,
        autocompletion=complete_schedule,
        metavar="|".join(FORMS),
    ),
]
Mixup = Annotated[
    float | None,
    option(
        "Mixup: train on weighted means of two images, weights from Beta(ALPHA, ALPHA).",
        panel=TRAINING,
        parser=mixup,
        default="none",
        metavar="ALPHA",
    ),
]
Tune = Annotated[
    str,
    option(
        "What trains: all; all except block 0; scale and shift of BatchNorm, and the head; matrices of rank R beside"
        " the layers of attention, or beside all where there is none, and the head (LoRA).",
        panel=TRAINING,
        parser=tune,
        autocompletion=complete_tune,
        metavar=f"{'|'.join(TUNED)}|{LORA}R",
    ),
]
Project = Annotated[
    str | None,
    option(
        "Project the result of every step towards the start, without the head: SPD with λ, or FTP with k.",
        panel=TRAINING,
        parser=project,
        default="none",
        metavar="spd[:LAMBDA]|ftp[:K]",
    ),
]
L1 = Annotated[
    float,
    option(
        "λ of the L1 penalty λ‖θ - θ⁰‖₁ towards the start, without the head.", panel=TRAINING, min=0.0, metavar="LAMBDA"
    ),
]
SelectionRule = Annotated[
    Literal["best", "se"],
    option(
        "C of the exact probe: the best on ID-val, or the smallest within one standard error of it (se); the report"
        " then has both.",
        panel=TRAINING,
    ),
]
BLOCK_WORDS = ("each", "embed", "first", "middle", "last", "head", "all", "none")  # of --blocks, beside a model's own
Merge = Annotated[
    int | None,
    option(
        "Merge the body's blocks into this number of blocks of nearly equal size.",
        panel=TRAINING,
        min=1,
        default="as they are",
        metavar="BLOCKS",
    ),
]
