"""Options of the commands that average the weights of their own runs."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from ftcli.config.averages.lines import lines_option
from ftcli.config.declare import MACHINE, OUTPUT, TRAINING, Numbers, Words, flag, option, words
from ftcli.config.training import Training
from ftcli.errors import RequestError

RULES = ("wise", "uniform", "greedy", "stock")
OF_SEVERAL = RULES[1:]  # those that average several runs
WISE, LINES = ("wise-0.5", "wise-pick", "wise-se"), ("lines-pick", "lines-se")  # names of averages by one rule
PICK, AVERAGE = "pick", "average:"


def saved(value: Any) -> str:
    """Parser of what is saved: pick, or average:NAME."""
    word = str(value).strip()
    if word != PICK and not (word.startswith(AVERAGE) and word != AVERAGE):
        raise typer.BadParameter(f"{value!r} is not allowed: {PICK}, or {AVERAGE}NAME, e.g. {AVERAGE}uniform.")
    return word


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Averaged(Training):
    """What every command shares that trains the body: averages of the weights of its own runs, memory."""

    grad_checkpointing: Annotated[
        bool,
        flag(
            "Gradient checkpointing: compute activations again in the backward pass, for less memory.",
            "--grad-checkpointing",
            MACHINE,
        ),
    ] = False

    average: Annotated[
        Words | None,
        option(
            f"Also measure averages of the runs' weights: {', '.join(RULES)}.",
            panel=TRAINING,
            parser=words(RULES),
            default="none",
            metavar="A,B,…",
        ),
    ] = None
    lines: Annotated[Numbers | None, lines_option(TRAINING)] = None
    save: Annotated[
        str,
        option(
            f"Model that is saved: the one picked on ID-val, or an average, e.g. {AVERAGE}uniform.",
            panel=OUTPUT,
            parser=saved,
            metavar=f"{PICK}|{AVERAGE}NAME",
        ),
    ] = PICK

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grad_checkpointing and self.compile:
            raise RequestError(
                "--grad-checkpointing runs blocks again, and --compile decides by itself what is computed again.",
                "leave one of the two out",
            )
        names = self.average_names()
        if self.saved_average and self.saved_average not in names:
            there = f"there are {', '.join(names)}" if names else "no average is asked for"
            fix = f"--save {AVERAGE}{names[0]}" if names else "add --average wise,uniform,greedy,stock"
            raise RequestError(f"--save {self.save}: {there}.", fix)
        if names and self.random_body:
            raise RequestError(
                "--average and --lines need runs that begin with the same weights, and --init random draws each anew.",
                "leave one of them out",
            )

    @property
    def saved_average(self) -> str | None:
        """The name of the average that is saved; None where that is the pick."""
        return self.save.removeprefix(AVERAGE) if self.save.startswith(AVERAGE) else None

    @property
    def keeps_weights(self) -> bool:
        """Whether an average needs the weights of every run."""
        return any(rule in OF_SEVERAL for rule in self.average or ())

    @property
    def training_transforms(self) -> tuple[str, ...]:
        return ("plain", "augmented") if self.average or self.lines else super().training_transforms

    def average_names(self) -> list[str]:
        """The names of all averages that are asked for."""
        names = [name for rule in self.average or () for name in (WISE if rule == "wise" else (rule,))]
        lines = self.lines or ()
        return [*names, *((f"lines-{lines[0]:g}",) if len(lines) == 1 else LINES if lines else ())]
