"""`ftcli surgical` as a user types it: what the report says of every choice, and what is refused."""

from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import jsonschema
import pytest
import timm

from ftcli.config.surgical import AUTOMATIC
from ftcli.model.loading.save import save_model
from ftcli.report.schema import report_schema
from tests.helpers.ended import Ended
from tests.helpers.program import SMALL, inside, read
from tests.helpers.worlds import coloured, loaded

NAMES = ("class2", "class0", "class1")  # the checkpoint's classes, not in the order of the sets'
BLOCKS, AUTO, RATES = ("none", "layer2", "1..2", "all"), ("rgn",), (1e-3, 1e-2)
CHOSEN = {"none": (), "1..2": ("layer1", "layer2"), "layer2": ("layer2",)}
BODY = ("stem", "layer1", "layer2", "layer3", "layer4", "fc")


def saved(folder: Path, names: tuple[str, ...] | None, classes: int = 3) -> Path:
    network = loaded("test_resnet", classes)
    save_model(folder, network, network.model, names)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The target, its test set, another set, and checkpoints that know the classes, others, and another number."""
    root = tmp_path_factory.mktemp("surgical-report")
    coloured(root / "train", each=16, noise=150)
    coloured(root / "test", each=6, seed=1, noise=150)
    coloured(root / "source", each=6, seed=2, noise=30)
    saved(root / "checkpoint", NAMES)
    saved(root / "others", ("class0", "class1", "someone"))
    saved(root / "five", None, classes=5)
    return root


def words(place: Path, *more: Any, checkpoint: str = "checkpoint", train: str = "train") -> list[Any]:
    sets = ["--train", place / train, "--id-test", place / "test", "--ood", f"source={place / 'source'}"]
    return ["surgical", "--checkpoint", place / checkpoint, *sets, *SMALL, *more]


@pytest.fixture(scope="module")
def done(place: Path) -> Ended:
    """The golden command line."""
    asked = ["--blocks", ",".join(BLOCKS), "--auto", ",".join(AUTO), "--lr", "1e-3,1e-2", "--seeds", 2, "--epochs", 2]
    return inside(*words(place, *asked, "--out", place / "run", "--json"))


@pytest.fixture(scope="module")
def report(done: Ended) -> dict[str, Any]:
    return done.report


def test_choices_as_typed(report: dict[str, Any], place: Path) -> None:
    assert tuple(report["choices"]) == (*BLOCKS, *AUTO)
    assert report["command"] == "surgical" and read(place / "run") == report
    jsonschema.validate(report, report_schema())
    sizes = {block["name"]: block["parameters"] for block in report["model"]["blocks"]}
    assert tuple(sizes) == BODY
    for choice, one in report["choices"].items():
        blocks = CHOSEN.get(choice, BODY)
        assert tuple(one["blocks"]) == blocks
        if choice != "rgn":
            assert one["trainable"] == sum(sizes[block] for block in blocks)
        assert set(one["results"]) == {"id_val", "id_test", "ood", "ood_mean"} and one["seconds"] >= 0
    assert 0 < report["choices"]["rgn"]["trainable"] < report["choices"]["all"]["trainable"]


def test_every_run_sorted(report: dict[str, Any]) -> None:
    keys = [(run["choice"], run["seed"], run["lr"]) for run in report["runs"] if run["choice"] != "none"]
    assert keys == sorted(product((*BLOCKS[1:], *AUTO), (0, 1), RATES))
    assert [run["choice"] for run in report["runs"]] == sorted(run["choice"] for run in report["runs"])
    assert sum(run["choice"] == "none" for run in report["runs"]) == 1
    trained = [run for run in report["runs"] if run["choice"] != "none"]
    assert all([epoch["epoch"] for epoch in run["history"]] == [1, 2] for run in trained)


def rank(epoch: dict[str, Any], run: dict[str, Any]) -> tuple[float, ...]:
    """The rule: accuracy, then loss, rate, epoch, seed."""
    return (-epoch["id_val"]["accuracy"], epoch["id_val"]["loss"], run["lr"], epoch["epoch"], run["seed"])


def test_picks_by_id_val(report: dict[str, Any]) -> None:
    means = {}
    for choice, one in report["choices"].items():
        runs = [run for run in report["runs"] if run["choice"] == choice]
        if choice == "none":
            means[choice] = (-runs[0]["id_val"]["accuracy"], runs[0]["id_val"]["loss"])
            continue
        picks = [min(rank(e, run) for run in runs if run["seed"] == seed for e in run["history"]) for seed in (0, 1)]
        _, _, lr, epoch, seed = min(picks)
        selected = one["selected"]
        assert (selected["lr"], selected["epoch"], selected["seed"]) == (lr, epoch, seed)
        means[choice] = (fmean(pick[0] for pick in picks), fmean(pick[1] for pick in picks))
        assert one["results"]["id_val"]["accuracy"] == pytest.approx(-means[choice][0])
    kept = report["selected"]["choice"]
    assert means[kept] == min(means.values())
    assert report["results"] == report["choices"][kept]["results"]
    assert {"choice": kept, **report["choices"][kept]["selected"]} == report["selected"]


def test_scores_of_every_epoch(report: dict[str, Any]) -> None:
    assert [choice for choice, one in report["choices"].items() if "scores" in one] == ["rgn"]
    runs = report["choices"]["rgn"]["scores"]
    assert [run["seed"] for run in runs] == [0, 1]
    for run in runs:
        assert [epoch["epoch"] for epoch in run["epochs"]] == [1, 2]
        for epoch in run["epochs"]:
            assert max(epoch["tensors"].values()) == 1.0 and min(epoch["tensors"].values()) >= 0.0
            assert {"fc.weight", "fc.bias"} < set(epoch["tensors"]) and "bn1.weight" not in epoch["tensors"]
            assert tuple(epoch["blocks"]) == BODY
            for block, prefixes in {"layer2": ("layer2.",), "stem": ("conv1.", "bn1."), "fc": ("fc.",)}.items():
                mean = fmean(value for name, value in epoch["tensors"].items() if name.startswith(prefixes))
                assert epoch["blocks"][block] == pytest.approx(mean)
        first, second = run["epochs"]
        assert first["tensors"] != second["tensors"]


def evaluated(model: Path, *more: Any) -> dict[str, Any]:
    return inside("evaluate", model, *more, "--image-size", 32, "--threads", 1, "--json").report


def test_before_is_the_untouched_checkpoint(report: dict[str, Any], place: Path, tmp_path: Path) -> None:
    sets = ["--id-test", place / "test", "--ood", f"source={place / 'source'}"]
    alone = evaluated(place / "checkpoint", *sets, "--out", tmp_path / "o")
    none = report["choices"]["none"]["results"]
    for key in ("accuracy", "loss", "balanced_accuracy", "n"):
        for name in ("id_test", "ood"):
            seen = [r[name]["source"][key] if name == "ood" else r[name][key] for r in (report["before"], none)]
            other = alone["results"]["ood"]["source"] if name == "ood" else alone["results"][name]
            assert seen == pytest.approx([other[key]] * 2, rel=1e-5), (name, key)
    assert set(report["before"]) >= {"id_val", "id_test", "ood"}


def test_differences_from_all(report: dict[str, Any]) -> None:
    assert "against" not in report["choices"]["all"]
    reference = report["choices"]["all"]["results"]
    for choice, one in report["choices"].items():
        if choice == "all":
            continue
        assert one["against"]["choice"] == "all" and set(one["against"]["sets"]) >= {"id_val", "id_test"}
        for name in ("id_val", "id_test"):
            entry = one["against"]["sets"][name]
            expected = one["results"][name]["accuracy"] - reference[name]["accuracy"]
            assert entry["difference"] == pytest.approx(expected, abs=1e-9)
            assert entry["ci95"][0] <= entry["difference"] + 1e-9 and entry["difference"] - 1e-9 <= entry["ci95"][1]
            assert 0 <= entry["p"] <= 1


def test_the_saved_model_is_the_picked_one(report: dict[str, Any], place: Path, tmp_path: Path) -> None:
    timm.create_model(f"local-dir:{place / 'run'}", pretrained=True)
    alone = evaluated(place / "run", "--id-test", place / "test", "--out", tmp_path / "o")
    seeds = {one["selected"]["seed"]: one["results"]["id_test"] for one in report.get("seeds", [])}
    picked = seeds.get(report["selected"]["seed"], report["results"]["id_test"])
    assert alone["results"]["id_test"]["loss"] == pytest.approx(picked["loss"], rel=1e-5)


def test_the_table_shows_every_choice_and_a_bar_per_block(report: dict[str, Any], place: Path) -> None:
    lines = [line.strip(" │┃|") for line in inside("report", place / "run").stdout.splitlines()]
    for choice in report["choices"]:
        assert any(line.startswith(choice) for line in lines), choice
    scores = report["choices"]["rgn"]["scores"][0]["epochs"][-1]["blocks"]
    bars = {block: max(line.count("█") for line in lines if line.startswith(block)) for block in BODY}
    longest = max(scores, key=scores.__getitem__)
    assert bars[longest] == max(bars.values()) > 0
    assert all((bars[a] <= bars[b]) or scores[a] > scores[b] for a in BODY for b in BODY)


def test_source_classes_that_differ_are_probed_and_have_no_before(place: Path, tmp_path: Path) -> None:
    for checkpoint in ("others", "five"):
        asked = ["--blocks", "none,last", "--lr", "1e-2", "--epochs", 1, "--json", "--out", tmp_path / checkpoint]
        report = inside(*words(place, *asked, checkpoint=checkpoint)).report
        assert "before" not in report and set(report["stages"]) == {"probe", "surgical"}
        probed, none = report["stages"]["probe"]["results"], report["choices"]["none"]["results"]
        assert none["id_test"]["accuracy"] == probed["id_test"]["accuracy"]


@pytest.mark.parametrize(
    ("asked", "runs"),
    [
        (["--blocks", "each", "--lr", "1e-3,1e-2"], 10),  # first, three more blocks, head
        (["--blocks", "first,none,all", "--auto", "rgn,l1", "--seeds", 3], 4 * 5 * 3),
        (["--blocks", "each", "--merge", 2, "--lr", "0.1"], 2),  # first, head
        (["--blocks", "none"], 0),
        (["--auto", ",".join(AUTOMATIC), "--lr", "0.1"], 6),
        (["--blocks", "each,first,layer2", "--lr", "0.1"], 5),
    ],
    ids=str,
)
def test_dry_run_counts_the_runs(place: Path, tmp_path: Path, asked: list[Any], runs: int) -> None:
    plan = inside(*words(place, *asked, "--dry-run", "--json", "--out", tmp_path / "o")).report
    assert plan["runs"] == runs
    assert not (tmp_path / "o").exists()


REFUSED: list[tuple[dict[str, str], list[Any], tuple[str, ...]]] = [
    ({}, [], ("--blocks each", "--auto rgn")),
    ({}, ["--blocks", "layer9"], ("layer9", "layer4")),
    ({}, ["--blocks", "7"], ("7", "0 to 4")),
    ({}, ["--blocks", "3..1"], ("3..1", "1..3")),
    ({}, ["--blocks", "first,layr2"], ("layr2", "layer2")),
    ({}, ["--blocks", "first,,last"], ("--blocks",)),
    ({}, ["--auto", "rgm"], ("rgm", "rgn")),
    ({}, ["--blocks", "first", "--merge", 9], ("--merge 9", "--merge 5")),
    ({}, ["--blocks", "first", "--merge", 0], ("--merge",)),
    ({}, ["--blocks", "first", "--snr-threshold", 2], ("--snr-threshold",)),
    ({"checkpoint": "others"}, ["--auto", "rgn", "--head", "keep"], ("someone", "--head probe")),
    ({"checkpoint": "five"}, ["--auto", "rgn", "--head", "keep"], ("--head keep", "--head probe")),
]


@pytest.mark.parametrize(("where", "asked", "said"), REFUSED, ids=str)
def test_refused(place: Path, tmp_path: Path, where: dict[str, str], asked: list[Any], said: tuple[str, ...]) -> None:
    ended = inside(*words(place, *asked, "--out", tmp_path / "o", **where))
    assert ended.returncode == 2, ended.stderr
    for part in said:
        assert part in ended.stderr
    assert "Traceback" not in ended.stderr and not ended.stdout and not (tmp_path / "o").exists()


def test_a_target_with_fewer_images_than_classes(place: Path, tmp_path: Path) -> None:
    asked = ["--blocks", "first", "--id-val", place / "source", "--out", tmp_path / "o"]
    ended = inside(*words(place, *asked, train="train?limit=2:0"))
    assert ended.returncode == 2 and "Traceback" not in ended.stderr and not (tmp_path / "o").exists()
    problem, _, fix = ended.stderr.replace(str(place), "").partition("try:")
    assert "2 " in problem and "3 " in problem and fix.strip()


def test_a_choice_that_diverges_is_recorded_and_the_others_stand(place: Path, tmp_path: Path) -> None:
    """What diverges cannot be picked; only where everything does has the command failed."""
    asked = ["--lr", "1e30", "--epochs", 1, "--json"]
    ended = inside(*words(place, "--blocks", "all,none", *asked, "--out", tmp_path / "one"))
    assert ended.report["selected"]["choice"] == "none"
    assert [(run["choice"], run["diverged"]) for run in ended.report["runs"]] == [("all", True), ("none", False)]
    assert inside(*words(place, "--blocks", "all,last", *asked, "--out", tmp_path / "both")).returncode == 1


def test_the_oracle_names_its_choice(place: Path, tmp_path: Path) -> None:
    asked = ["--blocks", "last,all", "--lr", "1e-2", "--epochs", 2, "--ood-every-epoch", "--json"]
    report = inside(*words(place, *asked, "--out", tmp_path / "o")).report
    pick = report["oracle"]["source"]
    [run] = [run for run in report["runs"] if run["choice"] == pick["choice"]]
    assert pick["accuracy"] == run["history"][pick["epoch"] - 1]["ood"]["source"]["accuracy"]
    every = [epoch["ood"]["source"]["accuracy"] for run in report["runs"] for epoch in run["history"]]
    assert pick["accuracy"] == max(every)
    shown = inside("report", tmp_path / "o").stdout.partition("Oracle")[2].splitlines()
    assert any(line.startswith("source") and pick["choice"] in line.split() for line in shown)


def test_the_oracle_may_pick_none(place: Path, tmp_path: Path) -> None:
    """Nothing tuned is a candidate too: a bound that a real pick beats would be none."""
    asked = ["--blocks", "none,layer4", "--lr", "30", "--epochs", 1, "--ood-every-epoch", "--out", tmp_path / "run"]
    found = inside(*words(place, *asked, "--json")).report
    oracle, before = found["oracle"]["source"], found["before"]["ood"]["source"]["accuracy"]
    assert oracle["accuracy"] >= max(before, found["results"]["ood"]["source"]["accuracy"])
    if oracle["choice"] == "none":
        assert (oracle["lr"], oracle["epoch"]) == (None, 0) and oracle["accuracy"] == before
    assert jsonschema.validate(found, report_schema()) is None and inside("report", tmp_path / "run").returncode == 0
    none = next(run for run in found["runs"] if run["choice"] == "none")
    assert [entry["epoch"] for entry in none["history"]] == [0]


def test_merged_blocks_have_their_merged_names(place: Path, tmp_path: Path) -> None:
    asked = ["--blocks", "last", "--auto", "rgn", "--merge", 2, "--lr", "1e-3", "--epochs", 1]
    choices = inside(*words(place, *asked, "--out", tmp_path / "run", "--json")).report["choices"]
    (name,) = choices["last"]["blocks"]
    assert name.endswith("layer4") and name in choices["rgn"]["scores"][0]["epochs"][0]["blocks"]
    assert len(choices["rgn"]["blocks"]) == 3  # two groups and the head
