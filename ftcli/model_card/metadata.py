"""The front matter of a model card: what the hub reads of a model, in its own form."""

import re

import timm
from huggingface_hub import EvalResult, ModelCardData

from ftcli.console.cells import set_name
from ftcli.measures.types import FiguresBySet
from ftcli.model.checkpoints.checkpoint import Checkpoint
from ftcli.report.types import Report
from ftcli.safe_text import printable, shortened

TASK = "image-classification"
HUB_SET = re.compile(r"hf:([\w.-]+(?:/[\w.-]+)?)")  # NAME of hf:NAME[/CONFIG]
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
NOT_ON_THE_HUB = "unknown"  # the word of the hub's own tools for the data set of a figure
METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "worst_class_recall": "recall of the worst class",
    "loss": "cross-entropy, nats",
    "ece": "expected calibration error",
}


def base_model_of(checkpoint: Checkpoint | None) -> str | None:
    """The repository of the hub that a checkpoint was fetched from; None where it is not known."""
    if checkpoint is None:
        return None
    name: str | None = None
    if checkpoint.where.startswith("hf-hub:"):
        name = checkpoint.where.removeprefix("hf-hub:")
    elif checkpoint.described_by == "timm" and (cfg := timm.models.get_pretrained_cfg(checkpoint.where)):
        name = cfg.hf_hub_id
    name = (name or "").partition("@")[0]  # without the revision
    return name if HUB_NAME.fullmatch(name) else None


def front_matter(report: Report, figures: FiguresBySet, title: str, base_model: str | None) -> str:
    """The YAML between the two lines `---`. figures: of the saved model."""
    sets = {name: hub_set(data.spec) for name, data in report.data.by_set().items()}
    imported = bool(report.config.get("import"))
    results = [
        EvalResult(
            task_type=TASK, task_name="Image classification",
            dataset_type=sets.get(name) or NOT_ON_THE_HUB, dataset_name=plain(set_name(name)),
            dataset_split=plain(name), metric_type=metric, metric_name=words,
            metric_value=round(of_set[metric], 6),
        )
        for name, of_set in figures.by_set().items()
        for metric, words in METRICS.items()
    ]  # fmt: skip
    data = ModelCardData(
        library_name="timm",
        pipeline_tag=TASK,
        tags=[TASK, "timm", *([] if imported else ["transformers"]), "ftcli", report.command],
        base_model=base_model,
        datasets=sorted({name for name in sets.values() if name}) or None,
        metrics=["accuracy"],
        model_name=plain(title),
        eval_results=results or None,
    )
    return data.to_yaml()


def hub_set(spec: str) -> str | None:
    """The name of a data set of the hub that a SPEC names; None for another SPEC."""
    found = HUB_SET.match(spec)
    return found[1] if found else None


def plain(name: str) -> str:
    """A name from data, safe to show."""
    return shortened(printable(name), 100)
