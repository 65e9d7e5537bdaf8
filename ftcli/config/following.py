"""How a run is followed while it goes on: the form of its progress, and trackers of experiments."""

from typing import Annotated, Literal

from ftcli.config.declare import OUTPUT, Words, option, words

TRACKERS = ("tensorboard", "wandb", "mlflow")

Progress = Annotated[
    Literal["auto", "lines", "json"],
    option("Progress on stderr: bars on a terminal, else lines (auto); lines; JSON lines.", panel=OUTPUT),
]
LogWith = Annotated[
    Words | None,
    option(
        f"Log every epoch, the options and the final figures with these trackers: {', '.join(TRACKERS)}.",
        panel=OUTPUT,
        default="none",
        metavar="A,B,…",
        parser=words(TRACKERS),
    ),
]
