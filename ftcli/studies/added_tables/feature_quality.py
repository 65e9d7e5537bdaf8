"""Table `feature-quality`: the better the features of a checkpoint, the more fine-tuning all of them at once costs out
of distribution (Kumar et al. 2022).

For each checkpoint the ID accuracy of the probe, which says how good the features are, and the OOD accuracy of the
probe minus that of fine-tuning. The paper's condition is a change of sign: above 0 where features are good, else below.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import UNSET
from rich.table import Table

from ftcli.console.cells import Layout, interval, percent, set_name, text
from ftcli.errors import RequestError
from ftcli.studies.added_tables.material import Material
from ftcli.studies.added_tables.types import FeatureQualityRow, FeatureQualityTable
from ftcli.studies.cells import Planned
from ftcli.studies.differences import OOD_MEAN, accuracy, difference_on
from ftcli.studies.joining import Comparison

Sign = Literal["as published", "probe always", "finetune always", "mixed"]
WORDS: dict[Sign, str] = {
    "as published": "the sign changes as published: with poorer features fine-tuning has the higher OOD accuracy, with "
    "better ones the probe has",
    "probe always": "the probe has the higher OOD accuracy with every checkpoint; the sign does not change",
    "finetune always": "fine-tuning has the higher OOD accuracy with every checkpoint; the sign does not change",
    "mixed": "the sign does not follow the quality of the features",
}


def check(planned: Sequence[Planned], benchmarks: Sequence[str]) -> None:
    """Raises RequestError where there are not several checkpoints, or a method is missing."""
    check_checkpoints("feature-quality", planned)
    if missing := {"probe", "finetune"} - {one.cell.command for one in planned}:
        raise RequestError(
            f"--tables feature-quality: the study has no {' and no '.join(sorted(missing))}.",
            "--methods probe,finetune,lpft",
        )


def check_checkpoints(table: str, planned: Sequence[Planned]) -> None:
    """Raises RequestError where there are not several checkpoints."""
    if len({one.cell.checkpoint for one in planned if one.cell.checkpoint}) < 2:
        raise RequestError(
            f"--tables {table} compares checkpoints, and the study has only one.", "add --set checkpoint=A,B,C"
        )


def make(study: Material) -> FeatureQualityTable:
    """The checkpoints of every benchmark with a finished probe and a finished fine-tuning."""
    rows = [row for one in study.by_checkpoint() if (row := row_of(one))]
    names = list(dict.fromkeys(row.benchmark for row in rows))
    rows.sort(key=lambda row: (names.index(row.benchmark), row.probe_id))
    return FeatureQualityTable(rows, {name: sign_of([row for row in rows if row.benchmark == name]) for name in names})


def row_of(comparison: Comparison) -> FeatureQualityRow | None:
    """A checkpoint; None where a method is not finished, or there is no OOD set."""
    probe, finetune, lpft = (comparison.row_of(name) for name in ("probe", "finetune", "lpft"))
    if probe is None or finetune is None:
        return None
    id_set = "id_test" if accuracy(probe, "id_test") is not None else "id_val"
    found = difference_on(OOD_MEAN, probe, finetune)
    values = accuracy(probe, id_set), accuracy(probe, OOD_MEAN), accuracy(finetune, OOD_MEAN)
    if found is None or values[0] is None or values[1] is None or values[2] is None:
        return None
    of_lpft = accuracy(lpft, OOD_MEAN) if lpft else None
    return FeatureQualityRow(
        benchmark=comparison.benchmark, checkpoint=comparison.checkpoint, id_set=id_set, probe_id=values[0],
        probe_ood=values[1], finetune_ood=values[2], lpft_ood=UNSET if of_lpft is None else of_lpft,
        difference=found.difference, interval=found.interval, p=found.p, scope=found.scope,
    )  # fmt: skip


def sign_of(rows: Sequence[FeatureQualityRow]) -> Sign:
    """What becomes of the sign of the difference from the poorest features to the best; 0 counts as not above 0."""
    above = [row.difference > 0 for row in sorted(rows, key=lambda row: row.probe_id)]
    if all(above):
        return "probe always"
    if not any(above):
        return "finetune always"
    return "as published" if above == sorted(above) else "mixed"


def shown(table: FeatureQualityTable, width: int) -> list[Table]:
    """A table per benchmark."""
    heads = ["checkpoint", "ID, probe", "OOD, probe", "OOD, finetune", "OOD, lpft", "points", "interval"]
    found = []
    for name, sign in table.signs.items():
        mine = [row for row in table.rows if row.benchmark == name]
        rows = [
            [
                text(row.checkpoint), text(percent(row.probe_id)), text(percent(row.probe_ood)),
                text(percent(row.finetune_ood)), text("-" if row.lpft_ood is UNSET else percent(row.lpft_ood)),
                text(f"{100 * row.difference:+z.1f}"), text("-" if row.interval is UNSET else interval(row.interval)),
            ]
            for row in mine
        ]  # fmt: skip
        one_seed = " (of these runs: a method has one seed)" if any(row.scope == "runs" for row in mine) else ""
        caption = (
            f"ID: {set_name(mine[0].id_set)}; OOD: mean over the sets; points: probe minus finetune, with a 95 % "
            f"interval{one_seed}. By the figures, without regard to the intervals: {WORDS[sign]}"
        )
        found += Layout(heads, rows).tables(width, f"{name}: quality of the features", caption, left=("checkpoint",))
    return found
