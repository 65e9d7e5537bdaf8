"""What the OOD sets would pick, by brute force over the history; and that the pick itself knows nothing of it."""

import random
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from ftcli.commands import method_of
from ftcli.config.declare import Numbers
from ftcli.engine.grid import Trained
from ftcli.engine.select import oracle
from ftcli.engine.types import RunRecord
from ftcli.log import Log
from ftcli.records import decoded
from tests.helpers.plain_loop import figures, small
from tests.helpers.program import inside, read, work
from tests.helpers.worlds import coloured, loaded

GRID = {"lr": Numbers((1e-3, 1e-2)), "seed": Numbers((0, 1)), "schedule": "constant", "pick": "best"}
Report = dict[str, Any]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A training set, and two shifted sets; the second has two of the three classes."""
    root = tmp_path_factory.mktemp("select")
    train, far = coloured(root / "train", each=9), coloured(root / "far", each=6, seed=1, noise=150)
    some = coloured(root / "some", each=6, seed=2, noise=150)
    for picture in (some / "class1").iterdir():
        picture.unlink()
    (some / "class1").rmdir()
    return {"train": train, "far": far, "some": some}


def trained(folders: dict[str, Path], **options: Any) -> Trained:
    ood = [f"{name}={folders[name]}" for name in ("far", "some")]
    inputs, config = small("test_resnet", folders["train"], ood=ood, **{"epochs": 2, **options})
    return method_of("finetune")(loaded("test_resnet"), inputs, config, Log())


def brute_force(runs: list[Report], name: str) -> Report:
    """The best epoch of all runs by one OOD set, or by the mean over them: accuracy, loss, then the smaller of each."""
    seen = []
    for run in runs:
        for epoch in [] if run["diverged"] else run["history"]:
            sets = epoch["ood"].values() if name == "ood_mean" else [epoch["ood"][name]]
            accuracy, loss = fmean(one["accuracy"] for one in sets), fmean(one["loss"] for one in sets)
            order = (-accuracy, loss, run["lr"], epoch["epoch"], run["seed"])
            place = {"seed": run["seed"], "lr": run["lr"], "epoch": epoch["epoch"]}
            seen.append((order, {**place, "accuracy": accuracy, "loss": loss, "id_val": epoch["id_val"]}))
    return min(seen, key=lambda pair: pair[0])[1]


def without_ood(runs: list[Report]) -> list[Report]:
    hidden = ("ood", "seconds")
    return [
        {**run, "history": [{k: v for k, v in epoch.items() if k not in hidden} for epoch in run["history"]]}
        for run in runs
    ]


def test_each_epoch_holds_what_its_weights_give(folders: dict[str, Path]) -> None:
    """The rate is constant, so that a run of fewer epochs ends where a longer one passes."""
    longest = trained(folders, schedule="constant", ood_every_epoch=True, epoch_zero=True)
    history = longest.runs[0]["history"]
    assert [entry["epoch"] for entry in history] == [0, 1, 2]
    ood = [f"{name}={folders[name]}" for name in ("far", "some")]
    inputs, _ = small("test_resnet", folders["train"], ood=ood)
    covered = {name: inputs.task.ood[name].restrict for name in ("far", "some")}
    assert covered == {"far": None, "some": (0, 2)}
    for entry in history[1:]:
        state = trained(folders, schedule="constant", epochs=entry["epoch"]).best.state
        for name in ("far", "some"):
            found = figures(loaded("test_resnet").model, state, inputs.sets[name], covered[name])
            assert entry["ood"][name] == pytest.approx(found, rel=1e-4)


def test_the_oracle_is_apart_from_the_pick(folders: dict[str, Path]) -> None:
    seeing, blind = trained(folders, ood_every_epoch=True, **GRID), trained(folders, **GRID)
    assert seeing.best.selected() == blind.best.selected()
    assert all(seeing.best.state[name].equal(tensor) for name, tensor in blind.best.state.items())
    assert without_ood(seeing.runs) == without_ood(blind.runs)
    assert oracle(blind.runs) == {}
    found = oracle(seeing.runs)
    assert list(found) == ["far", "some", "ood_mean"]
    assert found == {name: brute_force(seeing.runs, name) for name in found}


def random_runs(seed: int) -> list[Report]:
    """Runs whose figures take few values, so that ties reach down to every rule; one has diverged, with the best."""
    dice = random.Random(seed)

    def figures() -> dict[str, float]:
        return {"accuracy": dice.choice((0.25, 0.5)), "loss": dice.choice((1.0, 2.0))}

    def entry(epoch: int) -> Report:
        return {
            "epoch": epoch,
            "loss": 1.0,
            "id_val": figures(),
            "ood": {"a": figures(), "b": figures()},
            "seconds": 0.0,
        }

    runs = [
        {"seed": s, "lr": lr, "id_val": None, "diverged": False, "history": [entry(e) for e in range(3)]}
        for s in (0, 1)
        for lr in (1e-3, 1e-2)
    ]
    perfect = {"accuracy": 1.0, "loss": 0.0}
    gone = {"epoch": 1, "loss": 1.0, "id_val": perfect, "ood": {"a": perfect, "b": perfect}, "seconds": 0.0}
    dice.shuffle(runs)
    return [{"seed": 0, "lr": 1.0, "id_val": None, "diverged": True, "history": [gone]}, *runs]


def test_the_oracle_by_brute_force() -> None:
    for seed in range(200):
        runs = random_runs(seed)
        assert oracle(decoded(runs, list[RunRecord])) == {
            name: brute_force(runs, name) for name in ("a", "b", "ood_mean")
        }


def test_the_report_keeps_the_oracle_apart(tmp_path: Path) -> None:
    words = [*work(tmp_path).words, "--epochs", 2, "--lr", "1e-3,1e-2", "--json"]
    blind = inside("finetune", *words, "--out", tmp_path / "blind").report
    seeing = inside("finetune", *words, "--ood-every-epoch", "--out", tmp_path / "seeing").report
    assert seeing == read(tmp_path / "seeing")
    assert "oracle" not in blind
    assert seeing["oracle"] == {name: brute_force(seeing["runs"], name) for name in ("far", "ood_mean")}
    assert seeing["selected"] == blind["selected"] and seeing["results"] == blind["results"]
    assert without_ood(seeing["runs"]) == without_ood(blind["runs"])
