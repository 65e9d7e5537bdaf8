"""Folders of runs: `ftcli runs` lists them whatever their state, `compare` takes the finished ones."""

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftcli.run_folder import find
from tests.cli.test_compare import correctness, edit_report, skeleton, write_report
from tests.helpers.program import PAINT, Work, inside, read, work
from tests.helpers.stopped import stopped


def run(folder: Path, command: str = "lpft", seeds: int = 1) -> Path:
    return write_report(folder, command, correctness(0.7, seeds, len(str(folder))))


def unfinished(folder: Path) -> Path:
    """A run folder as it is before the first state is saved."""
    (folder / "state").mkdir(parents=True)
    request = {"command": "finetune", "options": {"lr": [0.1, 0.2], "seeds": 3, "epochs": 4}, "models": [{"name": "m"}]}
    (folder / "state" / "request.json").write_text(json.dumps(request))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Runs at several depths, and others that cannot be compared."""
    root = tmp_path / "runs"
    run(root / "b"), run(root / "a" / "deep" / "er", "probe"), run(root / "c" / "inner", "finetune")
    unfinished(root / "half")
    (root / "junk").mkdir()
    (root / "junk" / "report.json").write_text('{"written": "by another program"}')
    parts = {"data": {"classes": [], "ood": {}}, "results": {"ood": {}, "ood_mean": None}}
    (root / "moved").mkdir()
    (root / "moved" / "report.json").write_text(json.dumps(skeleton("distortion", None) | parts))
    (root / "empty").mkdir()
    run(root / ".trash" / "old")
    return root


def listed(*words: Any) -> list[dict[str, Any]]:
    return inside("runs", *words, "--json").report["runs"]


def files(*words: Any) -> list[str]:
    """The reports of a comparison, in its order."""
    return [str(Path(row["file"]).parent) for row in inside("compare", *words, "--json").report["rows"]]


def test_every_run_below_a_folder_is_listed_by_name(root: Path) -> None:
    found = listed(root)
    names = ["a/deep/er", "b", "c/inner", "half", "junk", "moved"]
    assert [row["folder"] for row in found] == [str(root / name) for name in names]
    assert [row["state"] for row in found] == ["finished"] * 3 + ["unfinished", "damaged", "finished"]
    assert [row["command"] for row in found] == ["probe", "lpft", "finetune", "finetune", None, "distortion"]
    assert "report.json is not as ftcli writes it" in found[4]["problem"]
    for words in ([], ["--format", "markdown"]):
        assert f"junk: {found[4]['problem']}"[:50] in inside("runs", root, *words).stdout


def test_a_line_holds_what_the_report_says(tmp_path: Path) -> None:
    one, many = run(tmp_path / "one"), run(tmp_path / "three", seeds=3)
    pick = {"seed": 2, "lr": 0.25, "epoch": 7, "C": None, "edge_of_grid": False, "choice": "first"}
    pick |= {"id_val": {"accuracy": 0.5, "loss": 1.0}}
    edit_report(one, lambda report: report.update(selected=pick, created="2026-02-03T04:05:06+00:00"))
    edit_report(many, lambda report: report.update(seeds=[{"selected": pick, "results": {"ood": {}}}] * 3))
    first, second = listed(tmp_path)
    results = read(one)["results"]
    assert first["id_val"] == results["id_val"]["accuracy"] and first["ood_mean"] == results["ood_mean"]["accuracy"]
    keys = ("command", "model", "choice", "lr", "C", "epoch", "seed", "seeds", "date")
    assert [first[key] for key in keys] == ["lpft", "x", "first", 0.25, None, 7, 2, 1, "2026-02-03T04:05:06+00:00"]
    assert second["seeds"] == 3 and second["id_val"] == read(many)["results"]["id_val"]["accuracy"]
    (line, _) = csv.DictReader(io.StringIO(inside("runs", tmp_path, "--format", "csv").stdout))
    assert {key: value for key, value in line.items() if value} == {
        key: str(value) for key, value in first.items() if value is not None
    }
    for words in ([], ["--format", "markdown"]):
        shown = inside("runs", tmp_path, *words, COLUMNS="200").stdout
        assert "first, lr 0.25, epoch 7" in shown and f"{100 * first['ood_mean']:.1f}" in shown
        assert "2026-02-03 04:05" in shown and "2 runs" in shown


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("work"))


def test_how_far_an_interrupted_run_is(tiny: Work, tmp_path: Path) -> None:
    """Two rates, two seeds, three epochs; every step and epoch is saved, and the fifth run is never begun."""
    words = ["finetune", *tiny.words, "--epochs", 3, "--lr", "1e-3,2e-3", "--seeds", 2, "--out", tmp_path / "o"]
    ended = stopped(1, *words)
    assert ended.returncode == 130
    seen = set()
    for more in (1, 9, 14, 20, 30):
        (row,) = listed(tmp_path)
        assert row["state"] == "unfinished" and row["command"] == "finetune" and row["model"] == "test_resnet"
        assert (row["runs_planned"], row["seeds"]) == (4, 2)
        saved = [path for path in (tmp_path / "o" / "state").glob("*.safetensors")]
        assert row["runs_finished"] == len(saved) - (row["epochs"] is not None)
        seen.add((row["runs_finished"], row["epochs_finished"]))
        shown = inside("runs", tmp_path, COLUMNS="200").stdout
        assert f"unfinished: {row['runs_finished']} of 4 runs" in shown
        if stopped(more, *words).returncode == 0:
            break
    assert len(seen) > 2 and {runs for runs, _ in seen} >= {0, 1}
    assert inside(*words, "--resume").returncode == 0
    (row,) = listed(tmp_path)
    assert (
        row["state"] == "finished"
        and row["runs_planned"] is None
        and row["lr"] == read(tmp_path / "o")["selected"]["lr"]
    )


def test_a_folder_of_its_own_and_none(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [row["folder"] for row in listed(root / "b")] == [str(root / "b")]
    assert listed(root / "empty") == [] and "0 runs" in inside("runs", root / "empty").stdout
    for missing in (tmp_path / "none", root / "junk" / "report.json"):
        done = inside("runs", missing)
        assert done.returncode == 2 and "cannot be read" in done.stderr and done.stdout == ""
    monkeypatch.chdir(tmp_path)
    assert len(listed()) == 6  # `runs` is what a command without --out fills


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "[" * 100_000, '{"schema": "ftcli/report/1"}',
        '{"schema": "other/1", "command": "lpft", "created": ""}',
        '{"schema": "ftcli/report/1", "command": "lpft", "created": "", "results": {"id_val": {"accuracy": 1.5}}}',
        '{"schema": "ftcli/report/1", "command": "lpft", "created": "", "results": {"id_val": {"accuracy": NaN}}}',
    ],
    ids=range(9),
)  # fmt: skip
@pytest.mark.parametrize("place", ["report.json", "state/request.json"])
def test_damaged_files_are_shown(text: str, place: str, tmp_path: Path) -> None:
    run(tmp_path / "good")
    path = tmp_path / "bad" / place
    path.parent.mkdir(parents=True)
    path.write_text(text)
    bad, good = listed(tmp_path)
    assert (bad["state"], good["state"]) == ("damaged", "finished") and path.name in bad["problem"]
    assert inside("runs", tmp_path).returncode == 0


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "report.json")
    (row,) = listed(tmp_path)
    assert row["state"] == "damaged" and "no regular file" in row["problem"]


@pytest.mark.parametrize(
    "state", [b"", b"\xff" * 40, (8).to_bytes(8, "little") + b"{}      ", b"\x02" + bytes(7) + b"[]"]
)
def test_saved_states_that_cannot_be_read_count_as_none(state: bytes, tmp_path: Path) -> None:
    unfinished(tmp_path / "o")
    (tmp_path / "o" / "state" / "x.safetensors").write_bytes(state)
    (row,) = listed(tmp_path)
    assert row["state"] == "unfinished" and row["runs_finished"] is None and row["runs_planned"] == 6


def test_links_end_and_hide_no_run(root: Path) -> None:
    before = [row["folder"] for row in listed(root)]
    (root / "a" / "around").symlink_to(root)
    (root / "a" / "self").symlink_to("self")
    (root / "0-latest").symlink_to(root / "b")  # sorts before what it points at
    (root / "gone").symlink_to(root / "nowhere")
    assert [row["folder"] for row in listed(root)] == before
    outside = run(root.parent / "elsewhere" / "x")
    (root / "linked").symlink_to(outside.parent)
    assert str(root / "linked" / "x") in [row["folder"] for row in listed(root)]


def test_folders_that_cannot_be_read_are_shown(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = find.entries_of

    def refuse(folder: Path) -> Iterator[Any]:
        if folder.name == "c":
            raise PermissionError(13, "Permission denied")
        return entries(folder)

    monkeypatch.setattr(find, "entries_of", refuse)
    row = next(row for row in listed(root) if row["state"] == "unreadable")
    assert row["folder"] == str(root / "c") and row["problem"] == "Permission denied"
    notes = inside("compare", root, "--json").report["notes"]
    assert f"left out: '{root / 'c'}' cannot be read: Permission denied" in notes


def test_a_path_that_is_too_long_ends_the_search_there(tmp_path: Path) -> None:
    run(tmp_path / "good")
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(20):  # deeper than one path may name
            os.mkdir("d" * 240)
            os.chdir("d" * 240)
    finally:
        os.chdir(here)
    assert [row["state"] for row in listed(tmp_path)] == ["unreadable", "finished"]


def test_names_paint_nothing(tmp_path: Path) -> None:
    folder = run(tmp_path / f"{PAINT}|\n")
    edit_report(folder, lambda report: report.update(command=f"{PAINT}x"))
    odd = os.fsencode(tmp_path) + b"/odd\xff"
    os.mkdir(odd)
    Path(os.fsdecode(odd), "report.json").write_text("{")
    for words in ([], ["--format", "csv"], ["--format", "markdown"], ["--json"]):
        done = inside("runs", tmp_path, *words, terminal=not words)
        assert done.returncode == 0 and PAINT[-6:] not in done.stdout
        done.stdout.encode("utf-8")
    lines = [line for line in inside("runs", tmp_path, "--format", "markdown").stdout.splitlines() if line[:1] == "|"]
    assert {line.replace("\\|", "").count("|") for line in lines} == {10} and len(lines) == 4


def test_too_many_folders_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "MAX_SEARCHED_FOLDERS", 5)
    for command in ("runs", "compare"):
        done = inside(command, root)
        assert done.returncode == 2 and "more than 5 folders" in done.stderr


def test_a_narrow_terminal_has_fewer_columns(root: Path) -> None:
    wide = inside("runs", root, COLUMNS="300").stdout
    narrow = inside("runs", root, COLUMNS="60").stdout
    assert "model" in wide and "date" in wide and "show more" not in wide
    assert "model" not in narrow and "show more" in narrow
    table = narrow.partition("\n")[2].partition("a wider terminal")[0]
    assert max(map(len, table.splitlines())) <= 60


def test_compare_takes_the_finished_runs_of_a_folder_and_names_the_others(root: Path) -> None:
    assert files(root) == [str(root / name) for name in ("a/deep/er", "b", "c/inner")]
    notes = inside("compare", root, "--json").report["notes"]
    assert [note for note in notes if note.startswith("left out")] == [
        f"left out: '{root / 'half'}' is not finished",
        next(note for note in notes if f"'{root / 'junk' / 'report.json'}' is not a report of ftcli" in note),
        f"left out: '{root / 'moved'}' is of `distortion`, not of one model",
    ]
    for words in ([], ["--format", "markdown"], ["--format", "latex"]):
        assert "half" in inside("compare", root, *words).stdout


def test_the_order_is_as_typed(root: Path, tmp_path: Path) -> None:
    other = run(tmp_path / "other" / "z")
    expected = [str(root / "c" / "inner"), str(other), str(root / "a/deep/er"), str(root / "b")]
    assert files(root / "c" / "inner" / "report.json", other.parent, root) == expected
    assert files(root, other)[-1] == str(other)
    done = inside("compare", root / "c", root, "--fail-if", "art.accuracy<0")
    assert done.returncode == 0


def test_a_folder_without_a_finished_run(root: Path) -> None:
    half = f"'{root / 'half'}' is not finished"
    for folder, words in ((root / "empty", "holds no finished run"), (root / "half", half)):
        done = inside("compare", root / "b", folder)
        assert done.returncode == 2 and words in done.stderr and done.stdout == ""
    unfinished(root / "empty" / "later")
    done = inside("compare", root / "empty")
    assert done.returncode == 2 and f"'{root / 'empty' / 'later'}' is not finished" in done.stderr


def test_too_many_runs_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftcli.comparison.folders.MAX_COMPARED_REPORTS", 2)
    done = inside("compare", root)
    assert done.returncode == 2 and "3 finished runs, and at most 2" in done.stderr
