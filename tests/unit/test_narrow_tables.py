"""The tables of a study in a narrow terminal: no figure and no name of a method or set is broken."""

import io
from itertools import chain

import msgspec
import pytest
from rich.console import Console, RenderableType

from ftcli.console.answer import show_parts
from ftcli.console.cells import Layout, text
from ftcli.console.streams import Console as Output
from ftcli.studies.added_tables import feature_quality
from ftcli.studies.added_tables.types import FeatureQualityRow, FeatureQualityTable
from ftcli.studies.tables import benchmark_tables, failed_cells
from ftcli.studies.types import Benchmark, CellState

METHODS = ("probe", "finetune", "surgical")
OOD = ("photo", "inverted", "coloured")
SETS = {"id_val": "ID-val", "id_test": "ID-test", **dict(zip(OOD, OOD, strict=True))}


def figures(accuracy: float) -> dict[str, object]:
    return {
        "n": 500, "accuracy": accuracy, "accuracy_ci95": [accuracy - 0.04, accuracy + 0.04], "loss": 1.0,
        "balanced_accuracy": 0.5, "worst_class_recall": 0.5, "ece": 0.1,
    }  # fmt: skip


def benchmark() -> Benchmark:
    """Three methods on five sets, with all pairs."""
    results = {
        "id_val": figures(0.911), "id_test": figures(0.922), "ood_mean": {"accuracy": 0.6},
        "ood": {name: figures(0.5 + k / 10) for k, name in enumerate(OOD)},
    }  # fmt: skip
    differences = [
        {"first": a, "second": b, "set": name, "difference": -0.387, "interval": [-1.055, 1.388], "p": 0.057}
        for a, b in (METHODS[:2], METHODS[1:])
        for name in SETS
    ]
    picked = {"seed": 0, "lr": 0.1, "epoch": 1, "C": None, "edge_of_grid": False, "id_val": {"accuracy": 1, "loss": 1}}
    method = {"command": "probe", "picked": True, "folder": "f", "seeds": [], "selected": picked, "results": results}
    methods = [
        {**method, "method": name, "seeds": [{"seed": 0, "folder": "f", "selected": picked, "results": results}]}
        for name in METHODS
    ]
    return msgspec.convert({"methods": methods, "differences": differences}, Benchmark)


def printed(parts: list[RenderableType], width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    for part in parts:
        console.print(part)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_what_a_study_found_is_whole_at_every_width(width: int) -> None:
    lines = printed([*benchmark_tables("digits", benchmark(), width)], width).splitlines()
    assert max(map(len, lines)) <= width
    heads = [line.split() for line in lines if line.split() and {*line.split()} <= {*SETS.values(), "OOD", "mean"}]
    assert [*chain(*heads)] == [*SETS.values(), "OOD", "mean"]  # once each, in one table or in several
    named = [line.split()[0] for line in lines if line.startswith(METHODS) and " - " not in line]
    assert named == [*METHODS] * len(heads)
    for bounds in ("[87.1, 95.1]", "[88.2, 96.2]", "[46.0, 54.0]", "[56.0, 64.0]", "[66.0, 74.0]"):
        assert sum(line.count(bounds) for line in lines) == len(METHODS)
    rows = [line for line in lines if line.startswith("  ") and "-38.7" in line]
    assert [row.split()[0] for row in rows] == [*SETS.values()] * 2
    assert sum(line.count("[-105.5, 138.8]") for line in lines) == len(rows)
    pairs = [line.strip() for line in lines if line.startswith(METHODS) and " - " in line]
    assert pairs == ["probe - finetune", "finetune - surgical"]


@pytest.mark.parametrize("width", [44, 60, 100])
def test_a_table_of_a_paper_repeats_its_names(width: int) -> None:
    """Side by side the parts of a table are the whole."""
    row = FeatureQualityRow(
        benchmark="digits", checkpoint="weak", id_set="id_test", probe_id=0.911, probe_ood=0.822, finetune_ood=0.733,
        lpft_ood=0.644, difference=0.089, interval=[-1.111, 0.222], p=0.5, scope="methods",
    )  # fmt: skip
    parts = feature_quality.shown(FeatureQualityTable(rows=[row], signs={"digits": "mixed"}), width)
    lines = printed([*parts], width).splitlines()
    found = [line.split(maxsplit=1)[1] for line in lines if line.startswith("weak")]
    assert " ".join(found).split() == ["91.1", "82.2", "73.3", "64.4", "+8.9", "[-111.1,", "22.2]"]
    assert len(found) == len(parts) == {44: 3, 60: 2, 100: 1}[width]


def test_long_names_do_not_make_a_table_of_every_column() -> None:
    layout = Layout(["", "a", "b"], [[text("n" * 90), text("1.0"), text("2.0")]])
    assert [part.heads for part in layout.split(60)] == [["", "a", "b"]]
    assert [part.heads for part in layout.split(25)] == [["", "a"], ["", "b"]]


def test_a_failed_cell_has_its_command_on_lines_of_its_own() -> None:
    cell = CellState(
        folder="digits/finetune/seed-0", line="ftcli finetune --lr=0.1 --out s/digits/finetune/seed-0",
        benchmark="digits", method="finetune", seed=0, state="failed", problem="out of memory",
    )  # fmt: skip
    out = Output(width=40, file=io.StringIO(), force_terminal=False)
    show_parts(out, [*failed_cells([cell])])  # in a pipe a command is one line, to be pasted
    lines = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line for line in lines if line][1:] == [f"{cell.folder}: out of memory", f"  {cell.line}"]
