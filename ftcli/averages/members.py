"""What the averages of a command are made of: the weights that its training began with, and those of its runs."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

from msgspec import UNSET
from torch import Tensor, nn

from ftcli.averages.types import Member
from ftcli.config.averages.options import Averaged
from ftcli.engine.batchnorm import has_statistics
from ftcli.engine.grid import Trained, run_name
from ftcli.engine.probe.regularization_path import DEFAULT_CS
from ftcli.engine.resume.kept_weights import KeptWeights
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.select import ROUNDING
from ftcli.errors import RequestError
from ftcli.limits import MAX_KEPT_WEIGHTS
from ftcli.log import Log
from ftcli.methods.initial_head import copy_with_fresh_head
from ftcli.methods.probe import fit_head
from ftcli.model.head import classifier_tensors
from ftcli.model.loading.load import Loaded
from ftcli.model.weights import State
from ftcli.safe_text import counted

WITHIN = 0.05  # of the pick's ID-val accuracy lies that of every member, as a fraction


@dataclass(frozen=True)
class Kept:
    """A member with its weights, which are read from its saved state."""

    member: Member
    weights: State


def check_averages(config: object, model: nn.Module, searches: int, processes: int) -> None:
    """Raises RequestError for weights that would take too much of the disk, and where BatchNorm cannot be estimated.

    searches: how many grids there are.
    """
    if not isinstance(config, Averaged) or not config.average_names():
        return
    if processes > 1 and reestimates(config, model):
        raise RequestError(
            "BatchNorm statistics of averages are estimated anew by one process.",
            "--bn eval, leave --average and --lines out, or start one process",
        )
    runs = searches * len(config.lr) * len(config.seed_list())
    size = runs * sum(tensor.nbytes for tensor in model.state_dict().values())
    if config.keeps_weights and size > MAX_KEPT_WEIGHTS:
        raise RequestError(
            f"--average keeps the weights of {counted(runs, 'run', 'runs')} on disk until its end, about"
            f" {size / 2**30:,.1f} GiB; at most {MAX_KEPT_WEIGHTS / 2**30:,.0f} GiB are allowed.",
            "fewer rates with --lr, fewer --seeds, or --average wise, which needs the pick alone",
        )


def reestimates(config: Averaged, model: nn.Module) -> bool:
    """Whether running statistics have trained, so that those of an average are estimated anew: not with LoRA."""
    return config.bn == "train" and has_statistics(model) and getattr(config, "lora_rank", None) is None


def initial_weights(trained: Trained, loaded: Loaded, inputs: RunInputs, seed: int, log: Log) -> dict[str, Tensor]:
    """θ⁰, on the CPU: the body that training began with, under the head that it began with.

    Where every seed began with a head of its own, that is a probe on the untouched body.
    """
    model = loaded.model
    if trained.own_heads:
        model = inputs.machine.place(deepcopy(model))
        fit_head(model, inputs, DEFAULT_CS, seed, log)
    return {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}


def members_of(trained: Trained, start: Mapping[str, Tensor], loaded: Loaded, inputs: RunInputs) -> list[Kept]:
    """Every run that came to its end, has trained and reached the pick's ID-val accuracy, less `WITHIN`; by seed and
    rate.

    start: θ⁰.
    """
    assert inputs.checkpointer is not None
    inputs.machine.wait_for_all()  # until the first process has saved the last state
    runs = trained.choices[trained.choice].runs if trained.choice else trained.runs
    heads: dict[int, Mapping[str, Tensor]] = {}
    members = []
    for run in runs:
        if run.diverged or run.id_val is None or run.lr is UNSET or run.eliminated is not UNSET:
            continue
        if run.id_val.accuracy < trained.best.accuracy - WITHIN - ROUNDING:
            continue
        assert isinstance(run.epoch, int)
        if run.epoch == 0:  # with --epoch-zero: θ⁰ itself
            continue
        if trained.own_heads and run.seed not in heads:
            heads[run.seed] = head_of_seed(loaded, inputs, run.seed)
        name = run_name(run.seed, run.lr, trained.choice or "")
        weights = KeptWeights(inputs.checkpointer, name, {**start, **heads.get(run.seed, {})})
        members.append(Kept(Member(run.seed, run.lr, run.epoch, run.id_val), weights))
    return members


def head_of_seed(loaded: Loaded, inputs: RunInputs, seed: int) -> dict[str, Tensor]:
    """The head that the runs of a seed began with, on the CPU."""
    model = copy_with_fresh_head(loaded.model, inputs, seed)
    own = model.state_dict()
    return {name: own[name].detach().cpu() for name in classifier_tensors(model)}
