"""The tables of papers of a study, against plain recomputations from its cells; recipes."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import jsonschema
import pytest
from scipy import stats

from ftcli.presets import read_preset
from ftcli.recipes import load_recipe, read_recipe, recipe_names
from ftcli.studies import command as study_command
from ftcli.studies import time as study_time
from ftcli.studies.added_tables.feature_quality import sign_of
from ftcli.studies.added_tables.published import half_width
from ftcli.studies.added_tables.surgical_tasks import choice_of, ranks_of
from ftcli.studies.types.added_tables import FeatureQualityRow
from tests.cli.test_study import InsideEngine, answer, study
from tests.helpers import miniatures
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
    words = ["--ood-every-epoch", "--epochs", 2, "--set", "lr=1e-4;1e-3"]
    ended = study(task, tmp_path / "s", *words, "--methods", "probe", "--method", "lpft --no-ood-every-epoch")
    assert ended.returncode == 0, ended.stderr
    ended = study(task, tmp_path / "s", *words, "--methods", "finetune", "--tables", "early-stopping")
    found = tables(tmp_path / "s", "early-stopping")
    assert found["missing"] == ["data, lpft --no-ood-every-epoch"]
    assert "left out: lpft" in " ".join(ended.stdout.split())
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


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of the seven presets in miniature; fmow has one published figure for two OOD sets."""
    folder = tmp_path_factory.mktemp("root")
    miniatures.cifar10_1(folder)
    miniatures.fmow(folder)
    return folder


def test_published(root: Path, tmp_path: Path) -> None:
    """Every published figure of the seven presets, with ours where the data are here; Welch's interval by SciPy."""
    words = ["--root", root, "--checkpoint", "preset:digits/checkpoint", "--image-size", 32, "--threads", 1]
    words += ["--epochs", 1, "--lr", "1e-3", "--batch-size", 16, "--augment", "none", "--out", tmp_path / "s"]
    ended = inside("study", "--recipe", "ten", *words, "--seeds", 2)
    assert ended.returncode == 0, ended.stderr
    found = tables(tmp_path / "s", "published")
    expected = {}
    for preset in load_recipe("ten")["preset"]:
        for figure in read_preset(preset)["published"]["figures"]:
            expected[preset, figure["command"], figure["set"]] = figure["accuracy"], figure.get("plus_minus")
    rows = {(row["benchmark"], row["command"], row["set"]): row for row in found["rows"]}
    assert {key: (row["published"], row.get("plus_minus")) for key, row in rows.items()} == expected
    for (preset, command, of_set), row in rows.items():
        assert (row["state"] == "measured") == (preset in ("cifar10.1", "fmow"))
        assert row["state"] == "measured" or (row["state"] == "not here" and "accuracy" not in row)
        if row["state"] == "measured":
            check_published(row, [accuracy_on(of_set, one) for one in reports(tmp_path / "s", command, preset)])
    assert "living17" in ended.stdout and "not here" in ended.stdout
    check_means(found)


def accuracy_on(of_set: str, report: dict[str, Any]) -> float:
    results = report["results"]
    if of_set == "OOD":
        return (results["ood"]["africa"]["accuracy"] + results["ood"]["europe"]["accuracy"]) / 2
    return (results["ood"] | {"id_test": results["id_test"]})[of_set]["accuracy"]


def check_published(row: dict[str, Any], ours: list[float]) -> None:
    mean, n = fmean(ours), len(ours)
    assert row["accuracy"] == pytest.approx(mean, abs=1e-12) and row["n_seeds"] == n
    assert row["difference"] == pytest.approx(mean - row["published"], abs=1e-12)
    mine = stdev(ours) ** 2 / n if n > 1 else 0.0
    theirs = (row["plus_minus"] / 1.645) ** 2
    if mine + theirs == 0:
        assert "interval" not in row
        return
    df = (mine + theirs) ** 2 / (mine**2 / max(1, n - 1) + theirs**2 / 2)
    half = stats.t.ppf(0.95, df) * math.sqrt(mine + theirs)
    assert row["interval"] == pytest.approx([mean - row["published"] - half, mean - row["published"] + half])


def check_means(found: dict[str, Any]) -> None:
    """The means are over the figures that were measured, ours and the paper's over the same."""
    for mean in found["means"]:
        rows = [row for row in found["rows"] if row["command"] == mean["command"]]
        rows = [row for row in rows if (row["set"] == "id_test") == (mean["kind"] == "ID")]
        known = [row for row in rows if row["state"] == "measured"]
        assert (mean["sets"], mean["of_sets"]) == (len(known), len(rows))
        assert mean["accuracy"] == pytest.approx(fmean(row["accuracy"] for row in known))
        assert mean["published"] == pytest.approx(fmean(row["published"] for row in known))
    assert {(mean["kind"], mean["sets"]) for mean in found["means"]} == {("ID", 2), ("OOD", 2)}


def test_other_data_are_not_held_against_a_paper(root: Path, tmp_path: Path) -> None:
    words = ["--preset", "cifar10.1", "--root", root, "--checkpoint", "preset:digits/checkpoint", "--threads", 1]
    words += ["--image-size", 32, "--methods", "probe", "--tables", "published", "--out", tmp_path / "s"]
    ended = inside("study", *words, "--ood", f"cifar10.1={root}/cifar10.1_v6_data.npy?limit=20:0")
    assert ended.returncode == 0, ended.stderr
    rows = {row["set"]: row for row in tables(tmp_path / "s", "published")["rows"]}
    assert rows["cifar10.1"]["state"] == "other data" and "accuracy" not in rows["cifar10.1"]
    assert rows["id_test"]["state"] == "measured" and "other data" in ended.stdout


def test_no_interval_where_a_spread_is_not_known() -> None:
    assert half_width([0.5], 0.01, fixed=False) is None is half_width([0.5, 0.6], None, fixed=False)
    assert half_width([0.5], 0.0, fixed=True) is None
    assert half_width([0.5], 0.01, fixed=True) == pytest.approx(stats.t.ppf(0.95, 2) * 0.01 / 1.645)


@pytest.mark.parametrize(
    ("points", "sign"),
    [
        ([(0.2, -0.1), (0.9, 0.1), (0.5, -0.01)], "as published"),
        ([(0.2, 0.1), (0.9, 0.01)], "probe always"),
        ([(0.2, -0.1), (0.9, 0.0)], "finetune always"),
        ([(0.2, 0.1), (0.9, -0.1)], "mixed"),
        ([(0.2, -0.1), (0.5, 0.1), (0.9, -0.1)], "mixed"),
    ],
)
def test_the_sign_of_the_difference(points: list[tuple[float, float]], sign: str) -> None:
    rows = [
        FeatureQualityRow(
            benchmark="x", checkpoint="c", id_set="id_val", probe_id=quality, probe_ood=0.5, finetune_ood=0.5,
            difference=difference,
        )
        for quality, difference in points
    ]  # fmt: skip
    assert sign_of(rows) == sign


def test_surgical_tasks(tmp_path: Path) -> None:
    """Every choice with its accuracy, minus that of `all`, and its rank."""
    method = "surgical --blocks first,last,all --auto rgn"
    words = ["--recipe", "surgical-tasks", "--preset", "digits", "--method", method, "--lr", "1e-3", "--epochs", 1]
    words += ["--train", "digits:photo?split=train[:60]", "--id-test", "digits:photo?split=train[60:160]"]
    ended = inside("study", *words, "--seeds", 2, "--out", tmp_path / "s")
    assert ended.returncode == 0, ended.stderr
    found = tables(tmp_path / "s", "surgical-tasks")
    of_seeds = [report["choices"] for report in reports(tmp_path / "s", method, "digits")]
    expected = {
        choice: fmean(seed[choice]["results"]["ood_mean"]["accuracy"] for seed in of_seeds) for choice in of_seeds[0]
    }
    assert {one["choice"]: one["accuracy"] for one in found["choices"]} == {
        choice: {"digits": pytest.approx(accuracy, abs=1e-12)} for choice, accuracy in expected.items()
    }
    for one in found["choices"]:
        assert one["relative"] == pytest.approx(expected[one["choice"]] - expected["all"], abs=1e-12)
        higher = sum(accuracy > expected[one["choice"]] + 1e-9 for accuracy in expected.values())
        assert higher + 1 <= one["rank"] <= len(expected) and "standard_error" not in one
    assert found["sets"] == {"digits": "ood_mean"} and "minus all" in ended.stdout


def test_relative_accuracy_and_ranks_over_tasks() -> None:
    tasks = {"x": {"1": 0.7, "2": 0.6, "all": 0.6}, "y": {"1": 0.5, "2": 0.9, "all": 0.8, "rgn": 0.9}}
    one = choice_of("1", tasks, None)
    differences = [0.7 - 0.6, 0.5 - 0.8]
    assert one.relative == pytest.approx(fmean(differences))
    assert one.standard_error == pytest.approx(stdev(differences) / math.sqrt(2))
    assert ranks_of(list(tasks.values())) == {"1": 2.0, "2": 1.75, "all": 2.25}  # rgn is not in both
    assert "relative" not in choice_of("1", {"x": {"1": 0.7}}, 1.0)
    assert "standard_error" not in choice_of("rgn", tasks, None)


def test_robustness_has_each_method_and_its_averages(task: Work, tmp_path: Path) -> None:
    """Against plain means over the reports of the cells; an average against the pick of its own seed."""
    words = ["--ood", f"near={task.train}", "--seeds", 3, "--epochs", 2, "--tables", "robustness"]
    methods = ["--method", "probe --measure distortion"]
    methods += ["--method", "lpft --average uniform --lines 0.5 --save average:uniform --lr 1e-5,2e-5"]
    methods += ["--method", "lpft --average stock --lr 1e-4"]  # a single run, so no average
    ended = study(task, tmp_path / "s", *words, *methods)
    assert ended.returncode == 0, ended.stderr
    found = tables(tmp_path / "s", "robustness")
    probe, lpft, *averages, single = found["rows"]
    assert found["missing"] == [f"data, {single['method']}: stock"] and "so left out" in " ".join(ended.stdout.split())
    assert [row.get("average") for row in (probe, lpft, *averages)] == [None, None, "uniform", "lines-0.5"]
    assert set(probe["distortion"]) == {"id_val", "ood"} and not any("distortion" in row for row in (lpft, *averages))
    picks = reports(tmp_path / "s", lpft["method"])
    check_robustness(lpft, [report["results"] for report in picks])
    assert lpft["seconds"] == pytest.approx(fmean(report["timing"]["total_s"] for report in picks))
    for row in averages:
        mine = [report["averages"]["by_name"][row["average"]]["results"] for report in picks]
        check_robustness(row, mine)
        above = [
            one["ood_mean"]["accuracy"] - report["averages"]["pick"]["results"]["ood_mean"]["accuracy"]
            for one, report in zip(mine, picks, strict=True)
        ]
        half = stats.t.ppf(0.975, 2) * stdev(above) / math.sqrt(3)
        assert row["above_pick"] == pytest.approx(fmean(above), abs=1e-12)
        assert row["interval"] == pytest.approx([fmean(above) - half, fmean(above) + half], abs=1e-12)
    assert "above the pick" in " ".join(ended.stdout.split()) and "lines-0.5" in ended.stdout
    assert "lines-0.5" in (tmp_path / "s" / "report.html").read_text("utf-8")


def check_robustness(row: dict[str, Any], by_seed: list[dict[str, Any]]) -> None:
    ood = [figures for results in by_seed for figures in results["ood"].values()]
    assert row["n_seeds"] == len(by_seed)
    assert row["ood_mean"]["accuracy"] == pytest.approx(fmean(one["accuracy"] for one in ood), abs=1e-12)
    assert row["id_test"] == pytest.approx(fmean(one["id_test"]["accuracy"] for one in by_seed), abs=1e-12)
    for key in ("ece", "ece_calibrated", "worst_class_recall"):
        assert row[key] == pytest.approx(fmean(one[key] for one in ood), abs=1e-12)


def test_the_strongest_row_within_one_standard_error_is_picked(task: Work, tmp_path: Path) -> None:
    """On the few ID-val images the standard error is large, so the strongest is; the usual pick is said beside it."""
    words = ["--epochs", 1, "--lr", "1e-4", "--methods", "lpft", "--set", "ldifs=0,0.01,0.02"]
    found = {}
    for rule in ("best", "se"):
        ended = study(task, tmp_path / "s", *words, "--rule", rule)
        assert ended.returncode == 0, ended.stderr
        rows = answer(tmp_path / "s")["benchmarks"]["data"]["methods"]
        found[rule] = next(row["method"] for row in rows if row["picked"])
    accuracies = {row["method"]: row["results"]["id_val"]["accuracy"] for row in rows}
    assert len(set(accuracies.values())) == 1  # so all of them are within the error
    assert found["se"] == "lpft --ldifs=0.02" and ("one-standard-error" in ended.stdout) == (
        found["best"] != found["se"]
    )


def test_every_recipe_is_a_study() -> None:
    """Its options are the study's; it says what it is."""
    assert recipe_names() == ["early-stopping", "feature-quality", "pretraining", "robust", "surgical-tasks", "ten"]
    for name in recipe_names():
        content = read_recipe(name)
        assert content["title"] and content["about"] and not {"title", "about"} & set(load_recipe(name))
        assert content["tables"] == [{"ten": "published", "robust": "robustness"}.get(name, name)]


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
