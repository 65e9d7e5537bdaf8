"""Options of `ftcli agreement`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from ftcli.config.declare import OUTPUT, option
from ftcli.config.measuring import Measuring
from ftcli.errors import RequestError


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Agreement(Measuring):
    """Options of `ftcli agreement`."""

    sheet: Annotated[
        Path | None,
        option("Write a contact sheet of the mistakes of A and B.", panel=OUTPUT, default="none", metavar="SHEET.png"),
    ] = None
    mistakes: Annotated[
        Literal["uncommon", "common", "g1", "g2"],
        option("Mistakes on the sheet: of exactly one model, of both, only of A (g1), only of B (g2).", panel=OUTPUT),
    ] = "uncommon"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mistakes != "uncommon" and not self.sheet:
            raise RequestError(f"--mistakes {self.mistakes} is for a contact sheet.", "add --sheet SHEET.png")
