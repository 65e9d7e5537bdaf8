"""How far a run of the loop is: put into its state, and taken from there."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from ftcli.engine.resume.checkpointer import Checkpointer, Part
from ftcli.engine.select import Candidate
from ftcli.engine.training_run import Run
from ftcli.engine.update import Updater

FIGURES = ("seed", "accuracy", "loss", "epoch", "lr")  # of a candidate


@dataclass(frozen=True)
class Position:
    """Whole epochs that are done, and updates of the next one, with its losses and shares of the rate."""

    epochs: int = 0
    updates: int = 0
    losses: list[float] = field(default_factory=list)
    shares: dict[str, float] | None = None
    finished: bool = False


class Progress:
    """How far one run is: `at`, from its state where the journal has one. Without a journal it only counts."""

    def __init__(self, checkpointer: Checkpointer | None, name: str, run: Run, updater: Updater) -> None:
        self.checkpointer, self.name, self.run, self.updater = checkpointer, name, run, updater
        self.part = checkpointer.find(name) if checkpointer else None
        updater.machine.meet()  # the first process may change the file as soon as all have read it
        self.at = Position()
        if checkpointer and self.part:
            with checkpointer.trusting(name):
                self.at = load_progress(self.part, run, updater)

    def enter(self) -> None:
        """After the updater has begun an epoch: go on within it, where the state is from there."""
        if self.checkpointer:
            self.checkpointer.attended = True
        if self.part is not None and self.at.updates:
            self.updater.losses = list(self.at.losses)
            set_random_states(self.part.under("rng."), self.updater)

    def stepped(self, epoch: int, updates: int, shares: dict[str, float] | None) -> None:
        """So many updates of an epoch are made. Raises Stopped where that is wished."""
        if self.checkpointer and self.checkpointer.due():
            self.updater.look()
            self.save(Position(epoch - 1, updates, self.updater.losses, shares))

    def ended(self, epoch: int) -> None:
        """An epoch is over, ID-val and all. Raises Stopped where that is wished."""
        self.at = Position(epoch)
        if self.checkpointer and self.checkpointer.due_at_epoch():
            self.save(self.at)

    def finished(self) -> None:
        """The run is over. Raises Stopped where that is wished."""
        if self.checkpointer:
            self.checkpointer.attended = False
        self.save(Position(finished=True))

    def save(self, position: Position) -> None:
        """Put all that the rest of the run depends on into its state."""
        if self.checkpointer is None:
            return
        run, updater = self.run, self.updater
        tensors = {f"pick.{key}": tensor for key, tensor in picked(run, updater).items()}
        if not position.finished:
            tensors |= {f"at.{key}": tensor for key, tensor in updater.tensors_of_state().items()}
            tensors |= {f"rng.{key}": state for key, state in random_states(updater).items()}
        said = {
            "position": asdict(position), "updater": updater.figures_of_state(), "history": run.history,
            "scores": run.scores, "diverged": run.diverged,
            "candidate": run.candidate and {key: getattr(run.candidate, key) for key in FIGURES},
        }  # fmt: skip
        self.checkpointer.save(self.name, tensors, said)
        self.checkpointer.check()


def picked(run: Run, updater: Updater) -> dict[str, Tensor]:
    """What of the weights that the run stands for may differ from its start."""
    return {key: run.candidate.state[key] for key in updater.changing} if run.candidate else {}


def check_said(said: Mapping[str, Any], picked: Collection[str], updater: Updater) -> None:
    """Raises ValueError for a state that no run of this configuration can have."""
    position, epochs = Position(**said["position"]), updater.config.epochs
    seen = [entry["id_val"]["accuracy"] for entry in said["history"]]
    possible = {
        "position": all(type(n) is int and n >= 0 for n in (position.epochs, position.updates))
        and position.epochs <= epochs and len(position.losses) == position.updates,
        "losses": all(isinstance(loss, float) for loss in position.losses),
        "history": len(seen) <= epochs + 1 and all(0 <= accuracy <= 1 for accuracy in seen),
        "candidate": not said["candidate"] or said["candidate"]["accuracy"] in seen,
        "weights": set(picked) <= updater.changing.keys() and (not picked or bool(said["candidate"])),
        "end": not position.finished or bool(said["candidate"] or said["diverged"]),
        "ceiling": isinstance(said["updater"]["ceiling"], float),
    }  # fmt: skip
    if wrong := [name for name, fine in possible.items() if not fine]:
        raise ValueError(f"its {wrong[0]} cannot be that of this run")


def load_progress(part: Part, run: Run, updater: Updater) -> Position:
    """Bring a run that has not begun to where its state says, but for its random numbers."""
    check_said(part.said, part.under("pick."), updater)
    said, start = part.said, {name: tensor.detach().to("cpu", copy=True) for name, tensor in updater.weights.items()}
    run.history, run.scores, run.diverged = said["history"], said["scores"], said["diverged"]
    if said["candidate"]:
        run.candidate = Candidate(**said["candidate"], state=start | part.under("pick."))
    updater.parts.cut(said["updater"]["parts"])
    position = Position(**said["position"])
    if not position.finished:
        updater.restore(part.under("at."), said["updater"])
    return position


def random_states(updater: Updater) -> dict[str, Tensor]:
    """The states of the generators that dropout and its kin draw from."""
    device = updater.machine.device
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_states(states: dict[str, Tensor], updater: Updater) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], updater.machine.device)
