"""A study ends in the figures of the single commands, goes on where it was, and names the winner. Its cells run inside
the test's process; tests/cli/test_study_processes.py runs real ones.
"""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema
import pytest

from ftcli.comparison.verdict import Contender, difference_of
from ftcli.studies import command as study_command
from ftcli.studies import time as study_time
from ftcli.studies.cells import Cell
from ftcli.studies.measure_process import plan_of
from tests.helpers.ended import Ended
from tests.helpers.program import Work, inside, lasting, read, work

MEASURED = study_time.measured
TUNING = ["--epochs", 2, "--lr", "1e-3,1e-2"]


@dataclass
class InsideEngine:
    """Runs a cell in this process, one at a time. killed: how often a cell of this name is killed before it runs."""

    slots: int = 1
    outlives: bool = False
    killed: dict[str, int] = field(default_factory=dict)
    run: list[str] = field(default_factory=list)
    over: list[tuple[Cell, int]] = field(default_factory=list)

    def start(self, cell: Cell, words: list[str], log: Path) -> None:
        self.run.append(cell.name)
        if self.killed.get(cell.name):
            self.killed[cell.name] -= 1
            self.over.append((cell, -9))
            return
        ended = inside(*words)
        log.write_text(ended.stderr, "utf-8")
        self.over.append((cell, ended.returncode))

    def ended(self, seconds: float) -> list[tuple[Cell, int]]:
        over, self.over = self.over, []
        return over

    def stop(self) -> None:
        pass


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("study"))


@pytest.fixture
def engine() -> Iterator[InsideEngine]:
    engine = InsideEngine()
    with (
        mock.patch.object(study_command, "open_engine", lambda config, left: engine),
        mock.patch.object(study_time, "measured", lambda commands: {}),
    ):
        yield engine


def study(task: Work, out: Path, *words: Any) -> Ended:
    """The study of the task; where --set names checkpoints, those in place of the task's."""
    own = any(str(word).startswith("checkpoint=") for word in words)
    return inside("study", *(task.words[2:] if own else task.words), "--out", out, *words)


def answer(out: Path) -> dict[str, Any]:
    return json.loads((out / "study.json").read_text("utf-8"))


def without_folders(value: Any) -> Any:
    """A study's answer without what two of the same cells may differ in."""
    kept = {key: part for key, part in value.items() if key not in ("created", "argv", "timing")}
    return {**kept, "cells": [{k: part for k, part in cell.items() if k != "line"} for cell in kept["cells"]]}


def rows(out: Path, benchmark: str = "data") -> dict[str, dict[str, Any]]:
    return {row["method"]: row for row in answer(out)["benchmarks"][benchmark]["methods"]}


def test_the_figures_are_those_of_the_single_commands(task: Work, engine: InsideEngine, tmp_path: Path) -> None:
    """Results over seeds, picks and the saved model, to the last digit."""
    ended = study(task, tmp_path / "s", "--methods", "probe,finetune,lpft", "--seeds", 2, *TUNING)
    assert ended.returncode == 0, ended.stderr
    for name, words in {"probe": [], "finetune": ["--seeds", 2, *TUNING], "lpft": ["--seeds", 2, *TUNING]}.items():
        inside(name, *task.words, "--out", tmp_path / name, *words)
        single, row = read(tmp_path / name), rows(tmp_path / "s")[name]
        assert row["results"] == single["results"]
        picks = single.get("seeds") or [{"selected": single["selected"], "results": single["results"]}]
        assert [pick["results"] for pick in row["seeds"]] == [pick["results"] for pick in picks]
        assert row["selected"] == single["selected"]
        assert_same_model(tmp_path / "s" / row["folder"], tmp_path / name)


def assert_same_model(one: Path, other: Path) -> None:
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


def test_a_grid_split_over_cells_is_joined(task: Work, engine: InsideEngine, tmp_path: Path) -> None:
    words = ["--methods", "finetune", "--seeds", 2, "--epochs", 2]
    assert study(task, tmp_path / "whole", *words, "--set", "lr=1e-3,1e-1,1e-2").returncode == 0
    assert study(task, tmp_path / "split", *words, "--set", "lr=1e-3;1e-1;1e-2").returncode == 0
    assert len(engine.run) == 2 + 6
    (whole,), (split,) = rows(tmp_path / "whole").values(), rows(tmp_path / "split").values()
    assert split["results"] == whole["results"]
    inner = {"lr", "seed", "epoch", "id_val", "edge_of_grid"}
    assert {key: split["selected"][key] for key in inner} == {key: whole["selected"][key] for key in inner}
    assert_same_model(tmp_path / "split" / split["folder"], tmp_path / "whole" / whole["folder"])


def test_typed_again_nothing_runs_and_the_answer_is_the_same(task: Work, engine: InsideEngine, tmp_path: Path) -> None:
    words = ["--methods", "probe,finetune", "--epochs", 1, "--lr", "1e-2"]
    assert study(task, tmp_path / "s", *words).returncode == 0
    before, engine.run = answer(tmp_path / "s"), []
    planned = study(task, tmp_path / "s", *words, "--dry-run")
    assert planned.stdout.splitlines()[-1] == "2 cells, of which 2 finished; left: nothing"
    assert study(task, tmp_path / "s", *words, "--dry-run", "--json").report["seconds"] == 0
    assert study(task, tmp_path / "s", *words).returncode == 0
    assert engine.run == [] and without_folders(answer(tmp_path / "s")) == without_folders(before)
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        "data", "logs", "report.html", "study.json", "study.jsonl",
    ]  # fmt: skip


def test_what_is_added_runs_alone(task: Work, engine: InsideEngine, tmp_path: Path) -> None:
    """A method, a seed; and a set, on which the saved models give what they would have given from the start."""
    words = ["--epochs", 1, "--lr", "1e-2"]
    assert study(task, tmp_path / "s", "--methods", "finetune", *words).returncode == 0
    engine.run = []
    assert study(task, tmp_path / "s", "--methods", "finetune,lpft", "--seeds", 2, *words).returncode == 0
    assert sorted(engine.run) == ["data/finetune/seed-1", "data/lpft/seed-0", "data/lpft/seed-1"]
    engine.run = []
    more = ["--ood", f"near={task.train}", "--methods", "finetune,lpft", "--seeds", 2, *words]
    half_written = tmp_path / "s" / "data/finetune/seed-0+near/.predictions.parquet.1.part"  # of a killed evaluation
    half_written.mkdir(parents=True)
    assert study(task, tmp_path / "s", *more).returncode == 0
    assert not half_written.exists()
    assert sorted(engine.run) == [f"data/{name}/seed-{seed}+near" for name in ("finetune", "lpft") for seed in (0, 1)]
    assert study(task, tmp_path / "whole", *more).returncode == 0
    for name, row in rows(tmp_path / "s").items():
        whole = rows(tmp_path / "whole")[name]
        assert row["results"]["ood_mean"] == whole["results"]["ood_mean"]
        for key in ("n", "accuracy", "loss", "balanced_accuracy", "ece", "accuracy_ci95"):
            assert row["results"]["ood"]["near"][key] == whole["results"]["ood"]["near"][key]


def test_a_new_set_is_opened_before_anything_starts(
    task: Work, engine: InsideEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And in the folder nothing changes."""
    words = ["--methods", "finetune", "--epochs", 1, "--lr", "1e-2"]
    assert study(task, tmp_path / "s", *words).returncode == 0
    before = (tmp_path / "s" / "study.jsonl").read_text("utf-8")
    asked: list[list[str]] = []

    def answered(request: str) -> str:
        asked.extend(commands := json.loads(request))
        return json.dumps([plan_of(words) for words in commands])

    monkeypatch.setattr(study_time, "measured", MEASURED)
    monkeypatch.setattr(study_time, "answer_of_process", answered)
    engine.run = []
    for wrong, said in {"none": "none", f"{task.far}?label=colour": "colour"}.items():
        ended = study(task, tmp_path / "s", *words, "--ood", f"near={wrong}")
        assert ended.returncode == 2 and said in ended.stderr and engine.run == []
        assert (tmp_path / "s" / "study.jsonl").read_text("utf-8") == before
    asked.clear()
    ended = study(task, tmp_path / "s", *words, "--ood", f"near={task.train}")
    assert ended.returncode == 0 and engine.run == ["data/finetune/seed-0+near"], ended.stderr
    assert [one[0] for one in asked] == ["evaluate"]


def test_a_set_that_not_every_seed_has(task: Work, engine: InsideEngine, tmp_path: Path) -> None:
    """It is left out of the row, and the notes say so; they have the warnings of the cells too."""
    out = tmp_path / "s"
    words = ["--methods", "finetune", "--lr", "1e-2,1e-3", "--epochs", 1]
    assert study(task, out, *words, "--seeds", 2).returncode == 0
    before = rows(out)["finetune"]["results"]["ood_mean"]
    ended = study(task, out, *words, "--seeds", 1, "--ood", f"near={task.train}")
    assert ended.returncode == 0, ended.stderr
    row = rows(out)["finetune"]
    assert "near" not in row["results"]["ood"] and row["results"]["ood_mean"] == before
    notes = " ".join(answer(out)["notes"])
    assert "data, near: finetune is not measured on it with every seed" in notes
    for one in row["seeds"]:
        for warning in read(out / one["folder"])["warnings"]:
            assert warning["text"].removeprefix(f"seed {one['seed']}: ") in notes


def test_a_failed_cell_stops_no_other(task: Work, engine: InsideEngine, tmp_path: Path) -> None:
    """It is listed with its command; typed again it is repeated."""
    words = ["--method", "finetune --lr 1e30", "--method", "lpft --lr 1e-2", "--epochs", 1]
    ended = study(task, tmp_path / "s", *words)
    assert ended.returncode == 1 and "every run diverged" in ended.stderr and "failed" in ended.stdout
    states = {cell["method"]: cell for cell in answer(tmp_path / "s")["cells"]}
    assert states["finetune --lr 1e30"]["state"] == "failed" and "diverged" in states["finetune --lr 1e30"]["problem"]
    assert states["lpft --lr 1e-2"]["state"] == "finished" and list(rows(tmp_path / "s")) == ["lpft --lr 1e-2"]
    engine.run = []
    assert study(task, tmp_path / "s", *words).returncode == 1
    assert engine.run == [next(cell["folder"] for cell in states.values() if cell["state"] == "failed")]


def test_a_damaged_cell_is_named(task: Work, engine: InsideEngine, tmp_path: Path) -> None:
    """With what to remove so that it is run anew."""
    words = ["--methods", "finetune", "--epochs", 1, "--lr", "1e-2"]
    assert study(task, tmp_path / "s", *words).returncode == 0
    folder = tmp_path / "s" / "data" / "finetune" / "seed-0"
    (folder / "report.json").write_text("{", "utf-8")
    ended = study(task, tmp_path / "s", *words)
    assert ended.returncode == 2 and f"remove {folder} and type the study again" in ended.stderr
    shutil.rmtree(folder)
    assert study(task, tmp_path / "s", *words).returncode == 0 and len(engine.run) == 2


def test_a_killed_cell_goes_on(task: Work, engine: InsideEngine, tmp_path: Path) -> None:
    name = "data/finetune/seed-0"
    words = ["--methods", "finetune", "--epochs", 1, "--lr", "1e-2"]
    engine.killed[name] = 3
    assert study(task, tmp_path / "s", *words).returncode == 0
    assert engine.run == [name] * 4
    engine.killed[name], engine.run = 100, []
    shutil.rmtree(tmp_path / "s" / name)
    ended = study(task, tmp_path / "s", *words)  # for ever: it is given up
    assert ended.returncode == 1 and 3 < len(engine.run) < 10


def test_the_answer_keeps_its_schema(task: Work, engine: InsideEngine, tmp_path: Path) -> None:
    out = tmp_path / "s"
    ended = study(task, out, "--methods", "probe,finetune", "--seeds", 2, "--epochs", 1, "--lr", "1e-2", "--json")
    assert json.loads(ended.stdout) == answer(out)
    jsonschema.validate(answer(out), json.loads(inside("schema", "study").stdout))
    page = (out / "report.html").read_text("utf-8")
    words = re.sub("<[^>]+>", "", page)
    assert "ftcli study --checkpoint" in words and "--json" not in words.partition("ftcli study --checkpoint")[2][:1000]
    assert "<svg" in page and "<script" not in page and "http://" not in page.replace("http://www.w3.org", "")


def test_differences_and_verdict(task: Work, engine: InsideEngine, tmp_path: Path) -> None:
    """As the test of methods gives them for the predictions in the run folders."""
    import pyarrow.parquet as pq

    out = tmp_path / "s"
    ended = study(task, out, "--methods", "probe,finetune", "--seeds", 3, *TUNING)
    found = answer(out)["benchmarks"]["data"]

    def contender(method: str) -> Contender:
        import numpy as np

        of_seeds = []
        for pick in rows(out)[method]["seeds"]:
            table = pq.read_table(out / pick["folder"] / "predictions.parquet").to_pylist()
            by_example = sorted(
                (row["example"], row["label"] == row["predicted"]) for row in table if row["set"] == "far"
            )
            of_seeds.append([right for _, right in by_example])
        return Contender(method, "", 0.0, len(of_seeds), (np.array(of_seeds),), fixed=method == "probe")

    expected = difference_of(contender("probe"), contender("finetune"))
    shown = next(one for one in found["differences"] if one["set"] == "ood_mean")
    assert shown["difference"] == pytest.approx(expected.difference, abs=1e-12)
    assert shown["interval"] == pytest.approx([expected.low, expected.high]) and shown["p"] == pytest.approx(expected.p)
    best = max(rows(out).values(), key=lambda row: row["results"]["ood_mean"]["accuracy"])
    assert found["verdict"]["method"] == best["method"] and found["verdict"]["folder"] == best["folder"]
    assert found["verdict"]["text"] in ended.stdout and str(out / best["folder"]) in ended.stdout


def test_sets_without_labels_are_said(task: Work, engine: InsideEngine, tmp_path: Path) -> None:
    words = ["--methods", "finetune", "--epochs", 1, "--lr", "1e-2", "--ood", f"new={task.far}?labels=none"]
    ended = study(task, tmp_path / "s", *words)
    assert ended.returncode == 0 and "data, new: no labels, so no accuracy" in ended.stdout


def test_settings_are_rows_and_id_val_takes_one(task: Work, engine: InsideEngine, tmp_path: Path) -> None:
    out = tmp_path / "s"
    assert (
        study(task, out, "--methods", "finetune", "--set", "epochs=1,3", "--lr", "1e-2", "--seeds", 2).returncode == 0
    )
    found = rows(out)
    assert set(found) == {"finetune --epochs=1", "finetune --epochs=3"}
    mean = {name: sum(s["selected"]["id_val"]["accuracy"] for s in row["seeds"]) / 2 for name, row in found.items()}
    taken = [name for name, row in found.items() if row["picked"]]
    assert len(taken) == 1 and mean[taken[0]] == max(mean.values())
    assert answer(out)["benchmarks"]["data"]["verdict"]["method"] == taken[0]


@pytest.mark.parametrize("joined", [" ", "="])
def test_methods_with_options_of_their_own_all_take_part(
    joined: str, task: Work, engine: InsideEngine, tmp_path: Path
) -> None:
    """However an option and its value are typed: only values of --set are picked from."""
    methods = [f"finetune --l2-sp{joined}{value}" for value in (0, 1)]
    words = [word for method in methods for word in ("--method", method)]
    assert study(task, tmp_path / "s", *words, "--epochs", 1, "--lr", "1e-2").returncode == 0
    found = rows(tmp_path / "s")
    assert set(found) == {"finetune --l2-sp 0", "finetune --l2-sp 1"} and all(row["picked"] for row in found.values())


def test_what_lies_in_the_folder_is_not_overwritten(task: Work, engine: InsideEngine, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "mine.txt").write_text("mine")
    ended = study(task, tmp_path / "s")
    assert ended.returncode == 2 and "something else" in ended.stderr and engine.run == []
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["mine.txt"]


def test_print_keeps_the_list_alone(task: Work, engine: InsideEngine, tmp_path: Path) -> None:
    ended = study(task, tmp_path / "s", "--seeds", 2, "--print")
    lines = ended.stdout.splitlines()
    assert len(lines) == 1 + 2 + 2 and all(line.startswith("ftcli ") for line in lines)
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["study.jsonl"] and engine.run == []


def test_a_damaged_list_is_removed_and_finished_cells_are_found_again(
    task: Work, engine: InsideEngine, tmp_path: Path
) -> None:
    """As the message says; also their evaluations. Nothing is taken for what was typed that ran with other options."""
    words = ["--methods", "probe,finetune", "--epochs", 1, "--lr", "1e-2"]
    more = [*words, "--ood", f"near={task.train}"]
    assert study(task, tmp_path / "s", *words).returncode == study(task, tmp_path / "s", *more).returncode == 0
    before, listed, engine.run = answer(tmp_path / "s"), tmp_path / "s" / "study.jsonl", []
    text = listed.read_text("utf-8")
    listed.write_text("{" + text, "utf-8")
    ended = study(task, tmp_path / "s", *words)
    assert ended.returncode == 2 and "remove the file and type the study again" in ended.stderr
    listed.unlink()
    other = study(task, tmp_path / "s", *more, "--epochs", 2)
    assert other.returncode == 2 and "seed-0' holds a finished run with --epochs 1" in other.stderr
    other = study(task, tmp_path / "s", *words, "--ood", f"near={task.far}")
    assert other.returncode == 2 and "seed-0+near' holds a finished run with --ood" in other.stderr
    assert not listed.exists() and study(task, tmp_path / "s", *more).returncode == 0 and engine.run == []
    assert rows(tmp_path / "s") == {row["method"]: row for row in before["benchmarks"]["data"]["methods"]}
    assert sorted(listed.read_text("utf-8").splitlines()) == sorted(text.splitlines())


def test_a_list_of_cells_that_have_not_begun_is_replaced(task: Work, engine: InsideEngine, tmp_path: Path) -> None:
    """So a wrong SPEC that --print could not know of is corrected; of a study that has begun it is refused."""
    words = ["--methods", "finetune", "--epochs", 1, "--lr", "1e-2", "--out", tmp_path / "s", *task.words[:2]]
    assert inside("study", *words, "--train", "wrong", "--print").returncode == 0
    ended = inside("study", *words, *task.words[2:])
    assert ended.returncode == 0, ended.stderr
    ended = inside("study", *words, "--train", "wrong", "--print")
    assert ended.returncode == 2 and "holds a study with --train" in ended.stderr


def test_compare_and_report_do_not_take_seeds_for_methods(task: Work, engine: InsideEngine, tmp_path: Path) -> None:
    """They say where the comparison of a study is; folders below it are taken as ever."""
    out = tmp_path / "s"
    assert study(task, out, "--methods", "finetune", "--seeds", 2, "--epochs", 1, "--lr", "1e-2").returncode == 0
    for command in ("compare", "report"):
        ended = inside(command, out)
        assert ended.returncode == 2 and "holds a study" in ended.stderr and str(out / "report.html") in ended.stderr
    (out / "report.html").unlink()
    assert "report.html" not in (ended := inside("report", out)).stderr and "typed again" in ended.stderr
    below = inside("compare", out / "data")
    assert below.returncode == 2 and "holds a part of a study" in below.stderr
    folders = [out / f"data/finetune/seed-{seed}" for seed in (0, 1)]
    assert inside("compare", *folders).returncode == inside("report", folders[0]).returncode == 0


def test_a_run_folder_is_no_study(task: Work, engine: InsideEngine, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "report.json").write_text("{}", "utf-8")
    ended = study(task, tmp_path / "run")
    assert ended.returncode == 2 and "holds a finished run, not a study" in ended.stderr
    assert "--overwrite" not in ended.stderr


def test_the_report_of_a_cell_is_that_of_its_command(task: Work, engine: InsideEngine, tmp_path: Path) -> None:
    import shlex

    assert study(task, tmp_path / "s", "--methods", "lpft", "--epochs", 1, "--lr", "1e-2").returncode == 0
    (cell,) = answer(tmp_path / "s")["cells"]
    words = shlex.split(cell["line"].replace(str(tmp_path / "s"), str(tmp_path / "alone")))
    assert inside(*words[1:]).returncode == 0
    assert lasting(read(tmp_path / "s" / cell["folder"])) == lasting(read(tmp_path / "alone" / cell["folder"]))
