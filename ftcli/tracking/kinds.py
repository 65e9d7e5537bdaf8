"""How a run of each tracker is opened, through accelerate.tracking. Trackers write below the run folder unless the
environment says otherwise.
"""

import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

from accelerate import PartialState
from accelerate.tracking import GeneralTracker, MLflowTracker, TensorBoardTracker, WandBTracker

from ftcli.errors import RequestError
from ftcli.run_folder.names import TENSORBOARD, TRACKER_FILES

PROJECT = "ftcli"  # of W&B


@dataclass(frozen=True)
class Place:
    """Where runs are logged. folder: the run folder, whose name joins its runs in W&B and MLflow."""

    folder: Path
    quiet: bool

    @property
    def group(self) -> str:
        return self.folder.absolute().name

    def below(self, *names: str) -> Path:
        """A folder for the files of trackers, made where it is missing."""
        path = self.folder.absolute().joinpath(TRACKER_FILES, *names)
        path.mkdir(parents=True, exist_ok=True)
        return path


def open_tracker(name: str, run: str, known_id: str, step: int, place: Place) -> tuple[GeneralTracker, str]:
    """A run of the tracker, new or gone on with, and its id there.

    known_id: of a run to go on with, else empty. step: the first that will be logged. Raises whatever the tracker does.
    """
    if not PartialState._shared_state:  # in which accelerate's own messages look
        PartialState(cpu=True)
    tracker, run_id = OPENERS[name](run, known_id, step, place)
    tracker.main_process_only = False  # no other process has trackers
    if hasattr(tracker, "start"):  # in older versions of accelerate the constructor has done it
        tracker.start()
    return tracker, run_id or tracker.tracker.info.run_id


def tensorboard(run: str, known_id: str, step: int, place: Place) -> tuple[GeneralTracker, str]:
    """A folder of event files; what it holds of `step` and later steps no longer counts."""
    folder = re.sub(r"[/\\\0]", "_", run)
    return TensorBoardTracker(folder, logging_dir=place.below(TENSORBOARD), purge_step=step), run


def wandb(run: str, known_id: str, step: int, place: Place) -> tuple[GeneralTracker, str]:
    from wandb import Settings

    run_id = known_id or uuid4().hex[:12]
    settings = Settings(console="off", silent=place.quiet)
    tracker = WandBTracker(
        os.environ.get("WANDB_PROJECT", PROJECT), name=run, id=run_id, resume="allow", settings=settings,
        group=os.environ.get("WANDB_RUN_GROUP", place.group), dir=os.environ.get("WANDB_DIR", str(place.below())),
    )  # fmt: skip
    return tracker, run_id


def mlflow(run: str, known_id: str, step: int, place: Place) -> tuple[GeneralTracker, str]:
    """The run folder is the experiment, in a database below it. MLflow gives a new run its id."""
    import mlflow

    artifacts = None
    if "MLFLOW_TRACKING_URI" not in os.environ:
        folder = place.below("mlflow")
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        artifacts = folder.as_uri()
    return MLflowTracker(place.group, logging_dir=artifacts, run_id=known_id or None, run_name=run), known_id


OPENERS = {"tensorboard": tensorboard, "wandb": wandb, "mlflow": mlflow}


def store_options(name: str, tracker: GeneralTracker, options: dict[str, Any]) -> None:
    """Give a run its options, which are JSON scalars."""
    if name == TENSORBOARD:  # accelerate would put them into a run of their own, named after the time
        tracker.tracker.add_hparams(options, {}, run_name=".")
    else:
        tracker.store_init_configuration(options)


def log_step(name: str, tracker: GeneralTracker, figures: dict[str, float], step: int) -> None:
    """Log the figures of a step. W&B would keep them back until the next step."""
    tracker.log(figures, step=step, **({"commit": True} if name == "wandb" else {}))


def check_installed(names: tuple[str, ...]) -> None:
    """Raises RequestError where a tracker's package is missing."""
    for name in names:
        spec = find_spec(name)
        if spec is None or spec.origin is None:  # a folder of this name is no package
            raise RequestError(f"--log-with {name}: the package {name} is not installed.", f"pip install {name}")
