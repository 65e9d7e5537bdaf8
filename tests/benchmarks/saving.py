"""What it costs to save a state at the end of every epoch.

    python -m tests.benchmarks.saving FOLDER_OF_THE_DATA [--epochs 5] [--optimizer adam]

`ftcli finetune` on PACS photo at 112 pixels, one rate: the seconds in which states are written, flushed to the disk and
renamed, over those of the epochs, which end with a pass over ID-val. It is one run, so that both are of the same
machine in the same minutes.
"""

import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any
from unittest import mock

import ftcli
from ftcli.engine.resume.checkpointer import Checkpointer


def main() -> None:
    arguments = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    arguments.add_argument("data", type=Path, help="holds pacs/photo.parquet and checkpoints/mobilenetv2-imagenet")
    arguments.add_argument("--epochs", type=int, default=5)
    arguments.add_argument("--optimizer", default="adam", help="sgd remembers half as much as adam")
    arguments.add_argument("--image-size", type=int, default=112)
    asked = arguments.parse_args()
    took, sizes, plain = list[float](), list[int](), Checkpointer.save

    def save(checkpointer: Checkpointer, run: str, *what: Any) -> None:
        started = time.perf_counter()
        plain(checkpointer, run, *what)
        took.append(time.perf_counter() - started)
        sizes.append(checkpointer.path(run).stat().st_size)

    with tempfile.TemporaryDirectory(prefix="ftcli-saving-") as folder, mock.patch.object(Checkpointer, "save", save):
        report = ftcli.finetune(
            checkpoint=asked.data / "checkpoints/mobilenetv2-imagenet", train=asked.data / "pacs/photo.parquet",
            image_size=asked.image_size, epochs=asked.epochs, optimizer=asked.optimizer, lr=1e-3,
            out=Path(folder, "run"),
        )  # fmt: skip
    epochs = [epoch["seconds"] for epoch in report["runs"][0]["history"]]
    at_epochs = took[:-1]  # the last one is of the finished run
    if len(at_epochs) != len(epochs):
        print(f"{len(at_epochs)} states for {len(epochs)} epochs: one was too short, or long enough for two")
    share = sum(at_epochs) / sum(epochs)
    print(f"{len(epochs)} epochs of {min(epochs):.1f} to {max(epochs):.1f} s; {len(at_epochs)} states of "
          f"{max(sizes) / 1e6:.1f} MB, {min(at_epochs):.3f} to {max(at_epochs):.3f} s each: {100 * share:.2f} % of the "
          "epochs' time")  # fmt: skip


if __name__ == "__main__":
    main()
