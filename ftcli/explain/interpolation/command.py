"""The command `interpolate`."""

from functools import partial

from torch import Tensor

from ftcli.config import Interpolate
from ftcli.console.answer import Answer
from ftcli.engine.batchnorm import has_statistics
from ftcli.errors import RequestError
from ftcli.explain.interpolation.measure import Averager, along, barriers, best_of, of_the_line, points, soups
from ftcli.explain.interpolation.tables import panels
from ftcli.explain.interpolation.types import Best, Head, Interpolation, Statistics
from ftcli.explain.models import Study, heads_in_order, same_architecture, study_of
from ftcli.figures.plots import save_panels
from ftcli.measures.results import measure
from ftcli.model.head import classifier_tensors
from ftcli.model.loading.save import save_model


def interpolate(config: Interpolate) -> Answer:
    """`interpolate`: loss and accuracy on the line between two models, and what averages of several are worth."""
    with study_of(config, judge=0 if config.head == "a" else 1, headless=True) as study:
        same_architecture(study)
        head = head_on_the_line(study)
        vessel, states = study.judge.model, states_of(study, head)
        averager = Averager(vessel, study.experiment, statistics_of(study), head == "probe", config.seed, study.log)
        A, B = states[:2]
        line = along(A, B, points(config.from_, config.to, config.points), averager)
        part = Interpolation(head, line, barriers(line))
        averages = of_the_line(A, B, line)
        if config.soup:
            members = dict(zip(study.names, states, strict=True))
            part.soups, made = soups(members, averager)
            averages += made
        results, save = [], None
        if (best := best_of(averages)) is not None:
            assert best.id_val is not None
            part.best = Best(kind=best.kind, weight=best.weight, statistics=best.statistics, id_val=best.id_val)
            averager.load(best.state(), best.statistics, "the best")
            results = [measure(vessel, study.experiment, config.seed, study.log)]
            save = partial(
                save_model, loaded=study.judge, model=vessel, label_names=study.task.classes,
                temperature=results[0].temperature,
            )  # fmt: skip
        predictions = results[0].predictions if results else None
        answer = study.answer({"interpolation": part}, results, predictions, save if config.save_best else None)
        if config.plot:
            save_panels(config.plot, panels(answer.content))
        return answer


def head_on_the_line(study: Study) -> Head:
    """Which head the points have: "interpolated", "a", "b" or "probe".

    Raises RequestError for soups of models whose heads do not correspond.
    """
    config = study.config
    assert isinstance(config, Interpolate)
    same = all(heads_in_order(study, study.task.classes))
    if config.soup and not (same and config.head == "auto"):
        raise RequestError(
            "--soup averages heads too, and these are not of the same classes.",
            "give models trained on the same classes, and leave --head at auto",
        )
    if config.head != "auto":
        return config.head
    if not same:
        study.log.warn("head-of-b", "the heads are of different classes: every point has the head of B")
    return "interpolated" if same else "b"


def states_of(study: Study, head: Head) -> list[dict[str, Tensor]]:
    """The weights of every model, apart from the networks; with one head in all of them unless it is interpolated."""
    states = [{name: t.detach().clone() for name, t in model.state_dict().items()} for model in study.models]
    if head == "interpolated":
        return states
    own = study.judge.model.state_dict()
    shared = {name: own[name].clone() for name in classifier_tensors(study.judge.model)}
    return [state | shared for state in states]


def statistics_of(study: Study) -> tuple[Statistics, ...]:
    """The kinds of BatchNorm statistics that are tried. Raises RequestError for several processes."""
    config = study.config
    assert isinstance(config, Interpolate)
    if not has_statistics(study.models[0]) or config.bn == "raw" or (config.bn == "auto" and not config.train):
        return ("raw",)
    if study.machine.processes > 1:
        raise RequestError("BatchNorm is estimated anew by one process.", "--bn raw, or start one process")
    return ("reestimated",) if config.bn == "reestimated" else ("raw", "reestimated")
