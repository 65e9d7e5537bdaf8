"""What a report holds, as types: its JSON Schema, the check of reports from elsewhere and the values in Python are made
of them. Nothing heavy is imported.
"""

from collections.abc import Mapping
from html import escape
from typing import Annotated, Any, Literal, NamedTuple, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ftcli.averages.types import Averages, Picked
from ftcli.engine.budget.types import Budget
from ftcli.engine.types import HeadNorms, LowRankLayers, OraclePick, RunRecord, RunScores, Selected, Timing
from ftcli.measures.types import Difference, FiguresBySet
from ftcli.records import Count, Foreign, Fraction, Record
from ftcli.safe_text import printable

LAST = ("oracle", "timing", "warnings")  # keys of a report that come after those of its command
NOT_OF_THEORY = ("environment", "model", "data", "runs", "selected", "results")


class Against(Record):
    """A choice compared with another, set by set."""

    choice: str
    sets: dict[str, Difference]


class CurvePoint(NamedTuple):
    """Accuracy of the first `n` answers along a stream. In JSON a list of two."""

    n: Count
    accuracy: Fraction


class Adaptation(Record):
    """Accuracy on one set before adapting, of the answers along the stream, and of the weights at its end."""

    before: Fraction
    stream: Fraction
    after: Fraction
    curve: list[CurvePoint]


class Choice(Record, kw_only=True):
    """One set of tensors that a command tuned: `surgical` picks among several, `adapt` measures each."""

    blocks: list[str]
    trainable: Count
    tensors: Literal["norm", "all"] | UnsetType = UNSET
    mode: Literal["online", "episodic"] | UnsetType = UNSET
    selected: Selected | UnsetType | None = UNSET
    results: FiguresBySet | None
    adaptation: dict[str, Adaptation] | UnsetType = UNSET
    seconds: float
    scores: list[RunScores] | UnsetType = UNSET
    against: Against | UnsetType = UNSET


class Cut(Record):
    """How a set was cut from the training set by whole groups: the column, how many of its groups, and their share of
    all examples before the cut.
    """

    by: str
    groups: Count
    of_groups: Count
    share: Fraction


class SetData(Record):
    """Where a set came from, and what it holds. `restricted_to`: the classes that an OOD set covers, by index."""

    spec: str
    n: Count
    classes: Count
    fingerprint: str
    dropped: Count
    damaged: Count
    restricted_to: list[Count] | UnsetType | None = UNSET
    cut: Cut | UnsetType = UNSET


class Data(Record, kw_only=True):
    """The classes, and every set. `retrain`: half of ID-val, where the head is fitted to it; `id_val` is the other.

    policy: as timm writes it, where images are augmented by one of its policies.
    """

    classes: list[str]
    train: SetData | UnsetType = UNSET
    retrain: SetData | UnsetType = UNSET
    id_val: SetData | UnsetType = UNSET
    id_test: SetData | UnsetType = UNSET
    ood: dict[str, SetData]
    policy: str | UnsetType = UNSET

    def by_set(self) -> dict[str, SetData]:
        """The sets by name, training set first."""
        inside = {"train": self.train, "retrain": self.retrain, "id_val": self.id_val, "id_test": self.id_test}
        return {name: data for name, data in inside.items() if data is not UNSET} | self.ood


class BlockSize(Record):
    """A block of a model, the head last, and its number of parameters."""

    name: str
    parameters: Count


class Model(Record, kw_only=True):
    """A model, and where its weights came from. `input`: timm's data configuration."""

    label: str | UnsetType = UNSET
    name: str
    checkpoint: str | None
    sha256: str | None
    parameters: Count
    trainable: Count
    blocks: list[BlockSize]
    input: Foreign | UnsetType = UNSET


class MadeBy(Record):
    """The run that made a model."""

    command: str
    lr: float | None
    C: float | None
    epoch: Count | None
    bn: str | None
    average: str | UnsetType = UNSET  # of the run's weights, that was saved in place of this pick


class ComparedModel(Model, kw_only=True):
    """One of several models. `label`: what tables call it; `made_by`: None where no report lies beside its weights."""

    label: str
    made_by: MadeBy | UnsetType | None = UNSET
    results: FiguresBySet | UnsetType = UNSET


class Stage(Record, kw_only=True):
    """One stage of a method that has several."""

    selected: Selected
    results: FiguresBySet
    runs: list[RunRecord] | UnsetType = UNSET


class SeedResult(Record, kw_only=True):
    """The pick of one seed and its figures."""

    selected: Selected
    results: FiguresBySet
    temperature: float | UnsetType | None = UNSET


class Published(Record, kw_only=True):
    """An accuracy that `source` states for a set of a preset, and what it states as its spread."""

    set: str
    choice: str | UnsetType = UNSET
    accuracy: Fraction
    plus_minus: Fraction | UnsetType = UNSET
    source: str


class Environment(Record, kw_only=True):
    """What the numbers depend on besides the request: versions, device, precision, processes, threads."""

    python: str
    torch: str
    torchvision: str | UnsetType | None = UNSET
    timm: str
    numpy: str | UnsetType | None = UNSET
    scipy: str | UnsetType | None = UNSET
    scikit_learn: str | UnsetType | None = msgspec.field(name="scikit-learn", default=UNSET)
    pillow: str | UnsetType | None = UNSET
    libjpeg: str | UnsetType | None = UNSET
    peft: str | UnsetType | None = UNSET
    device: str
    precision: str
    processes: Count
    threads: Count


class ReportWarning(Record):
    """A warning that was shown while the command ran."""

    code: str
    text: str


absent: Any = UNSET  # of a field that only `theory` lacks: its networks come from no file and see no images


class Report(Record, kw_only=True):
    """What a command was asked, what it did and what came out.

    What only the reports of some commands hold is a field of a subclass, made by `report_type`.
    """

    schema: Annotated[str, Meta(pattern="^ftcli/report/1$")]
    command: str
    version: str
    created: str  # ISO 8601, UTC
    argv: list[str]
    config: Foreign  # every option as resolved
    environment: Environment = absent
    model: Model = absent
    data: Data = absent
    runs: list[RunRecord] = absent  # every candidate, sorted by (choice, seed, lr)
    selected: Selected | None = absent
    results: FiguresBySet = absent
    published: list[Published] | UnsetType = UNSET
    temperature: float | UnsetType | None = UNSET
    seeds: list[SeedResult] | UnsetType = UNSET
    models: list[ComparedModel] | UnsetType = UNSET
    request: str | UnsetType = UNSET  # digest of everything that the figures follow from
    before: FiguresBySet | UnsetType = UNSET
    stages: dict[str, Stage] | UnsetType = UNSET
    choices: dict[str, Choice] | UnsetType = UNSET
    usual_pick: Picked | UnsetType = UNSET  # of the usual rule, where another has picked
    averages: Averages | UnsetType = UNSET
    heads: dict[str, HeadNorms] | UnsetType = UNSET  # of the probe, of the start if it is scaled, of the saved model
    lora: LowRankLayers | UnsetType = UNSET  # which layers trained by matrices of low rank
    budget: Budget | UnsetType = UNSET  # how the grid was halved
    oracle: dict[str, OraclePick] | UnsetType = UNSET
    timing: Timing
    warnings: list[ReportWarning]

    def items(self) -> Any:
        own = dict(super().items())
        yield from ((key, value) for key, value in own.items() if key not in LAST)
        yield from ((key, own[key]) for key in LAST if key in own)

    def _repr_html_(self) -> str:
        """Accuracy in per cent by set, and the warnings: what a notebook shows."""
        rows = []
        if self.results is not UNSET:
            mean = self.results.ood_mean
            accuracies = {name: f"{100 * figures.accuracy:.1f}" for name, figures in self.results.by_set().items()}
            accuracies |= dict.fromkeys(self.results.without_labels(), "-")
            accuracies |= {"ood_mean": f"{100 * mean.accuracy:.1f}"} if mean else {}
            rows = [f"<tr><td>{html(name)}</td><td>{value}</td></tr>" for name, value in accuracies.items()]
        warnings = "".join(f"<p>warning: {html(warning.text)}</p>" for warning in self.warnings)
        title = f"<caption>{html(self.command)}: accuracy in per cent</caption>"
        return f"<table>{title}<tr><th>set</th><th>accuracy</th></tr>{''.join(rows)}</table>{warnings}"


def html(text: str) -> str:
    return escape(printable(text))


def report_type(parts: Mapping[str, Any]) -> type[Report]:
    """The type of all reports. `parts`: the type of what only some commands' reports hold, by its key."""
    fields = [(key, kind | UnsetType, UNSET) for key, kind in parts.items()]
    made: Any = msgspec.defstruct("Report", fields, bases=(Report,), module=__name__, kw_only=True)
    return cast(type[Report], made)
