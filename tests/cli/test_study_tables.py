"""The tables of papers of a study, against plain recomputations from the reports and histories of its cells; recipes."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import jsonschema
import pytest

from ftcli.recipes import load_recipe, read_recipe, recipe_names
from ftcli.studies import command as study_command
from ftcli.studies import time as study_time
from tests.cli.test_study import InsideEngine, answer, study
from tests.helpers.program import Work, checkpoint, inside, read, work

RATES = ["--lr", "1e-3,1e-2"]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("tables"))


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[InsideEngine]:
    engine = InsideEngine()
    monkeypatch.setattr(study_command, "open_engine", lambda config, left: engine)
    monkeypatch.setattr(study_time, "measured", lambda commands: {})
    yield engine


def reports(out: Path, method: str, benchmark: str = "data") -> list[dict[str, Any]]:
    """The reports of the cells of a row, seed by seed."""
    cells = [one for one in answer(out)["cells"] if (one["method"], one["benchmark"]) == (method, benchmark)]
    return [read(out / one["folder"]) for one in sorted(cells, key=lambda one: one["seed"])]


def tables(out: Path, name: str) -> dict[str, Any]:
    jsonschema.validate(answer(out), json.loads(inside("schema", "study").stdout))
    return answer(out)["tables"][name]


def test_early_stopping(task: Work, tmp_path: Path) -> None:
    """Every rule from the history lines: by ID-val, the last epoch, and each OOD set as an oracle."""
    words = ["--recipe", "early-stopping", "--ood", f"near={task.train}", "--seeds", 2, "--epochs", 3, *RATES]
    ended = study(task, tmp_path / "s", *words)
    assert ended.returncode == 0, ended.stderr
    rows = tables(tmp_path / "s", "early-stopping")["rows"]
    assert {row["method"] for row in rows} == {"probe --solver sgd", "finetune", "lpft"}
    for row in rows:
        expected = [pick_by(report, row["rule"], row.get("set")) for report in reports(tmp_path / "s", row["method"])]
        assert row["epoch"] == fmean(entry["epoch"] for entry in expected)
        assert row["id_val"] == pytest.approx(fmean(entry["id_val"]["accuracy"] for entry in expected), abs=1e-12)
        for name in ("near", "far"):
            accuracies = [entry["ood"][name]["accuracy"] for entry in expected]
            assert row["ood"][name] == pytest.approx(fmean(accuracies), abs=1e-12)
        assert row["ood_mean"] == pytest.approx(fmean(row["ood"].values()), abs=1e-12)
    rules = [(row["rule"], row.get("set")) for row in rows if row["method"] == "lpft"]
    oracles = [("oracle", "far"), ("oracle", "near"), ("oracle", "ood_mean")]
    assert rules == [("id_val", None), ("last", None), *oracles]
    assert "oracle far" in ended.stdout and "oracle far" in (tmp_path / "s" / "report.html").read_text("utf-8")


def pick_by(report: dict[str, Any], rule: str, of_set: str | None) -> dict[str, Any]:
    """The line of a history that a rule takes: the highest accuracy, then the lowest loss, rate, epoch."""
    lines = [(run["lr"], entry) for run in report["runs"] if not run["diverged"] for entry in run["history"]]
    if rule == "last":
        lines = [(lr, entry) for lr, entry in lines if entry["epoch"] == 3]

    def key(line: tuple[float, dict[str, Any]]) -> tuple[float, ...]:
        lr, entry = line
        scores = [entry["id_val"]]
        if of_set:
            scores = [entry["ood"][name] for name in entry["ood"] if of_set in (name, "ood_mean")]
        return -fmean(s["accuracy"] for s in scores), fmean(s["loss"] for s in scores), lr, entry["epoch"]

    return min(lines, key=key)[1]


def test_early_stopping_by_id_val_is_the_result(task: Work, tmp_path: Path) -> None:
    """The exact probe has no epochs; a method whose cells lack OOD accuracies is named; a grid over cells is one."""
    words = ["--ood-every-epoch", "--epochs", 2, "--set", "lr=1e-3;1e-2"]
    ended = study(task, tmp_path / "s", *words, "--methods", "probe", "--method", "lpft --no-ood-every-epoch")
    assert ended.returncode == 0, ended.stderr
    ended = study(task, tmp_path / "s", *words, "--methods", "finetune", "--tables", "early-stopping")
    found = tables(tmp_path / "s", "early-stopping")
    assert found["missing"] == ["data, lpft --no-ood-every-epoch"] and "left out: lpft" in ended.stdout
    by_method = {row["method"]: row for row in answer(tmp_path / "s")["benchmarks"]["data"]["methods"]}
    for row in (row for row in found["rows"] if row["rule"] == "id_val"):
        results = by_method[row["method"]]["results"]
        assert row["ood"]["far"] == results["ood"]["far"]["accuracy"]
        assert row["id_val"] == by_method[row["method"]]["selected"]["id_val"]["accuracy"]
    (exact,) = [row for row in found["rows"] if row["method"] == "probe"]
    assert exact["epoch"] is None and exact["seeds"][0]["C"] == by_method["probe"]["selected"]["C"]
    runs = [run for report in reports(tmp_path / "s", "finetune") for run in report["runs"]]
    best = max(entry["ood"]["far"]["accuracy"] for run in runs for entry in run["history"])
    assert next(row for row in found["rows"] if row["rule"] == "oracle")["ood"]["far"] == best


@pytest.fixture(scope="module")
def checkpoints(task: Work, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The tiny network, and two that were trained on the task: their names are in another order than typed."""
    root = tmp_path_factory.mktemp("checkpoints")
    for name, epochs in {"b": 2, "a": 8}.items():
        inside("finetune", *task.words, "--epochs", epochs, "--lr", "1e-2", "--out", root / name)
    return [checkpoint(root / "c"), root / "b", root / "a"]


def test_checkpoints_are_comparisons_of_their_own(task: Work, checkpoints: list[Path], tmp_path: Path) -> None:
    """Each has its rows and its verdict; none is selected by ID-val; both tables are in the study's words."""
    several = "checkpoint=" + ",".join(map(str, checkpoints))
    words = ["--set", several, "--epochs", 2, *RATES, "--seeds", 2, "--tables", "feature-quality,pretraining"]
    ended = study(task, tmp_path / "s", *words)
    assert ended.returncode == 0, ended.stderr
    benchmarks = answer(tmp_path / "s")["benchmarks"]
    assert list(benchmarks) == ["data, c", "data, b", "data, a"]
    for name, part in benchmarks.items():
        assert [row["method"] for row in part["methods"]] == ["probe", "finetune", "lpft"]
        assert all(row["picked"] for row in part["methods"]) and len({d["first"] for d in part["differences"]}) == 2
        for row in part["methods"]:
            assert read(tmp_path / "s" / row["folder"])["config"]["checkpoint"].endswith(f"/{name[-1]}")
    check_feature_quality(tmp_path / "s", ended.stdout)
    check_pretraining(tmp_path / "s")


def check_feature_quality(out: Path, shown: str) -> None:
    found = tables(out, "feature-quality")
    assert [row["probe_id"] for row in found["rows"]] == sorted(row["probe_id"] for row in found["rows"])
    for row in found["rows"]:
        name = f"data, {row['checkpoint']}"
        means = {
            method: fmean(report["results"]["ood_mean"]["accuracy"] for report in reports(out, method, name))
            for method in ("probe", "finetune", "lpft")
        }
        (probe,) = reports(out, "probe", name)
        assert row["probe_id"] == probe["results"]["id_test"]["accuracy"] and row["id_set"] == "id_test"
        assert row["difference"] == pytest.approx(means["probe"] - means["finetune"], abs=1e-12)
        assert row["lpft_ood"] == pytest.approx(means["lpft"], abs=1e-12)
        pair = answer(out)["benchmarks"][name]["differences"]
        mine = next(d for d in pair if (d["first"], d["second"], d["set"]) == ("probe", "finetune", "ood_mean"))
        assert (row["interval"], row["p"]) == (mine["interval"], mine["p"])
    assert len(found["rows"]) == 3 and "quality of the features" in shown


def check_pretraining(out: Path) -> None:
    found = tables(out, "pretraining")["rows"]
    assert [(row["method"], row["checkpoint"]) for row in found] == [
        (method, name) for method in ("finetune", "lpft") for name in "cba"
    ]
    for row in found:
        curves = []
        for report in reports(out, row["method"], f"data, {row['checkpoint']}"):
            (run,) = [run for run in report["runs"] if run["lr"] == report["selected"]["lr"]]
            curves.append([entry["id_val"]["accuracy"] for entry in run["history"]])
        assert row["final"] == pytest.approx(fmean(curve[-1] for curve in curves), abs=1e-12)
        assert row["mean"] == pytest.approx(fmean(sum(curve) / 2 for curve in curves), abs=1e-12)
        first = [1 if curve[0] >= 0.9 * curve[1] else 2 for curve in curves]
        assert row["epochs_to_90"] == fmean(first) and row["n_seeds"] == 2


def test_the_checkpoints_are_in_the_order_typed(task: Work, checkpoints: list[Path], tmp_path: Path) -> None:
    """Also one that is added to a study; its rows do not disturb those of the others."""
    words = ["--methods", "finetune", "--epochs", 1, "--lr", "1e-2", "--tables", "pretraining"]
    c, b, a = checkpoints
    assert study(task, tmp_path / "s", *words, "--set", f"checkpoint={c},{a}").returncode == 0
    assert study(task, tmp_path / "s", *words, "--set", f"checkpoint={c},{b},{a}").returncode == 0
    assert [row["checkpoint"] for row in tables(tmp_path / "s", "pretraining")["rows"]] == ["c", "b", "a"]


def test_surgical_tasks(tmp_path: Path) -> None:
    """Two tasks: relative accuracy, its standard error and the ranks by hand."""
    presets = {name: ["--preset", "digits", "--train", f"digits:{name}?split=train[:60]"] for name in ("plain", "photo")}
    recipe = ["--recipe", "surgical-tasks", "--method", "surgical --blocks first,last,all --auto rgn", "--lr", "1e-3"]
    for name, words in presets.items():
        ended = inside("study", *recipe, *words, "--epochs", 1, "--seeds", 2, "--out", tmp_path / name)
        assert ended.returncode == 0, ended.stderr
        (row,) = tables(tmp_path / name, "surgical-tasks")["choices"][:1]
        assert row["rank"] == 1.0 and "standard_error" not in row


def test_relative_accuracy_and_ranks_over_tasks() -> None:
    from ftcli.studies.paper_tables.surgical_tasks import choice_of, ranks_of

    tasks = {"x": {"1": 0.7, "2": 0.6, "all": 0.6}, "y": {"1": 0.5, "2": 0.9, "all": 0.8, "rgn": 0.9}}
    one = choice_of("1", tasks, None)
    differences = [0.7 - 0.6, 0.5 - 0.8]
    assert one.relative == pytest.approx(fmean(differences))
    assert one.standard_error == pytest.approx(stdev(differences) / math.sqrt(2))
    assert ranks_of(list(tasks.values())) == {"1": 2.0, "2": 1.75, "all": 2.25}  # rgn is not in both
    assert "relative" not in choice_of("1", {"x": {"1": 0.7}}, 1.0)
    assert "standard_error" not in choice_of("rgn", tasks, None)


def test_every_recipe_is_a_study() -> None:
    """Its options are the study's; it says what it is."""
    assert recipe_names() == ["early-stopping", "feature-quality", "pretraining", "surgical-tasks", "ten"]
    for name in recipe_names():
        content = read_recipe(name)
        assert content["title"] and content["about"] and not {"title", "about"} & set(load_recipe(name))
        assert content["tables"] == ["published" if name == "ten" else name]


def test_an_unknown_recipe_lists_the_others(tmp_path: Path) -> None:
    ended = inside("study", "--recipe", "nine", "--out", tmp_path / "s")
    assert ended.returncode == 2 and "'nine'" in ended.stderr and all(name in ended.stderr for name in recipe_names())
    near = inside("study", "--recipe", "earlystopping", "--out", tmp_path / "s")
    assert near.returncode == 2 and 'did you mean "early-stopping"?' in near.stderr


def test_typed_options_are_stronger_than_a_recipe(tmp_path: Path) -> None:
    def lines(*words: Any) -> list[str]:
        out = tmp_path / str(len(words))
        ended = inside("study", "--preset", "digits", *words, "--out", out, "--print", "--json")
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)["cells"]

    assert len(lines("--recipe", "early-stopping")) == 9
    assert len(lines("--recipe", "early-stopping", "--seed", 5)) == 3
    only = lines("--recipe", "early-stopping", "--methods", "finetune", "--seeds", 1)
    assert len(only) == 1 and only[0].startswith("ftcli finetune ") and "--ood-every-epoch" in only[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tables", "published"), "no benchmark of the study has published"),
        (("--tables", "early-stopping"), "at every epoch"),
        (("--tables", "feature-quality"), "only one"),
        (("--tables", "pretraining"), "only one"),
        (("--tables", "surgical-tasks"), "no surgical"),
        (("--tables", "feature-quality", "--set", "checkpoint=x,y", "--methods", "lpft"), "no finetune and no probe"),
        (("--tables", "pretraining", "--set", "checkpoint=x,y", "--methods", "probe"), "epochs"),
        (("--tables", "ranks"), "'ranks'"),
    ],
)
def test_a_table_that_cannot_be_filled_is_refused(
    task: Work, tmp_path: Path, words: tuple[str, ...], said: str, engine: InsideEngine
) -> None:
    ended = study(task, tmp_path / "s", *words)
    assert ended.returncode == 2 and said in ended.stderr and "try:" in ended.stderr
    assert not (tmp_path / "s").exists() and engine.run == []
