"""The program called inside the test's own process, which saves the seconds of its imports; and tiny work for it."""

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from ftcli.cli.main import main
from ftcli.model.loading.save import save_model
from ftcli.records import plain
from tests.helpers.ended import Ended
from tests.helpers.worlds import coloured, loaded

PAINT = "[red]x\x1b[31m"  # a name that would paint a terminal, read as markup or printed as it is
SMALL = ["--image-size", 32, "--batch-size", 16, "--augment", "none", "--threads", 1]
VARYING = ("created", "argv", "timing")  # what two reports of the same work may differ in, with config's and `seconds`
VARYING_OPTIONS = ("out", "workers", "resume")


class Stream(io.StringIO):
    """What a command writes to: a pipe, or something that says it is a terminal."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def inside(*words: Any, terminal: bool = False, **environment: str) -> Ended:
    """As the fixture `ftcli`, without a new process: inside("probe", "--train", …) -> Ended."""
    out, err, typed = Stream(terminal), Stream(terminal), ["ftcli", *map(str, words)]
    with (
        mock.patch.object(sys, "argv", typed),
        mock.patch.dict(os.environ, environment),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        same_threads(),
    ):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return Ended(typed, code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def same_threads() -> Iterator[None]:
    """Give the process back as it was: a command sets threads and kernels for itself."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)


def checkpoint(folder: Path, name: str = "test_resnet", classes: int = 5) -> Path:
    """A tiny network in timm's own form; its head knows nothing of the classes of the tests."""
    network = loaded(name, classes)
    save_model(folder, network, network.model, None)
    return folder


@dataclass(frozen=True)
class Work:
    """A tiny task on disk: a checkpoint, a training set, and a shifted set with one class less and one more."""

    checkpoint: Path
    train: Path
    far: Path

    @property
    def words(self) -> list[Any]:
        """The options that name it all."""
        return ["--checkpoint", self.checkpoint, "--train", self.train, "--ood", f"far={self.far}", *SMALL]


def work(root: Path) -> Work:
    """The tiny task; one of its classes is called PAINT, and the class that only the shifted set has is worse."""
    train, far = coloured(root / "train", each=20, noise=250), coloured(root / "far", seed=3, noise=325)
    for folder in (train, far):
        (folder / "class1").rename(folder / PAINT)
    (far / "class2").rename(far / f"{PAINT}more")
    return Work(checkpoint(root / "checkpoint"), train, far)


def lasting(report: dict[str, Any]) -> dict[str, Any]:
    """A report without what may differ between two runs of the same work."""
    kept = json.loads(json.dumps(plain({key: value for key, value in report.items() if key not in VARYING})))
    kept["config"] = {key: value for key, value in kept["config"].items() if key not in VARYING_OPTIONS}
    return without_seconds(kept)


def without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_seconds(part) for key, part in value.items() if key != "seconds"}
    return [without_seconds(part) for part in value] if isinstance(value, list) else value


def read(folder: Path) -> dict[str, Any]:
    """The report in a folder."""
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))
