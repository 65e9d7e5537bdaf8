"""`--average`, `--lines` and `--save average:NAME` as a user types them, against separate runs and `interpolate`."""

from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema
import pytest
import torch
from safetensors.torch import load_file

from ftcli.averages import members
from ftcli.model.weights import (
    depth_shares,
    interpolate_weights,
    mean_weights,
    scale_by_depth,
    stock_shares,
    stock_weights,
)
from ftcli.report.schema import report_schema
from ftcli.run_folder.names import STATE
from tests.cli.test_requests import refused
from tests.helpers.ended import Ended
from tests.helpers.program import SMALL, checkpoint, inside, read
from tests.helpers.stopped import stopped
from tests.helpers.worlds import coloured, loaded

RATES, SEEDS = ("1e-06", "3e-05"), (0, 1)
ALL = ["--average", "wise,uniform,greedy,stock", "--lines", "0,0.5"]
MODEL = "model.safetensors"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("averages")
    coloured(root / "train", each=16, noise=150)
    for seed, (name, each) in enumerate({"val": 20, "test": 6, "far": 6}.items()):
        coloured(root / name, each=each, seed=seed + 1, noise=150 + 60 * seed)
    checkpoint(root / "start", classes=3)
    return root


def sets(place: Path) -> list[Any]:
    return [
        "--id-val", place / "val", "--id-test", place / "test", "--ood", f"far={place / 'far'}",
        "--train", place / "train",
    ]  # fmt: skip


def train(place: Path, out: str, command: str, *more: Any, lr: str = ",".join(RATES), seed: str = "0,1") -> Path:
    """A finished training run below `place`."""
    asked = [command, "--checkpoint", place / "start", *sets(place), *SMALL, "--epochs", 2, "--lr", lr]
    done = inside(*asked, *([] if command == "probe" else ["--seed", seed]), *more, "--out", place / out)
    assert done.returncode == 0, done.stderr
    return place / out


def interpolated(place: Path, a: Path, b: Path, *more: Any) -> Ended:
    size = ["--image-size", 32, "--threads", 1, "--batch-size", 16]
    return inside(
        "interpolate", a, b, *sets(place), *size, *more, "--json", "--out", place / f"line-{len(more)}-{b.name}"
    )


@pytest.fixture(scope="module")
def grid(place: Path) -> Path:
    return train(place, "grid", "lpft", *ALL)


@pytest.fixture(scope="module")
def alone(place: Path) -> list[Path]:
    """The runs of the grid as commands of their own, by seed and rate."""
    return [train(place, f"s{seed}-{lr}", "lpft", lr=lr, seed=str(seed)) for seed in SEEDS for lr in RATES]


def figures(average: dict[str, Any]) -> dict[str, dict[str, float]]:
    """{SET: {"accuracy", "loss"}} of an average, as `interpolate` has it."""
    found = average["results"]
    by_set = {"id_val": found["id_val"], "id_test": found["id_test"], **found["ood"]}
    return {name: {key: one[key] for key in ("accuracy", "loss")} for name, one in by_set.items()}


def close(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert list(one) == list(other)
    for name, worth in one.items():
        assert worth["accuracy"] == other[name]["accuracy"], name
        assert worth["loss"] == pytest.approx(other[name]["loss"], rel=1e-5), name


# ---- against separate runs


def test_the_reports_form(grid: Path) -> None:
    report = read(grid)
    jsonschema.validate(report, report_schema())
    found = report["averages"]
    names = ["wise-0.5", "wise-pick", "wise-se", "uniform", "greedy", "stock", "lines-pick", "lines-se"]
    assert list(found["by_name"]) == names and found["statistics"] == "raw"
    assert [(one["seed"], one["lr"]) for one in found["members"]] == [(s, float(lr)) for s in SEEDS for lr in RATES]
    assert found["pick"]["selected"] == report["selected"] and "average" not in report["selected"]
    assert [one["strength"] for one in found["paths"]["wise"]] == [i / 10 for i in range(11)]
    assert [one["strength"] for one in found["paths"]["lines"]] == [0, 0.5, 1]
    assert found["by_name"]["wise-0.5"]["strength"] == 0.5 and found["by_name"]["wise-0.5"]["picked"] == "given"
    assert not any(average["new_head"] for average in found["by_name"].values())
    assert set(found["by_name"]["stock"]["shares"]) == {block["name"] for block in report["model"]["blocks"]}


def test_soups_are_those_of_interpolate(grid: Path, alone: list[Path], place: Path) -> None:
    """Members are judged on the same ID-val, so means, members and figures are the same."""
    others = [word for folder in alone[2:] for word in ("--soup", folder)]
    report = interpolated(place, alone[0], alone[1], *others, "--points", 2, "--bn", "raw").report
    soups, found = report["interpolation"]["soups"]["raw"], read(grid)["averages"]
    names = [Path(name).name for name in soups["uniform"]["members"]]
    assert names == [folder.name for folder in alone]
    close(figures(found["by_name"]["uniform"]), soups["uniform"]["sets"])
    close(figures(found["by_name"]["greedy"]), soups["greedy"]["sets"])
    greedy = [Path(name).name for name in soups["greedy"]["members"]]
    assert [alone[i].name for i in found["by_name"]["greedy"]["members"]] == greedy
    for i, one in enumerate(found["members"]):
        assert one["id_val"]["accuracy"] == soups["members"][soups["uniform"]["members"][i]]["accuracy"]


@pytest.mark.parametrize("name", ["uniform", "wise-0.5", "stock", "lines-se"])
def test_weights_are_those_of_separate_runs_to_the_byte(name: str, place: Path, grid: Path, alone: list[Path]) -> None:

    saved = train(place, f"saved-{name}", "lpft", *ALL, "--save", f"average:{name}")
    states = [load_file(folder / MODEL) for folder in alone]
    probe = load_file(train(place, f"probe-{name}", "probe") / MODEL)
    report = read(saved)
    picked = report["averages"]["pick"]["selected"]
    pick = states[SEEDS.index(picked["seed"]) * len(RATES) + [float(lr) for lr in RATES].index(picked["lr"])]
    network = loaded("test_resnet", 3).model
    parameters = {name for name, _ in network.named_parameters()}
    expected = {
        "uniform": lambda: mean_weights(states),
        "wise-0.5": lambda: interpolate_weights(probe, pick, 0.5),
        "stock": lambda: stock_weights(probe, states, stock_shares(probe, states, parameters)),
        "lines-se": lambda: scale_by_depth(
            probe, pick, depth_shares(network, report["averages"]["by_name"]["lines-se"]["strength"])
        ),
    }[name]()
    found = load_file(saved / MODEL)
    assert set(found) == set(expected)
    assert all(found[key].equal(tensor) for key, tensor in expected.items())
    assert report["selected"]["average"] == name and picked == read(grid)["selected"]
    assert report["results"] == report["averages"]["by_name"][name]["results"]
    shown = inside("report", saved).stdout
    assert f"{name}, saved" in shown and f"saved in its place: the average {name}" in " ".join(shown.split())
    assert report["selected"]["id_val"]["accuracy"] == report["results"]["id_val"]["accuracy"]
    judged = inside(
        "evaluate", saved, *sets(place)[:-2], *SMALL[:4], "--threads", 1, "--json", "--out", saved / "again"
    )
    for key, one in judged.report["results"]["ood"].items():
        assert one["accuracy"] == report["results"]["ood"][key]["accuracy"]


def test_the_line_is_that_of_interpolate(place: Path, grid: Path, alone: list[Path]) -> None:
    """From the probe to the pick, all eleven λ on ID-val, and the figures of those that are picked."""
    probe, report = train(place, "probe", "probe"), read(grid)
    picked = report["selected"]
    pick = alone[SEEDS.index(picked["seed"]) * len(RATES) + [float(lr) for lr in RATES].index(picked["lr"])]
    points = interpolated(place, probe, pick, "--bn", "raw").report["interpolation"]["points"]
    path = report["averages"]["paths"]["wise"]
    assert [one["strength"] for one in path] == [one["lambda"] for one in points]
    for one, point in zip(path, points, strict=True):
        assert one["id_val"]["accuracy"] == point["raw"]["id_val"]["accuracy"]
        assert one["id_val"]["loss"] == pytest.approx(point["raw"]["id_val"]["loss"], rel=1e-5)
    for name in ("wise-0.5", "wise-pick", "wise-se"):
        average = report["averages"]["by_name"][name]
        close(figures(average), next(one["raw"] for one in points if one["lambda"] == average["strength"]))
    accuracies = [one["id_val"]["accuracy"] for one in path]
    losses = [one["id_val"]["loss"] for one in path]
    top = max(accuracies)
    usual = min(range(11), key=lambda i: (-accuracies[i], losses[i], i))
    within = next(i for i in range(11) if accuracies[i] >= top - (top * (1 - top) / 60) ** 0.5 - 1e-12)
    assert report["averages"]["by_name"]["wise-pick"]["strength"] == usual / 10
    assert report["averages"]["by_name"]["wise-se"]["strength"] == within / 10


def test_batchnorm_that_trained_is_estimated_anew(place: Path) -> None:
    """As `interpolate --bn reestimated` has it, of the same members."""
    rates, more = ("1e-06", "1e-05", "3e-05"), ["--bn", "train", "--average", "uniform,greedy"]
    with mock.patch.object(members, "WITHIN", 1.0):
        grid = train(place, "trained", "lpft", *more, "--save", "average:uniform", lr=",".join(rates), seed="0")
    alone = [train(place, f"trained-{lr}", "lpft", "--bn", "train", lr=lr, seed="0") for lr in rates]
    found = read(grid)["averages"]
    assert found["statistics"] == "reestimated" and len(found["members"]) == 3
    asked = ["--soup", alone[2], "--points", 2, "--bn", "reestimated"]
    soups = interpolated(place, alone[0], alone[1], *asked).report["interpolation"]["soups"]["reestimated"]
    for name in ("uniform", "greedy"):
        close(figures(found["by_name"][name]), soups[name]["sets"])
        labels = [Path(label).name for label in soups[name]["members"]]
        assert [alone[i].name for i in found["by_name"][name]["members"]] == labels
    states, weights = [load_file(folder / MODEL) for folder in alone], load_file(grid / MODEL)
    for name, tensor in weights.items():
        mean = (sum(state[name].double() for state in states) / 3).to(tensor.dtype)
        if tensor.is_floating_point():
            assert tensor.equal(mean) != ("running" in name), name


# ---- heads


def test_members_of_one_seed_share_their_head_and_of_several_the_bodies_are_averaged(place: Path) -> None:
    rates = "1e-4,2e-4"
    more = ["--bn", "eval", "--average", "uniform,stock", "--save", "average:uniform"]
    with mock.patch.object(members, "WITHIN", 1.0):
        one = train(place, "one-seed", "finetune", *more, lr=rates, seed="0")
    states = [
        load_file(train(place, f"ft-{seed}-{lr}", "finetune", "--bn", "eval", lr=lr, seed=str(seed)) / MODEL)
        for seed in SEEDS for lr in rates.split(",")
    ]  # fmt: skip
    weights = load_file(one / MODEL)
    assert not read(one)["averages"]["by_name"]["uniform"]["new_head"]
    for name, tensor in weights.items():
        if tensor.is_floating_point():
            assert tensor.equal(((states[0][name].double() + states[1][name].double()) / 2).float()), name
    with mock.patch.object(members, "WITHIN", 1.0):
        several = train(place, "two-seeds", "finetune", *more, lr=rates)
    report = read(several)
    assert report["averages"]["by_name"]["uniform"]["new_head"] and len(report["averages"]["members"]) == 4
    assert "new-head" in [warning["code"] for warning in report["warnings"]]
    weights = load_file(several / MODEL)
    for name, tensor in weights.items():
        mean = torch.stack([state[name].double() for state in states]).mean(0)
        if tensor.is_floating_point():
            assert torch.allclose(tensor.double(), mean, rtol=1e-6, atol=1e-9) != name.startswith("fc."), name


def test_fewer_than_two_members(place: Path) -> None:
    """The averages are null, it is said, and the pick is saved: no training is lost."""
    out = train(place, "single", "lpft", *ALL, "--save", "average:stock", lr="1e-5", seed="0")
    report = read(out)
    assert [report["averages"]["by_name"][name] for name in ("uniform", "greedy", "stock")] == [None] * 3
    assert {"few-members", "no-average"} <= {warning["code"] for warning in report["warnings"]}
    assert "average" not in report["selected"]
    plain = train(place, "single-plain", "lpft", lr="1e-5", seed="0")
    assert (out / MODEL).read_bytes() == (plain / MODEL).read_bytes()


def test_members_lie_within_five_points_of_the_pick(place: Path) -> None:
    report = read(train(place, "far-apart", "lpft", "--average", "uniform", lr="1e-6,1e-2", seed="0"))
    accuracies = {run["lr"]: run["id_val"] and run["id_val"]["accuracy"] for run in report["runs"]}
    top = report["selected"]["id_val"]["accuracy"]
    expected = [lr for lr, accuracy in accuracies.items() if accuracy is not None and accuracy >= top - 0.05]
    assert [one["lr"] for one in report["averages"]["members"]] == expected
    assert len(expected) < 2


# ---- the state


def test_stopped_and_gone_on_with(place: Path, grid: Path) -> None:
    out, times = place / "stopped", 0
    asked = ["lpft", "--checkpoint", place / "start", *sets(place), *SMALL, "--epochs", 2, "--lr", ",".join(RATES)]
    asked += ["--seed", "0,1", *ALL, "--save", "average:greedy", "--out", out]
    while (done := stopped(5, *asked)).returncode == 130:
        times += 1
        assert times < 50
    assert done.returncode == 0 and times > 2, done.stderr
    whole = train(place, "whole", "lpft", *ALL, "--save", "average:greedy")
    assert (out / MODEL).read_bytes() == (whole / MODEL).read_bytes()
    assert read(out)["averages"] == read(whole)["averages"] == read(grid)["averages"]
    assert not (out / STATE).exists()


def test_interrupted_while_averages_are_measured(place: Path, grid: Path) -> None:
    """Every run's weights are there still, none is trained again, and the averages are the same."""
    out = place / "late"
    asked = ["lpft", "--checkpoint", place / "start", *sets(place), *SMALL, "--epochs", 2, "--lr", ",".join(RATES)]
    asked += ["--seed", "0,1", *ALL, "--out", out]
    with mock.patch("ftcli.averages.measure.measured_anew", side_effect=KeyboardInterrupt):
        assert inside(*asked).returncode == 130
    sizes = [path.stat().st_size for path in (out / STATE).glob("*.safetensors")]
    assert len(sizes) == 4 and min(sizes) > 100_000
    with mock.patch("ftcli.engine.train.train_step", side_effect=AssertionError("trained again")):
        done = inside(*asked)
    assert done.returncode == 0, done.stderr
    assert read(out)["averages"] == read(grid)["averages"]


def test_without_averages_of_several_nothing_is_kept(place: Path) -> None:
    asked = ["lpft", "--checkpoint", place / "start", *sets(place), *SMALL, "--epochs", 1, "--lr", "1e-6,3e-5"]
    with mock.patch("ftcli.averages.measure.measured_anew", side_effect=KeyboardInterrupt):
        assert inside(*asked, "--average", "wise", "--out", place / "light").returncode == 130
    sizes = sorted(path.stat().st_size for path in (place / "light" / STATE).glob("*.safetensors"))
    assert sizes[0] < 10_000 < sizes[1]


def test_budget_averages_what_came_to_its_end(place: Path) -> None:
    more = ["--budget", "halving", "--average", "uniform"]
    with mock.patch.object(members, "WITHIN", 1.0):
        report = read(train(place, "halved", "lpft", *more, lr="1e-6,1e-5,3e-5,1e-4,1e-3", seed="0,1"))
    ended = [(run["seed"], run["lr"]) for run in report["runs"] if "eliminated" not in run and not run["diverged"]]
    assert [(one["seed"], one["lr"]) for one in report["averages"]["members"]] == ended


# ---- requests


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--average", "swa"], "swa"),
        (["--average", "uniform", "--save", "average:greedy"], "there are uniform"),
        (["--save", "average:uniform"], "no average is asked for"),
        (["--save", "best"], "best"),
        (["--lines", "1.5"], "1.5"),
        (["--lines", "0.5", "--save", "average:lines-pick"], "there are lines-0.5"),
    ],
)
def test_wrong_requests(more: list[Any], said: str, place: Path, tmp_path: Path) -> None:
    assert said in refused("lpft", "--checkpoint", place / "start", *sets(place), *SMALL, *more, out=tmp_path / "o")


def test_what_would_take_too_much_of_the_disk(place: Path, tmp_path: Path) -> None:
    asked = ["lpft", "--checkpoint", place / "start", *sets(place), *SMALL, "--average", "uniform", "--seeds", 2]
    with mock.patch.object(members, "MAX_KEPT_WEIGHTS", 10 * 2**20):
        said = refused(*asked, out=tmp_path / "o")
    assert "16 runs" in said and "GiB" in said


def test_random_bodies_are_not_averaged(place: Path, tmp_path: Path) -> None:
    asked = ["finetune", "--init", "random", "--model", "test_resnet", *sets(place), *SMALL]
    assert "--init random" in refused(*asked, "--average", "uniform", out=tmp_path / "o")
