"""The option `--budget`: how many epochs the grids of a command may take."""

from typing import Annotated, Any

import typer

from ftcli.config.declare import TRAINING, option

HALVING, AUDIT = "halving", "audit"
MOST = 10**9  # epochs


def budget(value: Any) -> str | None:
    """Parser of a number of epochs, halving or audit; "none" takes back what a file says."""
    word = str(value).strip()
    if word in (HALVING, AUDIT):
        return word
    if word == "none":
        return None
    if not (word.isascii() and word.isdigit() and 0 < int(word) <= MOST):
        raise typer.BadParameter(
            f"{value!r} is not allowed: {HALVING}, {AUDIT}, none, or the largest number of epochs of all runs, e.g. 60."
        )
    return str(int(word))


Budget = Annotated[
    str | None,
    option(
        "Fewer epochs for a grid: halving eliminates rates after epochs 1 and 3; N: also at most N epochs in all;"
        " audit: halving, then the eliminated runs of the first seed, to see what halving lost.",
        panel=TRAINING,
        parser=budget,
        default="none, every run to its end",
        metavar=f"N|{HALVING}|{AUDIT}",
    ),
]
