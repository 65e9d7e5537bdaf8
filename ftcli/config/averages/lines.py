"""The option `--lines`."""

from typing import Annotated

from ftcli.config.declare import MEASURE, Numbers, numbers, option

Lines = Annotated[
    Numbers | None,
    option(
        "Scale the change of block b of L to α + (1 - α)·b/(L - 1) of it, without training (LiNeS); α, or a grid.",
        panel=MEASURE,
        parser=numbers(float, 0.0, 1.0),
        default="none",
        metavar="A,B,…",
    ),
]
