"""`--budget` on whole commands: a halving equals the full grid cut short, and its report says what was cut."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.program import SMALL, checkpoint, inside, read
from tests.helpers.worlds import coloured

RATES = ["1e-6", "1e-5", "1e-4", "1e-3", "1e-2", "1e-1"]
EPOCHS = 4


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("budget")
    coloured(root / "train", each=20, noise=150)
    coloured(root / "val", each=40, seed=5, noise=150)
    coloured(root / "far", each=6, seed=2, noise=250)
    checkpoint(root / "start", classes=3)
    return root


def words(place: Path, command: str, *more: Any) -> list[Any]:
    data = ["--train", place / "train", "--id-val", place / "val", "--ood", f"far={place / 'far'}"]
    grid = ["--lr", ",".join(RATES), "--epochs", EPOCHS, "--ood-every-epoch"]
    return [command, "--checkpoint", place / "start", *data, *SMALL, *grid, *more]


@pytest.fixture(scope="module")
def folders(place: Path) -> dict[str, Path]:
    for budget in ("full", "halving", "audit"):
        more = [] if budget == "full" else ["--budget", budget]
        done = inside(*words(place, "finetune", "--seeds", 2, *more, "--out", place / budget))
        assert done.returncode == 0, done.stderr
        (place / f"{budget}.txt").write_text(done.stdout)
    return {budget: place / budget for budget in ("full", "halving", "audit")}


def epochs_of(report: dict[str, Any]) -> dict[tuple[int, float], list[Any]]:
    return {
        (run["seed"], run["lr"]): [{key: epoch[key] for key in epoch if key != "seconds"} for epoch in run["history"]]
        for run in report["runs"]
    }


def test_every_run_is_that_of_the_full_grid_cut_short(folders: dict[str, Path]) -> None:
    """A run that pauses twice has the figures, to the last digit, of one that goes through."""
    full, halved = read(folders["full"]), read(folders["halving"])
    whole, cut, budget = epochs_of(full), epochs_of(halved), halved["budget"]
    assert set(cut) < set(whole) and {len(epochs) for epochs in cut.values()} >= {1, EPOCHS}
    for key, epochs in cut.items():
        assert epochs == whole[key][: len(epochs)]
    assert budget["rungs"] == [1, 3, EPOCHS]
    assert budget["epochs_run"] == sum(map(len, cut.values())) < budget["epochs_full"] == 2 * len(RATES) * EPOCHS
    ended = {(entry["seed"], entry["lr"]): entry for entry in budget["eliminated"]}
    assert set(ended) == {key for key in whole if len(cut.get(key, ())) < EPOCHS}
    for key, entry in ended.items():
        assert entry["epochs"] == len(cut.get(key, ()))
        best = max((epoch["id_val"]["accuracy"] for epoch in cut.get(key, ())), default=None)
        assert (entry["best"] and entry["best"]["accuracy"]) == best
    marks = {(run["seed"], run["lr"]): run.get("eliminated") for run in halved["runs"]}
    assert marks == {key: len(cut[key]) if key in ended else None for key in cut}


def test_the_pick_is_the_best_recorded_epoch(folders: dict[str, Path]) -> None:
    report = read(folders["halving"])
    for seed in report["seeds"]:
        recorded = [
            (-epoch["id_val"]["accuracy"], epoch["id_val"]["loss"])
            for run in report["runs"]
            for epoch in run["history"]
            if run["seed"] == seed["selected"]["seed"]
        ]
        score = seed["selected"]["id_val"]
        assert (-score["accuracy"], score["loss"]) == min(recorded)
        assert seed["results"]["id_val"]["accuracy"] == pytest.approx(score["accuracy"])  # of the weights that it has


def test_what_a_person_and_other_commands_see(folders: dict[str, Path], place: Path) -> None:
    shown = (place / "halving.txt").read_text()
    report = read(folders["halving"])
    first = sum(entry["epochs"] == 1 for entry in report["budget"]["eliminated"])
    assert f"budget: kept {len(RATES) - first} of {len(RATES)} rates after epoch 1" in shown
    assert f"{report['budget']['epochs_run']} of the full grid's {report['budget']['epochs_full']} epochs" in shown
    assert "†" in shown and "not run" in shown
    (warning,) = [warning for warning in report["warnings"] if warning["code"] == "rates-halved"]
    assert "different lengths" in warning["text"] and warning["text"] in " ".join(shown.split())
    assert inside("report", folders["halving"]).stdout.splitlines()[:8] == shown.splitlines()[:8]
    assert inside("compare", folders["halving"], folders["full"]).returncode == 0
    lines = [json.loads(line) for line in (folders["halving"] / "history.jsonl").read_text().splitlines()]
    assert len(lines) == report["budget"]["epochs_run"]


def test_an_audit_finds_what_the_full_grid_picks(folders: dict[str, Path], place: Path) -> None:
    """The audited seed has every run of the full grid and its pick; the regret is that of halving's own pick."""
    full, halved, audited = (read(folders[name]) for name in ("full", "halving", "audit"))
    whole, runs = epochs_of(full), epochs_of(audited)
    assert {key: runs[key] for key in whole if key[0] == 0} == {key: whole[key] for key in whole if key[0] == 0}
    assert {key for key in runs if key[0]} == {key for key in epochs_of(halved) if key[0]}
    (audit,) = audited["budget"]["audit"]
    picks = {name: report["seeds"][0] for name, report in (("full", full), ("halved", halved))}
    unmarked = ("seed", "lr", "epoch", "id_val")
    for mine, theirs in ((audit["full"], picks["full"]), (audit["halving"], picks["halved"])):
        assert {key: mine[key] for key in unmarked} == {key: theirs["selected"][key] for key in unmarked}
    assert audited["seeds"][0]["results"] == full["seeds"][0]["results"]

    def lost(accuracy: Any) -> float:
        return accuracy(picks["full"]["results"]) - accuracy(picks["halved"]["results"])

    assert audit["regret"]["id_val"] == pytest.approx(lost(lambda of: of["id_val"]["accuracy"]))
    assert audit["regret"]["id_val"] >= 0
    assert audit["regret"]["ood"] == {"far": pytest.approx(lost(lambda of: of["ood"]["far"]["accuracy"]))}
    assert audit["regret"]["ood_mean"] == pytest.approx(lost(lambda of: of["ood_mean"]["accuracy"]))
    assert audited["budget"]["epochs_run"] == halved["budget"]["epochs_run"]
    assert "audit, seed 0: the full grid picks" in (place / "audit.txt").read_text()


def test_a_number_of_epochs_is_not_exceeded(place: Path, tmp_path: Path) -> None:
    least = len(RATES) - 1 + EPOCHS
    refused = inside(*words(place, "finetune", "--budget", least - 1, "--out", tmp_path / "o"))
    assert refused.returncode == 2 and f"--budget {least} (the full grid has 24 epochs)" in refused.stderr
    assert not (tmp_path / "o").exists()
    done = inside(*words(place, "finetune", "--budget", least, "--out", tmp_path / "o"))
    assert done.returncode == 0 and read(tmp_path / "o")["budget"]["epochs_run"] == least, done.stderr


def test_every_choice_of_blocks_has_its_own_grid(place: Path, tmp_path: Path) -> None:
    asked = words(place, "surgical", "--blocks", "first,head,none", "--budget", 2 * 12, "--out", tmp_path / "o")
    done = inside(*asked)
    report = read(tmp_path / "o")
    assert done.returncode == 0 and report["budget"]["epochs_run"] <= 24, done.stderr
    assert {entry["choice"] for entry in report["budget"]["eliminated"]} == {"first", "head"}
    assert "budget of first: kept" in done.stdout and "budget of head: kept" in done.stdout
    audit = inside(*words(place, "surgical", "--blocks", "first,head", "--budget", "audit", "--out", tmp_path / "p"))
    audits = read(tmp_path / "p")["budget"]["audit"]
    assert audit.returncode == 0 and {one["choice"] for one in audits} <= {"first", "head"}, audit.stderr
    for one in audits:
        choice = read(tmp_path / "p")["choices"][one["choice"]]
        assert choice["selected"]["lr"] == one["full"]["lr"] and choice["selected"]["epoch"] == one["full"]["epoch"]


def test_stages_and_the_probe_by_minibatches(place: Path, tmp_path: Path) -> None:
    tuned = inside(*words(place, "lpft", "--budget", "halving", "--out", tmp_path / "o"))
    report = read(tmp_path / "o")
    assert tuned.returncode == 0 and len(report["stages"]["finetune"]["runs"]) == len(RATES), tuned.stderr
    probed = inside(*words(place, "probe", "--solver", "sgd", "--budget", "halving", "--out", tmp_path / "p"))
    assert probed.returncode == 0 and read(tmp_path / "p")["budget"]["epochs_full"] == 24, probed.stderr


@pytest.mark.parametrize(
    ("command", "more", "told"),
    [
        ("probe", ["--budget", "halving"], "the exact probe has no epochs"),
        ("finetune", ["--budget", "halving", "--pick", "last"], "--pick last takes epochs that they do not reach"),
        ("finetune", ["--budget", "half"], "'half' is not allowed: halving, audit, none"),
        ("finetune", ["--budget", "0"], "'0' is not allowed"),
        ("finetune", ["--budget", "1e3"], "'1e3' is not allowed"),
    ],
)
def test_refused(command: str, more: list[str], told: str, place: Path, tmp_path: Path) -> None:
    done = inside(*words(place, command, *more, "--out", tmp_path / "o"))
    assert done.returncode == 2 and told in " ".join(done.stderr.split()) and not (tmp_path / "o").exists()


def test_a_dry_run_says_the_fewest_and_the_most_epochs(place: Path) -> None:
    asked = words(place, "finetune", "--seeds", 2, "--budget", "halving", "--dry-run")
    time = inside(*asked, "--json").report["time"]
    assert time["epochs_in_all"] == [6 + 2 * 2 + 1 + EPOCHS, (6 + 3) * EPOCHS]
    assert "(between 15 and 36 epochs in all)" in " ".join(inside(*asked).stdout.split())
    training = next(part for part in time["parts"] if part["name"] == "training")
    assert training["count"] == 25 * time["steps"] and time["low"] < time["seconds"] < time["high"]
    assert "epochs_in_all" not in inside(*words(place, "finetune", "--dry-run", "--json")).report["time"]
