"""What a method works in: the task, its images on their way into the model, and the machine."""

from dataclasses import dataclass

from ftcli.config import Running, Training
from ftcli.data.loaders import Loader
from ftcli.data.task import Task, TaskSet
from ftcli.data.transforms import Transform, augmentation, evaluation
from ftcli.engine.device import Machine


@dataclass(frozen=True)
class Setting:
    """A task with its loaders. `plain` is the training set as evaluation sees it, `train` the augmented one."""

    task: Task
    machine: Machine
    sets: dict[str, Loader]
    train: Loader | None = None
    plain: Loader | None = None

    @property
    def num_classes(self) -> int:
        return len(self.task.classes)


def setting_of(task: Task, data_config: dict, machine: Machine, config: Running) -> Setting:
    """Loaders for every set of the task, with the transforms of the model's own data configuration."""

    def loader(data: TaskSet, transform: Transform) -> Loader:
        return Loader(data, transform, batch_size=config.batch_size, workers=machine.workers)

    plain = evaluation(data_config)
    sets = {name: loader(data, plain) for name, data in task.sets().items()}
    if not isinstance(config, Training) or task.train is None:
        return Setting(task, machine, sets)
    augmented = augmentation(data_config, config.augment)
    return Setting(task, machine, sets, loader(task.train, augmented), loader(task.train, plain))
