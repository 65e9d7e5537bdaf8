"""`ftcli interpolate` as a user types it; barriers and soups on losses made by hand; BatchNorm estimated anew."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from math import inf, nan
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import create_transform, resolve_data_config
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ftcli.averages.types import Worth
from ftcli.engine.batchnorm import has_statistics, reestimate
from ftcli.engine.device import Machine
from ftcli.engine.run_inputs import RunInputs
from ftcli.explain.interpolation.measure import barrier, barriers, points, soups
from ftcli.explain.interpolation.types import Point
from ftcli.log import Log
from ftcli.model.blocks import blocks_of
from ftcli.model.loading.save import save_model
from ftcli.report.schema import report_schema
from ftcli.seeds import derive_seed
from tests.cli.test_distortion import numbers, saved
from tests.cli.test_requests import refused
from tests.helpers.ended import Ended
from tests.helpers.program import checkpoint, inside, read
from tests.helpers.tiny import tiny
from tests.helpers.worlds import coloured, loaded, world

MODEL = ["--image-size", 32, "--threads", 1, "--batch-size", 16]
MACHINE = Machine(torch.device("cpu"), "fp32", 0)


# ---- points and barriers


@pytest.mark.parametrize(
    ("start", "stop", "count"), [(0, 1, 11), (0, 1, 2), (-0.5, 1.5, 21), (0.1, 0.7, 7), (0, 1, 50)]
)
def test_points(start: float, stop: float, count: int) -> None:
    found = points(start, stop, count)
    assert found == pytest.approx(list(np.linspace(start, stop, count)), abs=1e-12)
    assert (found[0], found[-1], len(found)) == (start, stop, count)


def test_a_range_around_the_ends_has_them_exactly() -> None:
    """Otherwise there would be no barrier: -0.5 + 2 · 5/20 must be 0, not 1e-17."""
    for start, stop, count in ((-0.5, 1.5, 21), (-1, 2, 31), (-0.2, 1.2, 15), (-0.1, 1.1, 13), (-0.3, 1.3, 17)):
        found = points(start, stop, count)
        assert {0.0, 1.0} <= set(found), (start, stop, count)


def test_barrier_by_hand() -> None:
    assert barrier({0.0: 1.0, 0.25: 1.5, 0.5: 3.0, 1.0: 2.0}) == {"loss": pytest.approx(1.5), "lambda": 0.5}
    assert barrier({0.0: 1.0, 0.25: 4.0, 0.5: 3.0, 1.0: 2.0}) == {"loss": pytest.approx(2.75), "lambda": 0.25}
    assert barrier({0.0: 4.0, 0.75: 2.5, 1.0: 0.0}) == {"loss": pytest.approx(1.5), "lambda": 0.75}


def test_no_barrier_is_zero() -> None:
    assert barrier({0.0: 1.0, 0.5: 0.2, 1.0: 2.0})["loss"] == 0.0
    assert barrier({0.0: 1.0, 1.0: 2.0})["loss"] == 0.0
    assert barrier({0.0: 2.0, 0.5: 2.0, 1.0: 2.0})["loss"] == 0.0


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_a_loss_that_is_not_finite_has_no_barrier(place: float) -> None:
    assert barrier({0.0: 1.0, 0.5: 3.0, 1.0: 2.0} | {place: None}) == {"loss": None, "lambda": None}


def test_barrier_is_of_the_points_between_the_ends() -> None:
    def point(weight: float, *kinds: str, **losses: float) -> Point:
        sets = {name: Worth(0.5, loss) for name, loss in losses.items()}
        return Point(weight, **dict.fromkeys(kinds, sets))

    def line(*kinds: str) -> list[Point]:
        return [
            point(-0.5, *kinds, id_val=99, far=99), point(0.0, *kinds, id_val=1, far=5),
            point(0.5, *kinds, id_val=2, far=5.5), point(1.0, *kinds, id_val=1, far=7),
            point(1.5, *kinds, id_val=99, far=99),
        ]  # fmt: skip

    expected = {"id_val": {"loss": 1.0, "lambda": 0.5}, "far": {"loss": 0.0, "lambda": 0.0}}
    assert barriers(line("raw")) == {"raw": expected}
    assert barriers(line("raw", "reestimated")) == {"raw": expected, "reestimated": expected}
    assert not barriers(line("raw")[:3]) and not barriers(line("raw")[2:])


# ---- soups


class Tasted:
    """Stands for the network: says of every mean of members what a table says. Weights are one-hot, by member."""

    def __init__(self, table: Mapping[str, tuple[float, float]]) -> None:
        self.table, self.statistics = table, ("raw",)
        self.inputs = SimpleNamespace(sets=("id_val",))

    def worth(self, state: dict[str, Tensor], statistics: str, label: str, sets: Any = None) -> dict[str, Worth]:
        weights = state["w"]
        members = "".join("abcdef"[i] for i in weights.nonzero().flatten())
        assert torch.allclose(weights[weights > 0], torch.tensor(1 / len(members)))
        accuracy, loss = self.table[members]
        return {"id_val": Worth(accuracy, loss)}


def stirred(table: Mapping[str, tuple[float, float]], count: int = 3) -> dict[str, Any]:
    members = {"abcdef"[i]: {"w": torch.eye(count)[i]} for i in range(count)}
    described, averages = soups(members, Tasted(table))  # type: ignore[arg-type]
    assert [one.kind for one in averages] == ["uniform soup", "greedy soup"]
    for one in averages:
        found = described["raw"][one.kind.split()[0]]
        assert one.id_val == found["sets"]["id_val"]
        assert sorted(found["members"]) == ["abcdef"[i] for i in one.state()["w"].nonzero().flatten()]
    return described


def test_greedy_keeps_what_does_not_hurt() -> None:
    """b is best; with a it is worse, so a stays out; with c as good, so c stays."""
    table = {"a": (0.7, 1.0), "b": (0.8, 1.0), "c": (0.6, 1.0), "ab": (0.75, 0.1), "bc": (0.8, 2.0), "abc": (0.9, 0.5)}
    found = stirred(table)
    assert found["raw"]["greedy"]["members"] == ["b", "c"]
    assert found["raw"]["greedy"]["sets"] == {"id_val": {"accuracy": 0.8, "loss": 2.0}}
    assert found["raw"]["uniform"] == {"members": ["a", "b", "c"], "sets": {"id_val": {"accuracy": 0.9, "loss": 0.5}}}
    assert found["raw"]["members"]["a"] == {"accuracy": 0.7, "loss": 1.0}


def test_greedy_begins_with_the_lower_loss_of_two_as_good() -> None:
    table = {"a": (0.8, 1.0), "b": (0.8, 0.5), "c": (0.1, 9.0), "ab": (0.7, 1.0), "bc": (0.7, 1.0), "abc": (0.9, 1.0)}
    assert stirred(table)["raw"]["greedy"]["members"] == ["b"]


@pytest.mark.parametrize("seed", range(12))
def test_greedy_is_the_published_rule(seed: int) -> None:
    """Algorithm 1 of Wortsman et al. 2022 over a random table of all fifteen means of four models."""
    rng = np.random.default_rng(seed)
    kinds = ["".join(c for i, c in enumerate("abcd") if mask >> i & 1) for mask in range(1, 16)]
    table = {kind: (rng.integers(5, 9) / 10, float(rng.random())) for kind in kinds}
    order = sorted("abcd", key=lambda one: (-table[one][0], table[one][1]))
    soup: list[str] = []
    for one in order:
        if not soup or table["".join(sorted([*soup, one]))][0] >= table["".join(sorted(soup))][0]:
            soup.append(one)
    assert stirred(table, 4)["raw"]["greedy"]["members"] == soup


# ---- BatchNorm estimated anew


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> RunInputs:
    """25 pictures to train on, in batches of 8: the last one would be of a single picture."""
    root = tmp_path_factory.mktemp("pictures")
    train = coloured(root / "train", classes=5, each=5, noise=120)
    return world(train, "probe", id_val=str(coloured(root / "val", classes=5, each=1, seed=5)),
                 id_test=str(coloured(root / "test", classes=5, each=1, seed=6)))[0]  # fmt: skip


def norms(model: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {name: one for name, one in model.named_modules() if isinstance(one, nn.BatchNorm2d)}


def plainly(model: nn.Module, inputs: RunInputs, seed: int) -> nn.Module:
    """A copy after a pass in which BatchNorm alone is in train behaviour, with no momentum: the plain mean."""
    copy = deepcopy(model).eval()
    for one in norms(copy).values():
        one.reset_running_stats()
        one.momentum = None
        one.train()
    assert inputs.plain is not None
    with torch.no_grad():
        sizes = [len(copy(batch.images)) for batch in inputs.plain.shuffled(seed, 0, skip_single=True)]
    assert sizes == [8, 8, 8]
    return copy


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_reestimate_is_a_plain_loop(name: str, inputs: RunInputs) -> None:
    model = tiny(name)
    for number, one in enumerate(norms(model).values()):
        one.momentum, one.num_batches_tracked = 0.01 * (number + 1), torch.tensor(7 + number)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    momenta = [one.momentum for one in norms(model).values()]
    expected = plainly(model, inputs, 3).state_dict()
    assert inputs.plain is not None
    reestimate(model.train(), inputs.plain, MACHINE, 3, Log(), "x")
    assert not any(module.training for module in model.modules())
    assert [one.momentum for one in norms(model).values()] == momenta
    for key, value in model.state_dict().items():
        if "running_" in key:
            assert value.equal(expected[key]) and not value.equal(before[key]), key
        else:
            assert value.equal(before[key]), key  # weights and counters
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_reestimate_is_the_mean_of_the_batches(inputs: RunInputs) -> None:
    """The first BatchNorm, from what goes into it, in NumPy."""
    model = tiny("test_efficientnet")
    assert inputs.plain is not None
    with torch.no_grad():
        into = [
            model.conv_stem(batch.images).double().numpy() for batch in inputs.plain.shuffled(0, 0, skip_single=True)
        ]  # type: ignore[operator]
    reestimate(model, inputs.plain, MACHINE, 0, Log(), "x")
    first = next(iter(norms(model).values()))
    mean = np.mean([x.mean((0, 2, 3)) for x in into], axis=0)
    var = np.mean([x.var((0, 2, 3), ddof=1) for x in into], axis=0)
    np.testing.assert_allclose(first.running_mean, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first.running_var, var, rtol=1e-4)


def test_reestimate_twice_and_from_other_statistics_is_the_same(inputs: RunInputs) -> None:
    one, two = tiny("test_resnet"), tiny("test_resnet")
    for norm in norms(two).values():
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.fill_(5)
        norm.running_var.fill_(nan)
    assert inputs.plain is not None
    for model, times in ((one, 1), (two, 2)):
        for _ in range(times):
            reestimate(model, inputs.plain, MACHINE, 0, Log(), "x")
    assert all(a.equal(b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def test_an_error_leaves_momenta_and_modes(inputs: RunInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("test_resnet")
    counters = {key: value.clone() for key, value in model.state_dict().items() if "num_batches" in key}
    monkeypatch.setattr(model.layer4[0], "forward", lambda *_: 1 / 0)  # type: ignore[index, union-attr]
    assert inputs.plain is not None
    with pytest.raises(ZeroDivisionError):
        reestimate(model, inputs.plain, MACHINE, 0, Log(), "x")
    assert {one.momentum for one in norms(model).values()} == {0.1}
    assert not any(module.training for module in model.modules())
    assert all(model.state_dict()[key].equal(value) for key, value in counters.items())


def test_what_has_statistics() -> None:
    assert has_statistics(tiny("test_resnet")) and not has_statistics(tiny("test_vit"))
    assert not has_statistics(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)))


# ---- the command


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, its probe and two fine-tunings, two models without BatchNorm, one of other classes; the sets."""
    root = tmp_path_factory.mktemp("interpolation")
    coloured(root / "train", each=16, noise=150)
    for seed, (name, each) in enumerate({"val": 20, "test": 14, "far": 10}.items()):
        coloured(root / name, each=each, seed=seed + 1, noise=150 + 60 * seed)
    checkpoint(root / "start", classes=3)
    checkpoint(root / "five", classes=5)
    checkpoint(root / "vit", "test_vit", classes=3)
    larger = {name: 1.1 * tensor for name, tensor in load_file(root / "vit" / "model.safetensors").items()}
    save_file(larger, saved(root / "v", root / "vit") / "model.safetensors")
    given = [*sets(root, train=True), "--augment", "none"]
    tune = ["finetune", "--checkpoint", root / "start", *given, "--epochs", 2, "--lr"]
    for name, words in {
        "a": ["probe", "--checkpoint", root / "start", *given], "b": [*tune, "3e-2"], "c": [*tune, "1e-2", "--seed", 1],
    }.items():  # fmt: skip
        done = inside(*words, "--out", root / name)
        assert done.returncode == 0, done.stderr
    return root


def sets(place: Path, *, train: bool = False) -> list[Any]:
    given = ["--id-val", place / "val", "--id-test", place / "test", "--ood", f"far={place / 'far'}"]
    return [*given, *(["--train", place / "train"] if train else []), *MODEL]


def line(place: Path, out: Path, a: str, b: str, *more: Any, train: bool = False) -> Ended:
    return inside("interpolate", place / a, place / b, *sets(place, train=train), *more, "--json", "--out", out)


def judged(place: Path, model: Path, out: Path) -> dict[str, dict[str, float]]:
    """What `ftcli evaluate` says: {SET: {"accuracy", "loss"}}."""
    found = inside("evaluate", model, *sets(place), "--json", "--out", out).report["results"]
    by_set = {"id_val": found["id_val"], "id_test": found["id_test"], **found["ood"]}
    return {name: {key: one[key] for key in ("accuracy", "loss")} for name, one in by_set.items()}


@pytest.fixture(scope="module")
def ends(place: Path) -> dict[str, dict[str, dict[str, float]]]:
    return {name: judged(place, place / name, place / f"judged-{name}") for name in ("a", "b", "c")}


@pytest.fixture(scope="module")
def report(place: Path) -> dict[str, Any]:
    """Beyond both ends, with soups, raw and estimated anew, and the best one saved."""
    more = ["--points", 5, "--from", -0.5, "--to", 1.5, "--soup", place / "c", "--save-best"]
    return line(place, place / "run", "a", "b", *more, train=True).report


def test_the_reports_form(report: dict[str, Any], place: Path) -> None:
    jsonschema.validate(report, report_schema())
    assert report["command"] == "interpolate" and read(place / "run") == report
    found = report["interpolation"]
    assert found["head"] == "interpolated" and [one["lambda"] for one in found["points"]] == [-0.5, 0, 0.5, 1, 1.5]
    for one in found["points"]:
        assert set(one) == {"lambda", "raw", "reestimated"}
        assert list(one["raw"]) == list(one["reestimated"]) == ["id_val", "id_test", "far"]


def test_the_ends_are_the_models_own_figures(report: dict[str, Any], ends: dict[str, Any]) -> None:
    by_weight = {one["lambda"]: one["raw"] for one in report["interpolation"]["points"]}
    assert by_weight[0] == ends["a"] and by_weight[1] == ends["b"]
    assert ends["a"] != ends["b"]


def by_hand(place: Path, folder: Path, weights: dict[str, float]) -> Path:
    """A folder with Σ weight · θ, integers from the first."""
    network = loaded("test_resnet")
    states = {name: load_file(place / name / "model.safetensors") for name in weights}
    first = next(iter(states.values()))
    mixed = {
        key: sum(weight * states[name][key].double() for name, weight in weights.items()).float()  # type: ignore[union-attr]
        if value.is_floating_point()
        else value
        for key, value in first.items()
    }
    network.model.load_state_dict(mixed)
    save_model(folder, network, network.model, tuple(f"class{i}" for i in range(3)))
    return folder


def near(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Of weights that are equal to float32's rounding."""
    assert list(numbers(one)) == pytest.approx(list(numbers(other)), rel=1e-4, abs=1e-6)


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Of the same weights."""
    assert one.keys() == other.keys()
    assert list(numbers(one)) == pytest.approx(list(numbers(other)), rel=1e-12)


def test_a_point_is_the_weights_mixed_by_hand(report: dict[str, Any], place: Path, tmp_path: Path) -> None:
    for weight in (-0.5, 0.5):
        mixed = by_hand(place, tmp_path / f"m{weight}", {"a": 1 - weight, "b": weight})
        (point,) = [one for one in report["interpolation"]["points"] if one["lambda"] == weight]
        near(point["raw"], judged(place, mixed, tmp_path / f"o{weight}"))


def test_barrier_of_the_report(report: dict[str, Any]) -> None:
    by_weight = {one["lambda"]: one for one in report["interpolation"]["points"]}
    for kind in ("raw", "reestimated"):
        for name, found in report["interpolation"]["barrier"][kind].items():
            first, middle, last = (by_weight[weight][kind][name]["loss"] for weight in (0, 0.5, 1))
            assert found["loss"] == pytest.approx(max(0.0, middle - (first + last) / 2))


def test_statistics_estimated_anew(report: dict[str, Any], place: Path) -> None:
    """At λ = 1 they are those of a plain loop over the training set in the order of seed 0, by timm alone."""
    model, images = timm_alone(place / "b", place / "train")
    for one in norms(model).values():
        one.reset_running_stats()
        one.momentum = None
        one.train()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(derive_seed("order", 0, 0)))
    with torch.no_grad():
        for batch in images[order].split(16):
            model(batch)
    (point,) = [one for one in report["interpolation"]["points"] if one["lambda"] == 1]
    for name, pictures in (("id_test", "test"), ("far", "far")):
        accuracy, loss = figures(model.eval(), place / pictures)
        assert point["reestimated"][name] == pytest.approx({"accuracy": accuracy, "loss": loss}, rel=1e-4)
        assert abs(loss - point["raw"][name]["loss"]) > 0.01


def timm_alone(model: Path, pictures: Path) -> tuple[Any, Tensor]:
    """A saved folder and its pictures [N, 3, H, W], without ftcli."""
    network = timm.create_model(f"local-dir:{model}", pretrained=True).eval()
    transform = create_transform(**resolve_data_config({}, model=network), is_training=False)
    return network, torch.stack([transform(Image.open(path)) for path in sorted(pictures.glob("*/*.png"))])


def figures(model: Any, pictures: Path) -> tuple[float, float]:
    transform = create_transform(**resolve_data_config({}, model=model), is_training=False)
    paths = sorted(pictures.glob("*/*.png"))
    labels = torch.tensor([int(path.parent.name.removeprefix("class")) for path in paths])
    with torch.inference_mode():
        logits = model(torch.stack([transform(Image.open(path)) for path in paths]))
    return (logits.argmax(1) == labels).double().mean().item(), cross_entropy(logits.double(), labels).item()


# ---- soups and the best


def test_soups_of_the_report(report: dict[str, Any], place: Path, ends: dict[str, Any], tmp_path: Path) -> None:
    found = report["interpolation"]["soups"]
    same(found["raw"]["members"], {name: ends[name]["id_val"] for name in "abc"})
    uniform = found["raw"]["uniform"]
    assert uniform["members"] == ["a", "b", "c"]
    mixed = by_hand(place, tmp_path / "mean", dict.fromkeys("abc", 1 / 3))
    near(uniform["sets"], judged(place, mixed, tmp_path / "o"))
    order = sorted("abc", key=lambda name: (-ends[name]["id_val"]["accuracy"], ends[name]["id_val"]["loss"]))
    greedy = found["raw"]["greedy"]
    assert greedy["members"][0] == order[0] and greedy["members"] == [n for n in order if n in greedy["members"]]
    assert greedy["sets"]["id_val"]["accuracy"] >= ends[order[0]]["id_val"]["accuracy"]
    if greedy["members"] == order[:1]:
        same(greedy["sets"], ends[order[0]])


def test_the_best_by_id_val(report: dict[str, Any]) -> None:
    found = report["interpolation"]
    candidates = [
        (one[kind]["id_val"], kind, one["lambda"]) for one in found["points"] for kind in ("raw", "reestimated")
    ]
    candidates += [
        (found["soups"][kind][name]["sets"]["id_val"], kind, f"{name} soup")
        for kind in ("raw", "reestimated") for name in ("uniform", "greedy")
    ]  # fmt: skip
    top = min(candidates, key=lambda one: (-one[0]["accuracy"], one[0]["loss"]))
    best = found["best"]
    assert best["id_val"] == top[0] and best["statistics"] == top[1]
    assert top[2] in (best.get("lambda"), best["kind"])
    assert report["results"]["id_val"]["accuracy"] == top[0]["accuracy"]


def test_the_saved_one_is_a_timm_model_of_that_accuracy(report: dict[str, Any], place: Path, tmp_path: Path) -> None:
    best = report["interpolation"]["best"]["id_val"]
    network, _ = timm_alone(place / "run", place / "far")
    accuracy, loss = figures(network, place / "val")
    assert accuracy == best["accuracy"] and loss == pytest.approx(best["loss"], rel=1e-4)
    assert network.pretrained_cfg["label_names"] == ["class0", "class1", "class2"]
    again = judged(place, place / "run", tmp_path / "o")
    same(again["id_val"], best)
    for name, key in (("id_test", "id_test"), ("far", "far")):
        said = report["results"]["ood"][key] if name == "far" else report["results"][key]
        assert again[name]["accuracy"] == said["accuracy"]


def test_soup_of_one_model_is_that_model(place: Path, ends: dict[str, Any], tmp_path: Path) -> None:
    """And the line between a model and itself has no barrier; identical files are warned of."""
    found = line(place, tmp_path / "o", "b", "b", "--points", 3, "--soup", place / "b").report
    assert "identical-files" in [warning["code"] for warning in found["warnings"]]
    for one in found["interpolation"]["points"]:
        near(one["raw"], ends["b"])
    assert all(one["loss"] < 1e-5 for one in found["interpolation"]["barrier"]["raw"].values())
    near(found["interpolation"]["soups"]["raw"]["uniform"]["sets"], ends["b"])


def test_saved_only_where_asked(place: Path, tmp_path: Path) -> None:
    found = line(place, tmp_path / "o", "a", "b", "--points", 2).report
    assert not (tmp_path / "o" / "model.safetensors").exists() and "soups" not in found["interpolation"]
    assert set(found["interpolation"]["points"][0]) == {"lambda", "raw"}  # without a training set


# ---- heads and BatchNorm


def bodied(place: Path, folder: Path, body: str, head: str) -> Path:
    """The body of one model under the head of another."""
    saved(folder, place / head)
    tensors, top = (load_file(place / name / "model.safetensors") for name in (body, head))
    save_file(tensors | {name: top[name] for name in ("fc.weight", "fc.bias")}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("head", ["a", "b"])
def test_one_head_on_the_whole_line(place: Path, ends: dict[str, Any], tmp_path: Path, head: str) -> None:
    found = line(place, tmp_path / "o", "a", "b", "--points", 2, "--head", head).report["interpolation"]
    assert found["head"] == head
    first, last = (one["raw"] for one in found["points"])
    own, other = (first, last) if head == "a" else (last, first)
    same(own, ends[head])
    same(other, judged(place, bodied(place, tmp_path / "m", "b" if head == "a" else "a", head), tmp_path / "p"))


def test_heads_of_other_classes_are_not_interpolated(place: Path, ends: dict[str, Any], tmp_path: Path) -> None:
    done = line(place, tmp_path / "o", "five", "b", "--points", 2)
    found = done.report
    assert "head-of-b" in [warning["code"] for warning in found["warnings"]]
    assert found["interpolation"]["head"] == "b"
    same(found["interpolation"]["points"][1]["raw"], ends["b"])


def test_a_head_probed_anew_at_every_point(place: Path, tmp_path: Path) -> None:
    """λ = 0 is the checkpoint that `a` is the probe of."""
    more = ["--points", 2, "--head", "probe", "--bn", "raw"]
    found = line(place, tmp_path / "o", "start", "b", *more, train=True).report["interpolation"]
    assert found["head"] == "probe"
    expected, point = read(place / "a")["results"], found["points"][0]["raw"]
    for name in ("id_val", "id_test"):
        near(point[name], {key: expected[name][key] for key in ("accuracy", "loss")})
    assert found["points"][1]["raw"]["id_val"]["accuracy"] > 0.5  # no head of b's, which says one class for all


@pytest.mark.parametrize(
    ("asked", "train", "kinds"),
    [("raw", True, {"raw"}), ("reestimated", True, {"reestimated"}), ("both", True, {"raw", "reestimated"})],
)
def test_kinds_of_statistics(place: Path, tmp_path: Path, asked: str, train: bool, kinds: set[str]) -> None:
    found = line(place, tmp_path / "o", "a", "b", "--points", 2, "--bn", asked, train=train).report["interpolation"]
    assert all(set(one) - {"lambda"} == kinds for one in found["points"]) and set(found["barrier"]) == kinds


def test_without_batchnorm_there_is_one_kind(place: Path, tmp_path: Path) -> None:
    found = line(place, tmp_path / "o", "vit", "v", "--points", 3, train=True).report["interpolation"]
    assert all(set(one) == {"lambda", "raw"} for one in found["points"])


def test_a_range_without_the_ends_has_no_barrier(place: Path, tmp_path: Path) -> None:
    done = inside("interpolate", place / "a", place / "b", *sets(place), "--points", 3, "--from", 0.2, "--to", 0.8,
                  "--out", tmp_path / "o")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not read(tmp_path / "o")["interpolation"]["barrier"] and "0.5" in done.stdout


def test_figure(place: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figure = tmp_path / "figure.svg"
    assert line(place, tmp_path / "o", "a", "b", "--points", 3, "--plot", figure).returncode == 0
    assert "<svg" in figure.read_text(encoding="utf-8")


def test_wrong_requests(place: Path, tmp_path: Path) -> None:
    a, b, far = place / "a", place / "b", ["--ood", f"far={place / 'far'}", *MODEL]
    every = sets(place)
    cases: Sequence[tuple[list[Any], str]] = [
        ([a, *every], "two models"),
        ([a, b, place / "c", *every], "two models"),
        ([a, place / "vit", *every], "test_vit"),
        ([a, place / "bb", *every], "bb"),
        ([a, b, *MODEL], "set"),
        ([a, b, *every, "--from", 1, "--to", 0], "range"),
        ([a, b, *every, "--from", "inf"], "inf"),
        ([a, b, *every, "--points", 1], "--points"),
        ([a, b, *every, "--head", "c"], "--head"),
        ([a, b, *every, "--bn", "reestimated"], "--train"),
        ([a, b, *every, "--head", "probe"], "--train"),
        ([a, b, *far, "--save-best"], "--id-val"),
        ([a, b, *every, "--soup", place / "five"], "--soup"),
        ([a, b, *every, "--soup", place / "vit"], "vit"),
        ([a, b, *every, "--soup", place / "cc"], "cc"),
        ([a, b, *every, "--head", "a", "--soup", place / "c"], "--head"),
        ([a, b, *every, "--plot", tmp_path / "figure.docx"], "figure.docx"),
    ]  # fmt: skip
    for i, (asked, word) in enumerate(cases):
        assert word in refused("interpolate", *asked, out=tmp_path / f"out{i}"), word


def test_losses_beyond_the_largest_number(place: Path, tmp_path: Path) -> None:
    """Far enough out on the line nothing is finite: no figure is then, and no barrier; the ends keep theirs."""
    found = line(place, tmp_path / "o", "a", "b", "--points", 2, "--to", 1e30).report["interpolation"]
    assert found["points"][1]["raw"]["far"]["loss"] is None and found["points"][0]["raw"]["far"]["loss"] < inf


# ---- scaled by depth


def test_scaled_by_depth(place: Path, tmp_path: Path) -> None:
    """Each α against weights made by hand, the head of B; the best of everything is saved."""
    found = line(place, tmp_path / "o", "a", "b", "--points", 2, "--lines", "0,0.4", "--bn", "raw").report
    jsonschema.validate(found, report_schema())
    scaled = found["interpolation"]["scaled_by_depth"]
    assert [one["alpha"] for one in scaled] == [0, 0.4] and set(scaled[0]) == {"alpha", "raw"}
    A, B = (load_file(place / name / "model.safetensors") for name in "ab")
    body, head = blocks_of(tiny("test_resnet", num_classes=3))
    for one in scaled:
        mixed = dict(B)
        for i, block in enumerate(body):
            s = one["alpha"] + (1 - one["alpha"]) * i / (len(body) - 1)
            running = [n for n in B if "running" in n and n.rpartition(".")[0] + ".weight" in block.tensors]
            tensors = [*block.tensors, *running]
            for name in tensors:
                mixed[name] = (A[name].double() + s * (B[name].double() - A[name].double())).float()
        assert all(mixed[name] is B[name] for name in head.tensors)
        folder = saved(tmp_path / f"by-hand-{one['alpha']}", place / "b")
        save_file(mixed, folder / "model.safetensors")
        near(one["raw"], judged(place, folder, tmp_path / f"judged-{one['alpha']}"))


def test_a_scaled_model_may_be_the_best(place: Path, tmp_path: Path) -> None:
    found = line(place, tmp_path / "o", "a", "b", "--points", 2, "--lines", "0,0.2,0.4,0.6,0.8", "--save-best").report
    averages = [(one["raw"]["id_val"], "point") for one in found["interpolation"]["points"]]
    averages += [(one["raw"]["id_val"], "scaled by depth") for one in found["interpolation"]["scaled_by_depth"]]
    top = min(averages, key=lambda one: (-one[0]["accuracy"], one[0]["loss"]))
    assert found["interpolation"]["best"]["kind"] == top[1]
    assert found["interpolation"]["best"]["id_val"] == top[0]
    assert found["results"]["id_val"]["accuracy"] == top[0]["accuracy"]
    shown = inside("report", tmp_path / "o").stdout
    assert "Scaled by depth" in shown
