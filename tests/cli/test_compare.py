"""Reports held side by side: what is read, what is paired, what is left out, and how it is printed."""

import csv
import io
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from scipy import stats

from ftcli.comparison.compare import compare
from ftcli.comparison.export import difference_texts, tables, to_csv, to_json, to_markdown
from ftcli.comparison.reports import accuracies_of
from ftcli.console.cells import interval
from ftcli.errors import RequestError
from ftcli.measures.intervals import wilson
from ftcli.measures.joining import over_seeds
from ftcli.measures.method_difference import method_difference
from ftcli.measures.paired import bootstrap_difference, holm
from ftcli.measures.types import Figures

SETS = ("id_val", "id_test", "art", "sketch")
N = 40


FIGURES = {
    "n": N, "accuracy_ci95": [0, 1], "loss": 1.0, "balanced_accuracy": 0.5, "worst_class_recall": 0.1, "ece": 0.1,
}  # fmt: skip


def correctness(skill: float, seeds: int, start: int) -> dict[str, np.ndarray]:
    """What each seed gets right in each set: [S, N] boolean."""
    rng = np.random.default_rng(start)
    return {name: rng.random((seeds, N)) < skill for name in SETS}


def skeleton(command: str, seed: int | None) -> dict[str, Any]:
    """The keys of a report that a comparison does not look at, and the seed that was selected."""
    pick = {"lr": 1e-3, "epoch": 1, "C": None, "edge_of_grid": False, "id_val": {"accuracy": 0.5, "loss": 1.0}}
    environment = dict.fromkeys(["python", "torch", "timm", "device", "precision"], "x") | {
        "processes": 1,
        "threads": 1,
    }
    model = {"name": "x", "checkpoint": None, "sha256": None, "parameters": 1, "trainable": 1, "blocks": []}
    return {
        "schema": "ftcli/report/1", "command": command, "version": "0", "created": "", "argv": [], "config": {},
        "environment": environment, "model": model, "runs": [], "timing": {"total_s": 1.0}, "warnings": [],
        "selected": None if seed is None else {"seed": seed, **pick},
    }  # fmt: skip


def write_report(
    folder: Path,
    command: str,
    right: dict[str, np.ndarray],
    *,
    selected: int | None = 0,
    fingerprints: dict[str, str] | None = None,
    predictions: bool = True,
    shuffle: int | None = None,
) -> Path:
    """A small report.json and predictions.parquet in which exactly the examples marked in `right` are right."""
    folder.mkdir(parents=True)
    prints = {name: f"print-of-{name}" for name in right} | (fingerprints or {})
    entries, rows = {}, []
    for name, correct in right.items():
        rest = {"loss": 1.0, "balanced_accuracy": 0.5, "worst_class_recall": 0.1, "ece": 0.1}
        accuracies = [float(row.mean()) for row in correct]
        runs = [Figures(n=N, accuracy=mean, accuracy_ci95=wilson(mean, N), **rest) for mean in accuracies]
        entries[name] = over_seeds(runs).to_dict()
        rows += [
            (name, seed, f"{name}/{i:03d}.png", "cat", "cat" if hit else "dog", 0.5)
            for seed, row in enumerate(correct)
            for i, hit in enumerate(row)
        ]
    ood = {name: entry for name, entry in entries.items() if not name.startswith("id_")}
    results: dict[str, Any] = {name: entry for name, entry in entries.items() if name not in ood}
    results |= {"ood": ood, "ood_mean": None}
    if ood:
        results["ood_mean"] = {"accuracy": float(np.mean([entry["accuracy"] for entry in ood.values()]))}
    whole = {"spec": "here", "n": N, "classes": 2, "dropped": 0, "damaged": 0}
    data: dict[str, Any] = {name: whole | {"fingerprint": prints[name]} for name in right if name not in ood}
    data |= {"classes": ["cat", "dog"], "ood": {name: whole | {"fingerprint": prints[name]} for name in ood}}
    report = skeleton(command, selected) | {"results": results, "data": data}
    (folder / "report.json").write_text(json.dumps(report))
    if predictions:
        if shuffle is not None:
            rows = [rows[i] for i in np.random.default_rng(shuffle).permutation(len(rows))]
        names = ["set", "seed", "example", "label", "predicted", "probability"]
        table = {name: [row[i] for row in rows] for i, name in enumerate(names)}
        pq.write_table(pa.table(table), folder / "predictions.parquet")
    return folder


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """probe, finetune, lpft with three seeds each, in that order."""
    skills = {"probe": 0.6, "finetune": 0.5, "lpft": 0.9}
    return [
        write_report(tmp_path / f"pacs-{name}", name, correctness(skill, 3, i), selected=i, shuffle=i)
        for i, (name, skill) in enumerate(skills.items())
    ]


def test_rows_sets_and_intervals(three: list[Path]) -> None:
    found = compare(three, None)
    assert [row.name for row in found.rows] == ["probe", "finetune", "lpft"]
    assert found.sets == ("id_val", "id_test", "art", "sketch", "ood_mean")
    right = correctness(0.9, 3, 2)["sketch"].mean(axis=1)
    cell = found.rows[2].cells["sketch"]
    assert cell is not None and cell.kind == "ci90" and found.rows[2].seeds == 3
    assert cell.accuracy == pytest.approx(right.mean())
    assert cell.interval == pytest.approx(stats.t.interval(0.9, 2, right.mean(), stats.sem(right)))
    mean = found.rows[2].cells["ood_mean"]
    assert mean is not None and mean.interval is None
    assert found.notes == ()


def test_differences_against_plain_arithmetic(three: list[Path]) -> None:
    found = [row for row in compare(three[::-1], None).differences if (row.first, row.second) == ("lpft", "finetune")]
    assert [row.set for row in found] == list(SETS)
    lpft, finetune = correctness(0.9, 3, 2), correctness(0.5, 3, 1)
    for row in found:
        a, b = lpft[row.set], finetune[row.set]
        assert row.n == N and row.seeds == (3, 3)
        assert row.difference == pytest.approx(a.mean() - b.mean())
        assert row.interval == pytest.approx(bootstrap_difference(a.mean(axis=0), b.mean(axis=0)), abs=0.02)
        chosen = a[2], b[1]  # the selected seeds
        assert row.only_first == (chosen[0] & ~chosen[1]).sum() and row.only_second == (chosen[1] & ~chosen[0]).sum()
        assert row.p == pytest.approx(stats.binomtest(row.only_first, row.only_first + row.only_second).pvalue)
    assert [row.p_holm for row in found] == holm([row.p for row in found if row.p is not None])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_difference_is_the_one_typed_earlier_minus_the_later(three: list[Path], order: tuple[int, ...]) -> None:
    names = [("probe", "finetune", "lpft")[i] for i in order]
    found = compare([three[i] for i in order], None)
    pairs = list(itertools.combinations(names, 2))
    assert list(dict.fromkeys((row.first, row.second) for row in found.differences)) == pairs
    accuracy = {(row.name, name): cell.accuracy for row in found.rows for name, cell in row.cells.items() if cell}
    for row in found.differences:
        assert row.difference == pytest.approx(accuracy[row.first, row.set] - accuracy[row.second, row.set])


def test_against_by_name_and_by_file(three: list[Path]) -> None:
    pairs = [("probe", "finetune"), ("lpft", "finetune")]
    for against in ("finetune", str(three[1]), str(three[1] / "report.json")):
        found = compare([path / "report.json" for path in three], against).differences
        assert list(dict.fromkeys((row.first, row.second) for row in found)) == pairs
    with pytest.raises(RequestError) as error:
        compare(three, "finetun")
    assert 'did you mean "finetune"?' in error.value.fix


def test_more_than_four_are_held_against_the_first(tmp_path: Path) -> None:
    files = [write_report(tmp_path / f"run{i}", "lpft", correctness(0.7, 1, i)) for i in range(5)]
    found = compare(files, None)
    assert [row.name for row in found.rows] == [f"run{i}" for i in range(5)]
    pairs = dict.fromkeys((row.first, row.second) for row in found.differences)
    assert list(pairs) == [(f"run{i}", "run0") for i in range(1, 5)]
    assert {row.cells["art"].kind for row in found.rows if row.cells["art"]} == {"accuracy_ci95"}
    assert {row.seeds for row in found.rows} == {1}


def test_many_sets_are_looked_up_and_not_searched_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sets of a report are listed a fixed number of times, however many there are; beyond a limit it is refused."""
    listed = []
    monkeypatch.setattr(
        "ftcli.comparison.reports.accuracies_of", lambda content: listed.append(1) or accuracies_of(content)
    )
    counts = []
    for sets in (3, 60):
        right = {f"set{i}": np.ones((1, N), dtype=bool) for i in range(sets)}
        files = [write_report(tmp_path / str(sets) / name, name, right) for name in ("probe", "lpft")]
        assert len(compare(files).differences) == sets
        counts.append(len(listed))
        listed.clear()
    assert counts[0] == counts[1]
    monkeypatch.setattr("ftcli.comparison.reports.MAX_COMPARED_SETS", 60)  # and their mean
    with pytest.raises(RequestError, match="61 sets, and at most 60"):
        compare(files)


def test_repeated_folder_names_get_their_parents_and_a_file_given_twice_counts_once(tmp_path: Path) -> None:
    files = [write_report(tmp_path / parent / "run", "lpft", correctness(0.7, 1, 0)) for parent in ("a", "b")]
    found = compare([*files, files[0] / "report.json"], None)
    assert [row.name for row in found.rows] == ["a/run", "b/run"]


def test_sets_are_paired_only_where_the_examples_are_the_same(tmp_path: Path) -> None:
    right = correctness(0.7, 1, 0)
    fewer = {name: right[name] for name in ("id_val", "id_test", "art")}
    files = [
        write_report(tmp_path / "a", "lpft", right),
        write_report(tmp_path / "b", "finetune", fewer, fingerprints={"art": "others"}),
    ]
    found = compare(files, None)
    assert [row.set for row in found.differences] == ["id_val", "id_test"]
    assert found.rows[1].cells["sketch"] is None
    assert any(note.startswith("art, lpft and finetune: no paired difference") for note in found.notes)
    assert any(note.startswith("art: the reports saw different examples") for note in found.notes)
    assert any(note.startswith("ood_mean:") for note in found.notes)


def test_without_predictions_there_are_no_differences_and_that_is_said(three: list[Path]) -> None:
    (three[0] / "predictions.parquet").unlink()
    found = compare(three, None)
    assert {(row.first, row.second) for row in found.differences} == {("finetune", "lpft")}
    assert found.notes == ("probe: no predictions.parquet beside its report, so no paired differences with it",)


def edit_predictions(folder: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    path = folder / "predictions.parquet"
    pq.write_table(pa.Table.from_pylist(change(pq.read_table(path).to_pylist())), path)


def test_examples_that_do_not_match_are_not_paired(three: list[Path]) -> None:
    probe, finetune, lpft = three
    edit_predictions(probe, lambda rows: [row for row in rows if (row["example"], row["seed"]) != ("art/003.png", 1)])
    edit_predictions(finetune, lambda rows: rows + [row for row in rows if row["example"] == "sketch/003.png"])
    edit_predictions(lpft, lambda rows: [row | {"example": row["example"].replace("id_val", "val")} for row in rows])
    found = compare(three[::-1], None)
    assert {(row.first, row.second, row.set) for row in found.differences} == {
        ("lpft", "finetune", "id_test"), ("lpft", "finetune", "art"),
        ("lpft", "probe", "id_test"), ("lpft", "probe", "sketch"),
        ("finetune", "probe", "id_val"), ("finetune", "probe", "id_test"),
    }  # fmt: skip
    assert len([note for note in found.notes if note.endswith("lacks examples or holds some twice")]) == 4
    assert len([note for note in found.notes if note.endswith("the examples go by other ids")]) == 2


def edit_report(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads((folder / "report.json").read_text())
    change(content)
    (folder / "report.json").write_text(json.dumps(content))


def other_run(folder: Path) -> None:
    """The predictions of another run on the same sets, copied beside."""
    other = write_report(folder.parent / "other", "finetune", correctness(0.9, 1, 7))
    (other / "predictions.parquet").rename(folder / "predictions.parquet")


def relabel(folder: Path, **columns: str) -> None:
    """Columns of the predictions as copies of others."""
    edit_predictions(folder, lambda rows: [row | {new: row[old] for new, old in columns.items()} for row in rows])


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda run: relabel(run, label="predicted"), 'accuracy of "id_val"'),
        (lambda run: relabel(run, predicted="label"), 'accuracy of "id_val"'),
        (other_run, "accuracy of"),
        (lambda run: edit_predictions(run, lambda rows: rows[:-1]), 'examples of "sketch", the report says 40, the'),
        (lambda run: edit_predictions(run, lambda rows: [*rows, *(row | {"seed": 1} for row in rows)]), "seeds of"),
        (
            lambda run: edit_predictions(
                run, lambda rows: [row | {"predicted": "cow"} if row["predicted"] == "dog" else row for row in rows]
            ),
            '"cow", in "id_val", is not among',
        ),
        (
            lambda run: edit_predictions(run, lambda rows: [*rows[:-1], rows[-1] | {"probability": float("nan")}]),
            "a probability that is not between 0 and 1",
        ),
        (lambda run: edit_report(run, lambda report: report["data"].update(classes=["dog", "cow"])), '"cat"'),
    ],
)
def test_predictions_that_are_not_of_their_report(tmp_path: Path, damage: Callable[[Path], None], problem: str) -> None:
    """Refused even where nothing is paired: what else of such a folder could be believed?"""
    run = write_report(tmp_path / "run", "probe", correctness(0.6, 1, 0))
    compare([run])
    damage(run)
    with pytest.raises(RequestError) as refused:
        compare([run])
    assert problem in refused.value.problem and str(run / "predictions.parquet") in refused.value.problem
    assert refused.value.exit_code == 2 and "again" in refused.value.fix


def test_seeds_that_changed_places(three: list[Path]) -> None:
    """The mean over seeds does not show it; the figures of each seed do."""
    run, right = three[2], correctness(0.9, 3, 2)
    entries = [{"selected": {"seed": seed}, "results": {}} for seed in range(3)]
    for seed, entry in enumerate(entries):
        of_sets = {name: {"accuracy": float(rows[seed].mean())} for name, rows in right.items()}
        entry["selected"] |= {
            "lr": 0.1,
            "epoch": 1,
            "C": None,
            "edge_of_grid": False,
            "id_val": {"accuracy": 1, "loss": 1},
        }
        ood = {name: FIGURES | one for name, one in of_sets.items() if not name.startswith("id_")}
        ids = {name: FIGURES | one for name, one in of_sets.items() if name.startswith("id_")}
        entry["results"] = ids | {"ood": ood, "ood_mean": None}
    edit_report(run, lambda report: report.update(seeds=entries))
    compare([run])
    edit_predictions(run, lambda rows: [row | {"seed": (0, 2, 1)[row["seed"]]} for row in rows])
    with pytest.raises(RequestError, match="accuracy of seed 1"):
        compare([run])


def test_labels_that_two_runs_do_not_share(tmp_path: Path) -> None:
    """Labels and predictions exchanged leave the accuracy as it was; the other run has the true labels."""
    runs = [write_report(tmp_path / f"run{i}", "probe", correctness(0.6, 1, i)) for i in range(2)]
    relabel(runs[1], label="predicted", predicted="label")
    compare([runs[1]])
    with pytest.raises(RequestError, match="under other labels") as refused:
        compare(runs)
    wrong = int(np.argmin(correctness(0.6, 1, 1)["id_val"][0]))
    assert f'"id_val/{wrong:03d}.png" is "cat" in the first and "dog" in the second' in refused.value.problem
    assert all(str(run) in refused.value.problem for run in runs)


@pytest.mark.parametrize("key", ["accuracy", "n", "ood_mean"])
def test_a_report_that_was_edited(tmp_path: Path, key: str) -> None:
    """Without predictions too: an accuracy fits its own interval and the mean over the sets."""
    run = write_report(tmp_path / "run", "probe", correctness(0.6, 1, 0), predictions=False)

    def change(report: dict[str, Any]) -> None:
        if key == "ood_mean":
            report["results"]["ood_mean"]["accuracy"] += 0.01
        else:
            report["results"]["id_test"][key] = {"accuracy": 0.99, "n": 4000}[key]

    edit_report(run, change)
    with pytest.raises(RequestError, match="ood_mean is" if key == "ood_mean" else "does not fit its interval"):
        compare([run])


def test_reports_that_choose_among_other_classes_are_said(tmp_path: Path) -> None:
    runs = [write_report(tmp_path / name, name, correctness(0.6, 1, 0)) for name in ("probe", "finetune")]
    edit_report(runs[1], lambda report: report["data"].update(classes=["cat", "cow", "dog"]))
    notes = compare(runs).notes
    assert [note for note in notes if "art: the reports choose among different classes" in note]
    edit_report(runs[1], lambda report: report["data"]["ood"]["art"].update(restricted_to=[0, 2]))
    notes = compare(runs).notes
    assert not [note for note in notes if note.startswith("art:")] and len(notes) == 3


def test_mcnemar_is_left_out_where_the_selected_seed_is_unknown(tmp_path: Path) -> None:
    files = [
        write_report(tmp_path / "a", "lpft", correctness(0.7, 3, 0), selected=9),
        write_report(tmp_path / "b", "probe", correctness(0.7, 1, 1), selected=None),
    ]
    found = compare(files, None)
    assert len(found.differences) == len(SETS)
    assert all(row.p is None and row.p_holm is None for row in found.differences)
    assert found.notes == (
        "lpft: the selected seed (9) has no predictions, so no McNemar test",
        "probe: one seed, so what is tested with it is about these runs, not the methods",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("[]", "is not a report"),
        ('{"schema": "other/1"}', "other/1"),
        ('{"schema": "ftcli/report/1", "command": "lpft"}', "required property"),
    ],
)
def test_files_that_are_no_reports(tmp_path: Path, text: str | None, problem: str) -> None:
    path = tmp_path / "report.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RequestError, match=problem) as error:
        compare([path], None)
    assert str(path) in error.value.problem and "runs/*/report.json" in error.value.fix


def test_nothing_to_compare(tmp_path: Path) -> None:
    empty = {"data": {"classes": [], "ood": {}}, "results": {"ood": {}, "ood_mean": None}}
    (tmp_path / "report.json").write_text(json.dumps(skeleton("lpft", None) | empty))
    with pytest.raises(RequestError, match="none of the reports has an accuracy"):
        compare([tmp_path], None)
    with pytest.raises(RequestError, match="no report"):
        compare([], None)


@pytest.mark.parametrize("broken", ["bytes", "columns"])
def test_predictions_that_cannot_be_read(three: list[Path], broken: str) -> None:
    path = three[0] / "predictions.parquet"
    if broken == "bytes":
        path.write_bytes(b"not a table")
    else:
        pq.write_table(pq.read_table(path).drop_columns(["seed"]), path)
    with pytest.raises(RequestError, match="cannot be read as predictions"):
        compare(three, None)


def test_json_and_csv_hold_the_same_numbers(three: list[Path]) -> None:
    found = compare(three, None)
    plain = to_json(found)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    lines = list(csv.DictReader(io.StringIO(to_csv(found))))
    accuracies = [line for line in lines if line["kind"] == "accuracy"]
    assert len(accuracies) == 3 * 5 and len(lines) == 3 * 5 + 3 * 4
    for line in accuracies:
        cell = next(row for row in plain["rows"] if row["name"] == line["name"])["cells"][line["set"]]
        assert float(line["accuracy"]) == cell["accuracy"]
        assert [float(line[key]) for key in ("low", "high") if line[key]] == (cell["interval"] or [])
    for line, pair in zip((line for line in lines if line["kind"] == "difference"), plain["differences"], strict=True):
        assert (line["name"], line["minus"], line["set"]) == (pair["first"], pair["second"], pair["set"])
        assert [float(line[key]) for key in ("accuracy", "p_holm")] == [pair["difference"], pair["p_holm"]]


HOSTILE = "[red]x\x1b[31m|y"


def hostile(tmp_path: Path) -> list[Path]:
    right = {HOSTILE if name == "art" else name: rows for name, rows in correctness(0.6, 1, 0).items()}
    better = {name: rows | True for name, rows in right.items()}
    return [write_report(tmp_path / "a", "finetune", right), write_report(tmp_path / "b", "lpft", better)]


def rendered(found: Any, width: int, terminal: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system="standard" if terminal else None)
    for table in tables(found, width):
        console.print(table)
    return out.getvalue()


def test_markdown_keeps_names_as_text(tmp_path: Path) -> None:
    text = to_markdown(compare(hostile(tmp_path), None))
    assert "\x1b" not in text and "\\[red\\]x\ufffd\\[31m\\|y" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    widths = {line.replace("\\|", "").count("|") for line in rows}
    assert widths == {8, 7}  # seven columns of accuracies, six of differences


@pytest.mark.parametrize("width", [60, 100, 200])
def test_tables_are_readable_at_every_width(tmp_path: Path, width: int) -> None:
    found = compare(hostile(tmp_path), None)
    text = rendered(found, width)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text and "…" not in text
    assert "95 % Wilson interval of one run" in " ".join(text.split())
    words = text.replace("[", " ").replace("]", " ").replace(",", " ").split()
    for row in found.rows:
        for cell in row.cells.values():
            assert cell is not None and f"{100 * cell.accuracy:.1f}" in words
            for end in cell.interval or ():
                assert f"{100 * end:.1f}" in words
    for pair in found.differences:
        assert pair.p_holm is not None
        star = "*" if pair.p_holm < 0.05 else ""
        assert f"{100 * pair.difference:+.1f}{star}" in words
    assert "*" in "".join(words)


def test_a_name_paints_nothing_on_a_terminal(tmp_path: Path) -> None:
    text = rendered(compare(hostile(tmp_path), None), 200, terminal=True)
    assert "\x1b[31m" not in text and "[red]x\ufffd[31m|y" in text
    assert "\x1b[1m" in text  # bold is there for a terminal


def test_mixed_intervals_are_told_apart(tmp_path: Path) -> None:
    files = [
        write_report(tmp_path / "a", "lpft", correctness(0.7, 3, 0)),
        write_report(tmp_path / "b", "probe", correctness(0.7, 1, 1)),
    ]
    text = " ".join(rendered(compare(files, None), 200).split())
    assert "(Student's t) where there are several seeds, else 95 % Wilson interval of one run" in text
    assert "seeds" in text.split("ID-val")[0]


def test_with_several_seeds_the_test_is_of_the_methods(three: list[Path]) -> None:
    """Corrected over all pairs and sets; what was said of the two selected runs stays beside it."""
    found = compare(three)
    assert {row.scope for row in found.differences} == {"methods"}
    skills = {"probe": 0.6, "finetune": 0.5, "lpft": 0.9}
    right = {name: correctness(skill, 3, i) for i, (name, skill) in enumerate(skills.items())}
    for row in found.differences:
        test = method_difference([right[row.first][row.set]], [right[row.second][row.set]])
        assert (row.method_interval, row.method_p) == (pytest.approx((test.low, test.high)), pytest.approx(test.p))
    assert [row.method_p_holm for row in found.differences] == holm([row.method_p for row in found.differences])  # type: ignore[misc]
    shown = " ".join(rendered(found, 200).split())
    assert "probe - finetune (methods)" in shown and "these two runs" not in shown
    assert "seeds and examples both as chance" in shown and "McNemar" not in shown


def test_a_star_is_that_of_the_methods(tmp_path: Path) -> None:
    """The selected runs differ far, and so do the seeds: no star."""
    rng = np.random.default_rng(0)
    rows = {
        "lpft": np.stack([rng.random(N) < skill for skill in (0.95, 0.3, 0.5)]),
        "probe": np.stack([rng.random(N) < skill for skill in (0.3, 0.6, 0.5)]),
    }
    runs = [write_report(tmp_path / name, name, {"art": right}) for name, right in rows.items()]
    (row,) = compare(runs).differences
    assert row.p_holm is not None and row.p_holm < 0.001
    assert row.method_p is not None and row.method_p > 0.05
    assert difference_texts(row)[0] == f"{100 * row.difference:+.1f}"
    assert row.method_interval and difference_texts(row)[1] == interval(row.method_interval)
    sure = replace(row, method_p_holm=0.01, method_interval=(0.1, 0.2), p_holm=1.0)
    assert difference_texts(sure)[0].endswith("*") and difference_texts(sure)[2:] == [f"{row.method_p:.3f}", "0.010"]


def test_one_seed_each_is_said_to_be_about_two_runs(tmp_path: Path) -> None:
    found = compare(hostile(tmp_path))
    assert {(row.scope, row.method_p, row.method_p_holm) for row in found.differences} == {("runs", None, None)}
    shown = " ".join(rendered(found, 200).split())
    assert "finetune - lpft (these two runs)" in shown and "McNemar's exact test on the two selected runs" in shown
    assert "of these two runs, not of the methods" in shown and "seeds and examples both" not in shown
    assert found.verdict is not None and found.verdict.scope == "runs" and found.verdict.leader == "lpft"
    assert to_markdown(found).rstrip().endswith("--seeds 3 shows more.")


def exact_probe(tmp_path: Path) -> Path:
    """A run of the probe that no seed changes."""
    run = write_report(tmp_path / "probe", "probe", correctness(0.6, 1, 5))
    edit_report(run, lambda report: report["selected"].update(C=1.0, lr=None))
    return run


def test_the_exact_probe_needs_one_seed_and_others_do_not(tmp_path: Path) -> None:
    right = correctness(0.9, 3, 0)
    runs = [write_report(tmp_path / "lpft", "lpft", right), exact_probe(tmp_path)]
    found = compare(runs)
    assert {row.scope for row in found.differences} == {"methods"} and found.notes == ()
    probe = correctness(0.6, 1, 5)
    test = method_difference([right["art"]], [probe["art"]], fixed=(False, True))
    assert next(row.method_p for row in found.differences if row.set == "art") == pytest.approx(test.p)
    runs.append(write_report(tmp_path / "evaluate", "evaluate", correctness(0.5, 1, 6), selected=None))
    found = compare(runs)
    scopes = {(row.first, row.second): row.scope for row in found.differences}
    assert scopes == {("lpft", "probe"): "methods", ("lpft", "evaluate"): "runs", ("probe", "evaluate"): "runs"}
    assert "evaluate: one seed, so what is tested with it is about these runs, not the methods" in found.notes
    shown = " ".join(rendered(found, 200).split())
    assert "seeds and examples both as chance" in shown and "McNemar" in shown


def test_the_verdict_of_a_comparison(three: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """On the mean over the OOD sets, whatever the pairs that were asked for."""
    right = {
        name: correctness(skill, 3, i) for i, (name, skill) in enumerate({"finetune": 0.5, "lpft": 0.9}.items(), 1)
    }
    probe = correctness(0.6, 3, 0)
    for against in (None, "probe"):
        found = compare(three, against).verdict
        assert found is not None and (found.outcome, found.scope, found.set) == ("winner", "methods", "ood_mean")
        assert (found.leader, found.folder) == ("lpft", str(three[2]))
        others = {"probe": probe, "finetune": right["finetune"]}
        test = method_difference(
            *([one[name] for name in ("art", "sketch")] for one in (right["lpft"], others[found.runner_up]))
        )
        assert (found.interval, found.p) == (pytest.approx((test.low, test.high)), pytest.approx(test.p))
    plain: Any = to_json(compare(three))
    assert plain["verdict"]["sentence"] == found.sentence and plain["verdict"]["interval"] == list(found.interval or ())
    assert to_json(compare(three[:1]))["verdict"] is None
    monkeypatch.chdir(three[2].parent)
    shown = compare(three).verdict
    assert shown is not None and shown.folder == "pacs-lpft"


@pytest.mark.parametrize("damage", ["fingerprints", "ids", "predictions", "no ood"])
def test_a_verdict_that_the_data_do_not_allow(tmp_path: Path, damage: str) -> None:
    right = correctness(0.6, 3, 0)
    others = {
        name: rows for name, rows in correctness(0.9, 3, 1).items() if damage != "no ood" or name.startswith("id_")
    }
    fingerprints = {"art": "other"} if damage == "fingerprints" else None
    if damage == "no ood":
        right = {name: rows for name, rows in right.items() if name.startswith("id_")}
    runs = [
        write_report(tmp_path / "lpft", "lpft", right),
        write_report(
            tmp_path / "probe", "probe", others, fingerprints=fingerprints, predictions=damage != "predictions"
        ),
    ]
    if damage == "ids":
        edit_predictions(runs[1], lambda rows: [row | {"example": row["example"].replace("art", "x")} for row in rows])
    found = compare(runs).verdict
    assert found is not None and found.leader == "probe"
    outcomes = {"fingerprints": "not comparable", "ids": "not tested", "predictions": "not tested", "no ood": "winner"}
    assert found.outcome == outcomes[damage] and found.set == ("id_test" if damage == "no ood" else "ood_mean")


def test_csv_has_the_test_of_the_methods(three: list[Path], tmp_path: Path) -> None:
    found = compare(three)
    lines = [line for line in csv.DictReader(io.StringIO(to_csv(found))) if line["kind"] == "difference"]
    for line, row in zip(lines, found.differences, strict=True):
        assert line["scope"] == "methods" and row.method_interval
        figures = [float(line[key]) for key in ("method_low", "method_high", "method_p", "method_p_holm")]
        assert figures == [*row.method_interval, row.method_p, row.method_p_holm]
    runs = compare(hostile(tmp_path))
    line = list(csv.DictReader(io.StringIO(to_csv(runs))))[-1]
    assert line["scope"] == "runs" and line["method_p"] == line["method_low"] == ""
