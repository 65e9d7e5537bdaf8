"""How far a run of the training loop is, and its saved state: captured, checked and restored."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from ftcli.engine.resume.checkpointer import SavedState
from ftcli.engine.select import Candidate
from ftcli.engine.training_run import Run
from ftcli.engine.training_state import TrainingState
from ftcli.engine.types import Epoch, EpochScores
from ftcli.records import decoded, plain

PICKED = "pick."  # begins the names of the tensors that a run puts forward
CANDIDATE_FIELDS = ("seed", "accuracy", "loss", "epoch", "lr")


@dataclass(frozen=True)
class Position:
    """Epochs that are complete, and of the next one the updates made, their losses, and the scores' shares of the rate.

    random_states: of the generators that dropout draws from, within an epoch.
    """

    epochs: int = 0
    updates: int = 0
    losses: list[float] = field(default_factory=list)
    shares: dict[str, float] | None = None
    finished: bool = False
    random_states: Mapping[str, Tensor] = field(default_factory=dict, compare=False, repr=False)


def capture_run(run: Run, state: TrainingState, position: Position) -> SavedState:
    """Everything that the rest of the run depends on; of a finished run, what it puts forward. Raises Diverged."""
    if position.updates:
        state.loss_watch.read()
    tensors: dict[str, Tensor] = {}
    if run.candidate:
        tensors |= {PICKED + name: run.candidate.state[name] for name in state.changeable}
    if not position.finished:
        tensors |= {f"at.{name}": tensor for name, tensor in state.tensors().items()}
        tensors |= {f"rng.{name}": values for name, values in random_states(state.machine.device).items()}
    values = {
        "position": {key: value for key, value in asdict(position).items() if key != "random_states"},
        "updater": state.numbers(), "history": plain(run.history),
        "scores": plain(run.scores), "diverged": run.diverged,
        "candidate": run.candidate and {key: getattr(run.candidate, key) for key in CANDIDATE_FIELDS},
    }  # fmt: skip
    return SavedState(tensors, values)


def restore_run(saved: SavedState, run: Run, state: TrainingState, epochs: int, until: int) -> Position:
    """Put a run that has not begun back to its saved state, except for the random states.

    until: the last epoch that is asked for. Of a run that has come so far, the weights under training are not restored.

    Raises ValueError, or whatever the content leads to, for a state that no run of these options can have.
    """
    values, picked = saved.values, saved.under(PICKED)
    check_values(values, picked, state, epochs)
    run.history, run.scores = decoded(values["history"], list[Epoch]), decoded(values["scores"], list[EpochScores])
    run.diverged = values["diverged"]
    if values["candidate"]:
        start = {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.weights.items()}
        run.candidate = Candidate(**values["candidate"], state=start | picked)
    state.micro_batches.set_count(values["updater"]["parts"])
    position = Position(**values["position"], random_states=saved.under("rng."))
    if not position.finished and position.epochs < until:
        state.restore(saved.under("at."), values["updater"])
    return position


def check_values(values: Mapping[str, Any], picked: Collection[str], state: TrainingState, epochs: int) -> None:
    """Raises ValueError for values that no run of these options can have."""
    position = Position(**values["position"])
    accuracies = [entry["id_val"]["accuracy"] for entry in values["history"]]
    possible = {
        "position": all(type(n) is int and n >= 0 for n in (position.epochs, position.updates))
        and position.epochs <= epochs and len(position.losses) == position.updates,
        "losses": all(isinstance(loss, float) for loss in position.losses),
        "history": len(accuracies) <= epochs + 1 and all(0 <= accuracy <= 1 for accuracy in accuracies),
        "candidate": not values["candidate"] or values["candidate"]["accuracy"] in accuracies,
        "weights": set(picked) <= state.changeable.keys() and (not picked or bool(values["candidate"])),
        "end": not position.finished or bool(values["candidate"] or values["diverged"]),
        "ceiling": isinstance(values["updater"]["ceiling"], float),
    }  # fmt: skip
    if wrong := [name for name, fine in possible.items() if not fine]:
        raise ValueError(f"its {wrong[0]} cannot be that of this run")


def random_states(device: torch.device) -> dict[str, Tensor]:
    """The states of the generators that dropout and stochastic depth draw from."""
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
