"""The training methods, one file each: which tensors train, from which head, in what order. None owns a loop."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from ftcli.config.training import Training
from ftcli.data.task import Task
from ftcli.engine.experiment import Experiment
from ftcli.engine.grid import Trained
from ftcli.log import Log
from ftcli.methods.finetune import finetune
from ftcli.methods.lpft import lpft
from ftcli.methods.probe import probe
from ftcli.methods.surgical import match_head, surgical, trainable_by_choice
from ftcli.model.loading.load import Loaded


@dataclass(frozen=True)
class Method:
    """One training method.

    Attributes:
        train: the method itself.
        match_head: fits a loaded head to the task's classes; None where the method starts from a fresh head.
        trainable_by_choice: how many parameters train under each choice that the method compares; None where it
            compares none. Raises RequestError for a choice that the model does not have.
    """

    train: Callable[[Loaded, Experiment, Training, Log], Trained]
    match_head: Callable[[Loaded, Task, Training, Log], Loaded] | None = None
    trainable_by_choice: Callable[[nn.Module, Training], dict[str, int]] | None = None

    def __call__(self, loaded: Loaded, experiment: Experiment, config: Training, log: Log) -> Trained:
        return self.train(loaded, experiment, config, log)


METHODS: dict[str, Method] = {
    "probe": Method(probe),
    "finetune": Method(finetune),
    "lpft": Method(lpft),
    "surgical": Method(surgical, match_head, trainable_by_choice),
}
