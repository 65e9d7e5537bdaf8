"""What every command opens that compares models: the models, the sets of images, and the inputs on both."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ftcli.config.measuring import Measuring
from ftcli.console.answer import Answer
from ftcli.context import Context, open_context
from ftcli.data.overlap import warn_repeated
from ftcli.data.task import Task, labels_optional, read_labelless
from ftcli.data.transforms import DataConfig
from ftcli.engine.run_inputs import RunInputs
from ftcli.errors import RequestError
from ftcli.figures.plots import check_plot
from ftcli.log import Log
from ftcli.methods.initial_head import head_order, reorder_head
from ftcli.model.head import classifier_tensors
from ftcli.model.loading.from_options import load_all_with_heads
from ftcli.model.loading.load import Loaded
from ftcli.report.models import describe_models, names_of

INPUT = ("input_size", "mean", "std")  # of timm's data configuration: what an image is to a model


@dataclass(frozen=True)
class ComparedModels:
    """Models A, B, … on one device, and the sets on which they are compared."""

    context: Context[Any]
    config: Measuring
    loaded: list[Loaded]
    reference: Loaded  # by whose classes the sets are labelled, and whose data configuration prepares the images
    task: Task
    inputs: RunInputs

    @property
    def log(self) -> Log:
        return self.context.log

    @property
    def models(self) -> list[nn.Module]:
        return [loaded.model for loaded in self.loaded]

    @property
    def names(self) -> list[str]:
        """What the models are called in tables and warnings."""
        return names_of(self.config.every_model())

    def answer(self, parts: Mapping[str, Any], **outputs: Any) -> Answer:
        """The report, written and shown. parts: the measure's own keys; outputs: as `Context.answer` takes them."""
        models = {"models": describe_models(self.config.every_model(), self.loaded)}
        return self.context.answer(self.task, self.loaded[0], parts=models | dict(parts), **outputs)


@contextmanager
def compared_models(
    config: Measuring, *, labelled: bool = True, reference: int = 0, headless: bool = False
) -> Iterator[ComparedModels]:
    """Load the models and open the sets on which a measure compares them.

    reference: the model whose classes label the sets, and whose data configuration prepares the images. headless: the
    other models need no head. labelled False: classes play no part, and no model needs a head.
    """
    check_plot(getattr(config, "plot", None))
    with open_context(config) as context:
        names = config.every_model()
        may_lack_head = [not labelled or (headless and i != reference) for i in range(len(names))]
        loaded = load_all_with_heads(config, names, may_lack_head, context.log)
        warn_identical_files(names, loaded, context.log)
        task = context.task(loaded[reference]) if labelled else unlabelled_task(context, loaded[reference].data_config)
        inputs = context.inputs(task, loaded[reference].data_config)
        for model in loaded:
            context.machine.place(model.model)
        yield ComparedModels(context, config, loaded, loaded[reference], task, inputs)


def unlabelled_task(context: Context[Any], data_config: DataConfig) -> Task:
    """The sets where labels mean nothing. With a training set, the sets cut from it are those of training."""
    config, log, cache = context.config, context.log, context.cache
    given = {} if config.train else {"id_val": config.id_val, "id_test": config.id_test}
    opened = {name: labels_optional(spec, log, cache) for name, spec in [*given.items(), *config.ood_sets()] if spec}
    of_training = None
    if config.train:
        training = replace(context, config=replace(config, ood=None))
        of_training = training.read(training.open_sets(), data_config)
    sets = read_labelless(
        opened, damaged=config.damaged, log=log, cache=cache, transforms=context.transforms(data_config)
    )
    roles = {role: sets.pop(role) for role in given if role in sets}
    task = of_training or Task(
        (), named=False, train=None, id_val=roles.get("id_val"), id_test=roles.get("id_test"), ood={}
    )
    identical = {"train": task.train, "id_val": task.id_val, "id_test": task.id_test}
    warn_repeated({role: images for role, images in identical.items() if images is not None}, sets, log)
    return replace(task, ood=sets)


def warn_identical_files(names: Sequence[str], loaded: Sequence[Loaded], log: Log) -> None:
    """A file that is compared with itself is more often a slip than a wish."""
    seen: dict[str, str] = {}
    for name, model in zip(names, loaded, strict=True):
        sha256 = model.checkpoint.sha256 if model.checkpoint else None
        if sha256 and sha256 in seen:
            log.warn("identical-files", f"{name} and {seen[sha256]} are the same file, to the byte")
        elif sha256:
            seen[sha256] = name


def check_same_architecture(compared: ComparedModels) -> None:
    """Raises RequestError where a model has other blocks than the first: nothing in them corresponds. Warns where one
    sees images of another kind than it was made for.
    """
    names, first = compared.config.every_model(), compared.loaded[0]
    for name, other in zip(names[1:], compared.loaded[1:], strict=True):
        if body_shapes(first.model) != body_shapes(other.model):
            raise RequestError(
                f"{name} is a {other.name}, and {names[0]} a {first.name}: their blocks do not correspond.",
                "give models of one architecture, trained from one another or side by side",
            )
    expected = compared.reference.data_config
    for name, model in zip(names, compared.loaded, strict=True):
        if other_input := [key for key in INPUT if tuple(model.data_config[key]) != tuple(expected[key])]:
            size = "; --image-size sets it for all" if "input_size" in other_input else ""
            what = " and ".join(other_input)
            compared.log.warn("other-input", f"{name} was made for images of another {what} than it sees here{size}")


def order_heads(compared: ComparedModels, classes: tuple[str, ...]) -> list[bool]:
    """Put the rows of every head in the order of these classes; which models have a head of exactly these classes."""
    fits = []
    for model in compared.loaded:
        if (order := head_order(model, classes, compared.log)) is not None:
            reorder_head(model.model, order)
        fits.append(order is not None)
    return fits


def body_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter but the head's."""
    head = classifier_tensors(model)
    return {name: tuple(p.shape) for name, p in model.named_parameters() if name not in head}
