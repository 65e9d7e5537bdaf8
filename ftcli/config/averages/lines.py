"""The option `--lines`."""

from typing import Any

from ftcli.config.declare import numbers, option


def lines_option(panel: str) -> Any:
    """The option, under a heading of the command's help."""
    return option(
        "Scale the change of block b of L to α + (1 - α)·b/(L - 1) of it, without training (LiNeS); α, or a grid.",
        panel=panel,
        parser=numbers(float, 0.0, 1.0),
        default="none",
        metavar="A,B,…",
    )
