"""The command `interpolate`."""

from functools import partial

import torch
from torch import Tensor

from ftcli.averages.evaluator import WeightEvaluator
from ftcli.averages.types import Statistics
from ftcli.console.answer import Answer
from ftcli.engine.batchnorm import has_statistics
from ftcli.errors import RequestError
from ftcli.explain.interpolation.measure import (
    barriers,
    best_of,
    evaluate_line,
    points,
    savable_points,
    scaled_by_depth,
    soups,
)
from ftcli.explain.interpolation.options import Interpolate
from ftcli.explain.interpolation.tables import panels
from ftcli.explain.interpolation.types import Best, Head, Interpolation
from ftcli.explain.models import ComparedModels, check_same_architecture, compared_models, order_heads
from ftcli.figures.plots import save_panels
from ftcli.measures.results import measure
from ftcli.model.head import classifier_tensors, head_of, set_head
from ftcli.model.head_weights import read_head_weights
from ftcli.model.loading.save import save_model
from ftcli.safe_text import listed


def interpolate(config: Interpolate) -> Answer:
    """`interpolate`: loss and accuracy on the line between two models, and what averages of several are worth."""
    with compared_models(config, reference=0 if config.head == "a" else 1, headless=True) as compared:
        check_labelled(compared)
        check_same_architecture(compared)
        head = head_on_the_line(compared)
        network, states = compared.reference.model, states_of(compared, head)
        evaluator = WeightEvaluator(
            network, compared.inputs, statistics_of(compared), head == "probe", config.seed, compared.log
        )
        A, B = states[:2]
        line = evaluate_line(A, B, points(config.from_, config.to, config.points), evaluator)
        part = Interpolation(head, line, barriers(line))
        averages = savable_points(A, B, line)
        if config.soup:
            members = dict(zip(compared.names, states, strict=True))
            part.soups, made = soups(members, evaluator)
            averages += made
        if config.lines:
            part.scaled_by_depth, made = scaled_by_depth(A, B, config.lines, evaluator)
            averages += made
        results, save = [], None
        if (best := best_of(averages)) is not None:
            assert best.id_val is not None
            part.best = Best(
                kind=best.kind, weight=best.weight, alpha=best.alpha, statistics=best.statistics, id_val=best.id_val
            )
            evaluator.load(best.state(), best.statistics, "the best")
            results = [measure(network, compared.inputs, config.seed, compared.log)]
            save = partial(
                save_model, loaded=compared.reference, model=network, label_names=compared.task.classes,
                temperature=results[0].temperature,
            )  # fmt: skip
        predictions = results[0].predictions if results else None
        save_weights = save if config.save_best else None
        answer = compared.answer(
            {"interpolation": part}, results=results, predictions=predictions, save_weights=save_weights
        )
        if config.plot:
            save_panels(config.plot, panels(answer.content))
        return answer


def check_labelled(compared: ComparedModels) -> None:
    """Warn of sets without labels, on which there is no loss and no accuracy. Raises RequestError where all are."""
    without, task = listed(list(compared.task.unlabelled_sets())), compared.task
    if not task.labelled_sets():
        raise RequestError(
            f"{without}: no set has labels, and interpolate measures loss and accuracy.",
            "add --ood NAME=SPEC with labels",
        )
    if without:
        compared.log.warn("no-labels", f"{without}: no labels, so no loss and no accuracy along the line")


def head_on_the_line(compared: ComparedModels) -> Head:
    """Which head the points have: "interpolated", "a", "b" or "probe".

    Raises RequestError for soups of models whose heads do not correspond.
    """
    config = compared.config
    assert isinstance(config, Interpolate)
    same = all(order_heads(compared, compared.task.classes))
    if config.soup and not (same and config.head == "auto"):
        raise RequestError(
            "--soup averages heads too, and these are not of the same classes.",
            "give models trained on the same classes, and leave --head at auto",
        )
    if config.head_weights:
        model, log = compared.reference.model, compared.log
        rows = read_head_weights(config.head_weights, compared.task.classes, head_of(model).width, log)
        set_head(model, rows, torch.zeros(len(rows)))
        return "file"
    if config.head != "auto":
        return config.head
    if not same:
        compared.log.warn("head-of-b", "the heads are of different classes: every point has the head of B")
    return "interpolated" if same else "b"


def states_of(compared: ComparedModels, head: Head) -> list[dict[str, Tensor]]:
    """The weights of every model, apart from the networks; with one head in all of them unless it is interpolated."""
    states = [{name: t.detach().clone() for name, t in model.state_dict().items()} for model in compared.models]
    if head == "interpolated":
        return states
    own = compared.reference.model.state_dict()
    shared = {name: own[name].clone() for name in classifier_tensors(compared.reference.model)}
    return [state | shared for state in states]


def statistics_of(compared: ComparedModels) -> tuple[Statistics, ...]:
    """The kinds of BatchNorm statistics that are tried. Raises RequestError for several processes."""
    config = compared.config
    assert isinstance(config, Interpolate)
    if not has_statistics(compared.models[0]) or config.bn == "raw" or (config.bn == "auto" and not config.train):
        return ("raw",)
    if compared.context.machine.processes > 1:
        raise RequestError("BatchNorm is estimated anew by one process.", "--bn raw, or start one process")
    return ("reestimated",) if config.bn == "reestimated" else ("raw", "reestimated")
