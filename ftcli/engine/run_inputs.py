"""What a method works with: the task, a loader for each of its sets, the machine, the feature cache."""

from dataclasses import dataclass

from ftcli.cache.cache import Cache
from ftcli.config.shared import Running
from ftcli.config.training import Training
from ftcli.data.images import ImageSet
from ftcli.data.loader import Loader
from ftcli.data.preparation import Transforms
from ftcli.data.task import Task
from ftcli.data.transforms import DataConfig, Transform, augmentation, evaluation
from ftcli.engine.device import Machine
from ftcli.engine.features.feature_cache import FeatureCache
from ftcli.engine.resume.checkpointer import Checkpointer
from ftcli.log import Log


@dataclass(frozen=True)
class RunInputs:
    """A task with its loaders, and where its computations run and are kept.

    Attributes:
        sets: a loader for each set but the training set, by name, with the transform of evaluation.
        train: the training set with the augmentation of training. plain: with the transform of evaluation.
        retrain: the task's, with the transform of evaluation.
        checkpointer: saves the states of runs; None saves none.
    """

    task: Task
    machine: Machine
    sets: dict[str, Loader]
    feature_cache: FeatureCache
    train: Loader | None = None
    plain: Loader | None = None
    retrain: Loader | None = None
    checkpointer: Checkpointer | None = None

    @property
    def num_classes(self) -> int:
        return len(self.task.classes)


def transforms_of(data_config: DataConfig, config: Running) -> Transforms:
    """With which transforms a command uses images that are prepared as timm's `data_config` says."""
    plain = evaluation(data_config)
    if not isinstance(config, Training):
        return Transforms(others=(plain,))
    by_name = {"plain": plain, "augmented": augmentation(data_config, config.augment, config.crop_scale)}
    by_key = {by_name[name].key: by_name[name] for name in config.training_transforms}
    return Transforms(tuple(by_key.values()), (plain,))


def run_inputs_of(
    task: Task, data_config: DataConfig, machine: Machine, config: Running, log: Log, cache: Cache | None = None
) -> RunInputs:
    """Loaders for every set of the task, with the transforms of the model's own data configuration."""

    def loader(data: ImageSet, transform: Transform) -> Loader:
        return Loader(
            data, transform, batch_size=config.batch_size, workers=machine.workers, device=machine.device,
            shard=(machine.rank, machine.processes), cache=cache, log=log,
        )  # fmt: skip

    plain = evaluation(data_config)
    train = None
    if task.train is not None and isinstance(config, Training):
        train = loader(task.train, augmentation(data_config, config.augment, config.crop_scale))
    return RunInputs(
        task, machine, {name: loader(data, plain) for name, data in task.sets().items()},
        # Imported code may compute other features next time.
        FeatureCache(machine, None if config.import_ else cache), train,
        plain=None if task.train is None else loader(task.train, plain),
        retrain=None if task.retrain is None else loader(task.retrain, plain),
    )  # fmt: skip
