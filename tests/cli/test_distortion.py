"""`ftcli distortion` as a user types it, against features that timm alone computes and the definitions in NumPy."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy.linalg import subspace_angles
from timm.data import create_transform

from ftcli.data.loader import Loader
from ftcli.engine.device import Machine
from ftcli.engine.run_inputs import RunInputs
from ftcli.explain.distortion.measure import Extras, ModelSums, NamedModel, PairSums, compare_models
from ftcli.explain.distortion.paired_outputs import paired_block_outputs
from ftcli.log import Log
from ftcli.model.block_outputs import find_block_ends, pooled_outputs
from ftcli.model.names import PENULTIMATE
from ftcli.report.schema import report_schema
from tests.cli.test_requests import refused
from tests.helpers.ended import Ended
from tests.helpers.program import checkpoint, inside, read
from tests.helpers.tiny import SIX, tiny
from tests.helpers.worlds import DATA_CONFIG, coloured, world
from tests.unit.test_outputs import resnet
from tests.unit.test_similarity import hsic, textbook

MODEL = ["--image-size", 32, "--threads", 1, "--batch-size", 16]
BLOCKS = ["stem", "layer1", "layer2", "layer3", "layer4", PENULTIMATE]
MACHINE = Machine(torch.device("cpu"), "fp32", 0)
Features = dict[str, np.ndarray]  # {block: [N, C]}


# ---- the passes


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Loader:
    """45 pictures, in batches of 16."""
    return only_id_test(tmp_path_factory.mktemp("pictures"), 15, 16).sets["id_test"]


def only_id_test(root: Path, each: int, batch_size: int) -> RunInputs:
    train, test = coloured(root / "train"), coloured(root / "test", each=each, seed=1, noise=200)
    whole, _ = world(train, "probe", id_test=str(test), batch_size=batch_size)
    return replace(whole, sets={"id_test": whole.sets["id_test"]})


def joined(batches: list[list[dict[str, torch.Tensor]]], i: int) -> Features:
    """What model i put out, over all batches."""
    return {name: torch.cat([one[i][name] for one in batches]).double().numpy() for name in batches[0][i]}


def test_side_by_side_is_one_model_after_the_other(loader: Loader) -> None:
    models = [tiny("test_resnet"), tiny("test_vit", seed=1).train(), tiny("test_resnet", seed=2)]
    batches = list(paired_block_outputs(models, loader, MACHINE, Log(), "x"))
    assert not any(module.training for model in models for module in model.modules())
    assert [len(one[0][PENULTIMATE]) for one in batches] == [16, 16, 13]
    for i, model in enumerate(models):
        found = joined(batches, i)
        with torch.inference_mode():
            images = torch.cat([batch.images for batch in loader.ordered()])
            expected = pooled_outputs(model, find_block_ends(model, images[:2]), images)
        assert list(found) == list(expected)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-5, err_msg=name)


def test_a_seed_draws_an_order_and_every_example_comes_once(loader: Loader) -> None:
    models = [tiny("test_resnet"), tiny("test_resnet", seed=1)]
    plain, drawn, again, other = (
        list(paired_block_outputs(models, loader, MACHINE, Log(), "x", seed=seed)) for seed in (None, 3, 3, 4)
    )
    order = None
    for i in range(2):
        rows = [joined(one, i)[PENULTIMATE] for one in (plain, drawn, again, other)]
        near = np.linalg.norm(rows[1][:, None] - rows[0][None], axis=2).argmin(1)
        assert sorted(near) == list(range(45)) and (near != np.arange(45)).mean() > 0.9
        np.testing.assert_allclose(rows[1], rows[0][near], rtol=1e-3, atol=1e-5)
        assert np.array_equal(rows[1], rows[2]) and not np.array_equal(rows[1], rows[3])
        assert order is None or np.array_equal(order, near)  # both models see the same pictures
        order = near


def test_unbiased_goes_over_batches_of_256_in_the_drawn_order(tmp_path: Path) -> None:
    models, inputs = [tiny("test_resnet"), tiny("test_resnet", seed=1)], only_id_test(tmp_path, 87, 32)
    (found,) = compare_models(
        NamedModel("A", models[0]),
        [NamedModel("B", one) for one in models[1:]],
        inputs,
        Extras(k=4, unbiased=True, seed=5),
        Log(),
    )
    batches = list(paired_block_outputs(models, inputs.sets["id_test"], MACHINE, Log(), "x", seed=5))
    A, B = joined(batches, 0), joined(batches, 1)
    assert list(found["similarity"]["id_test"]["unbiased"]) == BLOCKS
    for name, value in found["similarity"]["id_test"]["unbiased"].items():
        assert value == pytest.approx(unbiased(A[name], B[name]), abs=1e-6), name
        assert found["similarity"]["id_test"][name] == pytest.approx(textbook(A[name], B[name]), abs=1e-6), name


def unbiased(A: np.ndarray, B: np.ndarray) -> float:
    """The ratio of means of HSIC₁ over batches of 256."""
    cuts = [slice(i, i + 256) for i in range(0, len(A), 256)]
    grams = [(a @ a.T, b @ b.T) for a, b in ((A[cut] - A.mean(0), B[cut] - B.mean(0)) for cut in cuts)]
    xy, xx, yy = (np.mean([hsic(*pair) for pair in pairs]) for pairs in (
        grams, [(K, K) for K, _ in grams], [(L, L) for _, L in grams],
    ))  # fmt: skip
    return float(xy / np.sqrt(xx * yy))


def elements(value: Any) -> int:
    """How many numbers an object keeps, in whatever it is made of."""
    if isinstance(value, torch.Tensor):
        return value.numel()
    if isinstance(value, dict | list | tuple):
        return sum(map(elements, value.values() if isinstance(value, dict) else value))
    return elements(vars(value)) if hasattr(value, "__dict__") else 1


def test_memory_does_not_grow_with_the_set() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = set()
    for count in (16, 160):
        pair, own = PairSums(Extras(matrix=True, unbiased=True)), ModelSums()
        for _ in range(count):
            batch = {name: torch.randn(32, C, generator=generator).double() for name, C in (("a", 5), ("b", 9))}
            pair.add(batch, {name: values + 1 for name, values in batch.items()})
            own.add(batch)
        sizes.add(elements(pair) + elements(own))
    assert len(sizes) == 1


@pytest.mark.parametrize("name", [name for name in SIX if name != "mobilenetv3_small_050"])
def test_any_family_against_itself(name: str, tmp_path: Path) -> None:
    inputs, log = only_id_test(tmp_path, 3, 4), Log()
    (found,) = compare_models(
        NamedModel("A", tiny(name)), [NamedModel("B", tiny(name))], inputs, Extras(matrix=True), log
    )
    for one in found["distortion"]["id_test"].values():
        assert (one["mean"], one["se"], one["rms"], one["relative"], one["dropped"]) == (0, 0, 0, 0, 0)
        assert one["cosine"] == pytest.approx(1, abs=1e-12)
    similarity = found["similarity"]["id_test"].to_dict()
    matrix = similarity.pop("matrix")
    assert list(similarity.values()) == pytest.approx([1] * len(similarity), abs=1e-12)
    values = np.array(matrix["values"])
    np.testing.assert_allclose(values, values.T, atol=1e-9)
    assert found["distortion"]["subspace"]["id_test"]["k"] == 8  # of nine pictures
    assert [warning["code"] for warning in log.warnings] == ["subspace-smaller"]


# ---- the command


def saved(folder: Path, source: Path, keep: Any = lambda name: True) -> Path:
    """A copy of a model's folder with some of its tensors."""
    shutil.copytree(source, folder)
    tensors = load_file(source / "model.safetensors")
    save_file({name: t for name, t in tensors.items() if keep(name)}, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, its probe and two fine-tunings; another head, none; other models; the sets."""
    root = tmp_path_factory.mktemp("distortion")
    train = coloured(root / "train", each=12, noise=150)
    coloured(root / "test", each=14, seed=1, noise=150)
    coloured(root / "far", classes=2, each=15, seed=2, noise=250)
    coloured(root / "few", classes=1, each=5, seed=3)
    coloured(root / "one", classes=1, each=1, seed=4)
    checkpoint(root / "start", classes=3)
    checkpoint(root / "vit", "test_vit", classes=3)
    saved(root / "headless", root / "start", lambda name: not name.startswith("fc."))
    shutil.copytree(root / "start", root / "twin")
    common = ["--checkpoint", root / "start", "--train", train, "--augment", "none", *MODEL]
    tune = ["finetune", *common, "--epochs", 1, "--lr"]
    for name, words in {
        "probe": ["probe", *common],
        "b": [*tune, "1e-2"],
        "c": [*tune, "1e-3", "--bn", "eval"],
    }.items():
        done = inside(*words, "--out", root / name)
        assert done.returncode == 0, done.stderr
    five = load_file(root / "b" / "model.safetensors")
    five["fc.weight"], five["fc.bias"] = torch.ones(5, five["fc.weight"].shape[1]), torch.ones(5)
    checkpoint(root / "five", classes=5)
    save_file(five, root / "five" / "model.safetensors")
    return root


def words(place: Path, *models: str, sets: tuple[str, ...] = ("test", "far")) -> list[Any]:
    roles = {"test": ["--id-test", place / "test"]}
    asked = [word for name in sets for word in roles.get(name, ["--ood", f"{name}={place / name}"])]
    return ["distortion", *(place / model for model in models), *asked, *MODEL]


def measured(place: Path, out: Path, *models: str, sets: tuple[str, ...] = ("test", "far"), more: Any = ()) -> Ended:
    return inside(*words(place, *models, sets=sets), *more, "--json", "--out", out)


@pytest.fixture(scope="module")
def report(place: Path) -> dict[str, Any]:
    """Everything there is, of two models against the checkpoint."""
    return measured(place, place / "run", "start", "b", "c", more=("--matrix", "--unbiased", "--k", 6)).report


def alone(model: Path, pictures: Path) -> Features:
    """Pooled outputs by timm and nothing else, all pictures at once."""
    config = {key: DATA_CONFIG[key] for key in ("interpolation", "mean", "std", "crop_pct", "crop_mode")}
    transform = create_transform(input_size=(3, 32, 32), is_training=False, **config)
    images = torch.stack([transform(Image.open(path)) for path in sorted(pictures.glob("*/*.png"))])
    network = timm.create_model(f"local-dir:{model}", pretrained=True).eval()
    with torch.inference_mode():
        return {name: values.double().numpy() for name, values in resnet(network, images).items()}


@pytest.fixture(scope="module")
def features(place: Path) -> dict[tuple[str, str], Features]:
    """{(model, set): pooled outputs}."""
    sets = {"id_test": "test", "far": "far"}
    return {(model, name): alone(place / model, place / sets[name]) for model in ("start", "b", "c") for name in sets}


def pairs(report: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each model after the first: its name, and what is said of it."""
    yield "b", {key: report[key] for key in ("distortion", "similarity", "parameters")}
    (other,) = report["others"]
    assert other["label"] == "c"
    yield "c", other


def test_the_reports_form(report: dict[str, Any], place: Path) -> None:
    jsonschema.validate(report, report_schema())
    assert report["command"] == "distortion" and read(place / "run") == report
    assert {warning["code"] for warning in report["warnings"]} == {"classes-by-position"}  # the start has no names
    assert [model["label"] for model in report["models"]] == ["start", "b", "c"]
    assert set(report["distortion"]) == {"id_test", "far", "ratio", "subspace"}
    assert not (place / "run" / "model.safetensors").exists()


def test_what_made_a_model_stands_beside_it(report: dict[str, Any], place: Path) -> None:
    made = [model["made_by"] for model in report["models"]]
    assert made[0] is None
    for one, lr, bn in ((made[1], 1e-2, "train"), (made[2], 1e-3, "eval")):
        assert (one["command"], one["lr"], one["bn"], one["epoch"]) == ("finetune", lr, bn, 1)
    text = inside("report", place / "run").stdout
    assert "0.01" in text and "0.001" in text and "eval" in text


def test_distances_by_their_definition(report: dict[str, Any], features: dict[tuple[str, str], Features]) -> None:
    for model, said in pairs(report):
        for name in ("id_test", "far"):
            found = said["distortion"][name]
            assert list(found) == BLOCKS
            for block, one in found.items():
                A, B = features["start", name][block], features[model, name][block]
                moved, size = np.linalg.norm(B - A, axis=1), np.linalg.norm(A, axis=1)
                cosine = (A * B).sum(1) / size / np.linalg.norm(B, axis=1)
                assert one == pytest.approx({
                    "mean": moved.mean(), "se": moved.std(ddof=1) / len(A) ** 0.5,
                    "rms": moved.mean() / A.shape[1] ** 0.5, "relative": (moved / size).mean(),
                    "cosine": cosine.mean(), "dropped": 0,
                }, rel=1e-3), (model, name, block)  # fmt: skip
                assert moved.mean() > 1e-4


def test_ratio_of_id_to_ood(report: dict[str, Any]) -> None:
    for _, said in pairs(report):
        found = said["distortion"]
        assert list(found["ratio"]) == ["far"]
        for block, value in found["ratio"]["far"].items():
            assert value == pytest.approx(found["id_test"][block]["mean"] / found["far"][block]["mean"])


def test_similarity_by_its_definition(report: dict[str, Any], features: dict[tuple[str, str], Features]) -> None:
    for model, said in pairs(report):
        for name in ("id_test", "far"):
            A, B = features["start", name], features[model, name]
            found = said["similarity"][name]
            assert [key for key in found if key not in ("unbiased", "matrix")] == BLOCKS
            for block in BLOCKS:
                assert found[block] == pytest.approx(textbook(A[block], B[block]), abs=1e-4), block
                assert found["unbiased"][block] == pytest.approx(unbiased(A[block], B[block]), abs=1e-3), block
            matrix = found["matrix"]
            assert matrix["rows"] == matrix["columns"] == BLOCKS
            expected = [[textbook(A[row], B[column]) for column in BLOCKS] for row in BLOCKS]
            np.testing.assert_allclose(matrix["values"], expected, atol=1e-4)


def test_subspaces_by_their_definition(report: dict[str, Any], features: dict[tuple[str, str], Features]) -> None:
    for model, said in pairs(report):
        for name in ("id_test", "far"):
            A, B = (features[one, name][PENULTIMATE] for one in ("start", model))
            tops = [np.linalg.svd(part - part.mean(0))[2][:6] for part in (A, B)]
            angles = subspace_angles(*(top.T for top in tops))
            found = said["distortion"]["subspace"][name]
            assert found["k"] == 6
            np.testing.assert_allclose(np.deg2rad(found["angles"]), angles, atol=1e-3)
            sigma = np.linalg.svd(tops[0] @ tops[1].T)[1].min()
            assert found["d"] == pytest.approx(np.sqrt(2 - 2 * sigma), abs=1e-3)


def test_weights_by_their_definition(report: dict[str, Any], place: Path) -> None:
    A = load_file(place / "start" / "model.safetensors")
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    for model, said in pairs(report):
        B = load_file(place / model / "model.safetensors")
        for block, one in said["parameters"].items():
            names = [
                name for name in A
                if not name.endswith(buffers) and (
                    block == "total" or name.startswith(("conv1.", "bn1.") if block == "stem" else f"{block}.")
                )
            ]  # fmt: skip
            moved = np.sqrt(sum((B[name].double() - A[name].double()).square().sum().item() for name in names))
            size = np.sqrt(sum(A[name].double().square().sum().item() for name in names))
            assert one == pytest.approx({"l2": moved, "relative": moved / size}, rel=1e-9), (model, block)
        assert set(said["parameters"]) == {*BLOCKS[:-1], "fc", "total"}


@pytest.mark.parametrize("size", [5, 64])
def test_batches_do_not_matter(report: dict[str, Any], place: Path, tmp_path: Path, size: int) -> None:
    more = ("--matrix", "--unbiased", "--k", 6, "--batch-size", size)
    other = measured(place, tmp_path / "o", "start", "b", "c", more=more).report
    for key in ("distortion", "similarity"):
        one, two = (np.array(list(numbers(r[key])), dtype=float) for r in (report, other))
        np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-3)


def numbers(value: Any) -> Iterator[float]:
    """All numbers of a part of a report, in order."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers(part)
    elif not isinstance(value, str) and value is not None:
        yield value


def test_a_model_with_itself(place: Path, tmp_path: Path) -> None:
    """Exactly nothing, and a warning: two files of the same bytes are a slip more often than a wish."""
    found = measured(place, tmp_path / "o", "b", "b", more=("--unbiased",)).report
    assert "identical-files" in [warning["code"] for warning in found["warnings"]]
    nothing_moved(found, ["id_test", "far"])
    assert all(one == {"l2": 0.0, "relative": 0.0} for one in found["parameters"].values())


def test_another_file_of_the_same_bytes(place: Path, tmp_path: Path) -> None:
    found = measured(place, tmp_path / "o", "start", "twin").report
    (warning,) = [one for one in found["warnings"] if one["code"] == "identical-files"]
    assert "twin" in warning["text"] and "start" in warning["text"]


def test_a_probe_moves_no_feature(place: Path, tmp_path: Path) -> None:
    found = measured(place, tmp_path / "o", "start", "probe").report
    assert "identical-files" not in [warning["code"] for warning in found["warnings"]]
    nothing_moved(found, ["id_test", "far"])
    assert {name for name, one in found["parameters"].items() if one["l2"]} == {"fc", "total"}


def nothing_moved(report: dict[str, Any], sets: list[str]) -> None:
    for name in sets:
        for one in report["distortion"][name].values():
            assert (one["mean"], one["se"], one["rms"], one["relative"]) == (0.0, 0.0, 0.0, 0.0)
            assert one["cosine"] == pytest.approx(1, abs=1e-12)
        similarity = report["similarity"][name] | {"again": report["similarity"][name].get("unbiased", {})}
        for value in numbers(similarity):
            assert value == pytest.approx(1, abs=1e-12)
        subspace = report["distortion"]["subspace"][name]
        assert subspace["d"] < 1e-12 and max(subspace["angles"]) < 1e-10
    assert set(report["distortion"]["ratio"]["far"].values()) == {None}


def test_a_file_without_a_head(place: Path, tmp_path: Path, report: dict[str, Any]) -> None:
    """Features need none; and the weights of a head that is not there are at no distance."""
    found = measured(place, tmp_path / "o", "headless", "b", more=("--k", 6)).report
    assert list(numbers(found["distortion"])) == pytest.approx(list(numbers(report["distortion"])), rel=1e-4)
    assert set(found["parameters"]) == {*BLOCKS[:-1], "total"}
    body = {name: one for name, one in report["parameters"].items() if name not in ("fc", "total")}
    assert {name: found["parameters"][name] for name in body} == body
    total = sum(one["l2"] ** 2 for one in body.values()) ** 0.5
    assert found["parameters"]["total"]["l2"] == pytest.approx(total)


def test_a_head_of_other_classes_is_left_out(place: Path, tmp_path: Path, report: dict[str, Any]) -> None:
    found = measured(place, tmp_path / "o", "start", "five", more=("--k", 6)).report
    assert [warning["code"] for warning in found["warnings"]] == ["head-left-out"]
    assert list(numbers(found["distortion"])) == pytest.approx(list(numbers(report["distortion"])), rel=1e-4)
    assert "fc" not in found["parameters"] and found["parameters"]["layer4"] == report["parameters"]["layer4"]


def test_fewer_examples_than_k(place: Path, tmp_path: Path) -> None:
    found = measured(place, tmp_path / "o", "start", "b", sets=("test", "few")).report
    assert found["distortion"]["subspace"]["id_test"]["k"] == 16
    few = found["distortion"]["subspace"]["few"]
    assert few["k"] == 4 == len(few["angles"]) and 0 < few["d"] <= 2**0.5
    by_position, warning = found["warnings"]
    assert by_position["code"] == "classes-by-position"
    assert warning["code"] == "subspace-smaller" and "few" in warning["text"] and "4" in warning["text"]


def test_one_example(place: Path, tmp_path: Path) -> None:
    found = measured(place, tmp_path / "o", "start", "b", sets=("one",), more=("--unbiased", "--matrix")).report
    for block in BLOCKS:
        one = found["distortion"]["one"][block]
        assert one["mean"] > 0 and one["se"] is None and found["similarity"]["one"][block] is None
    assert set(found["similarity"]["one"]["unbiased"].values()) == {None}
    assert found["distortion"]["subspace"]["one"]["k"] == 0 and found["distortion"]["ratio"] == {}


def test_sets_cut_from_train(place: Path, tmp_path: Path) -> None:
    """ID-val stands in for ID-test where only that is there; labels play no part."""
    sets = ["--train", place / "train", "--ood", f"far={place / 'far'}"]
    found = inside("distortion", place / "start", place / "b", *sets, *MODEL, "--json", "--out", tmp_path / "o").report
    assert {"id_val", "id_test", "far"} < set(found["distortion"])
    sets = ["--id-val", place / "test", "--ood", f"far={place / 'far'}"]
    found = inside("distortion", place / "start", place / "b", *sets, *MODEL, "--json", "--out", tmp_path / "p").report
    inner, outer = (found["distortion"][name]["layer4"]["mean"] for name in ("id_val", "far"))
    assert found["distortion"]["ratio"]["far"]["layer4"] == pytest.approx(inner / outer)


def test_tables_name_every_block_and_model(place: Path, tmp_path: Path) -> None:
    done = inside(*words(place, "start", "b", "c"), "--out", tmp_path / "o")
    assert done.returncode == 0
    for word in (*BLOCKS, "start", "far", "CKA"):
        assert word in done.stdout, word


def test_figure(place: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = measured(place, tmp_path / "o", "start", "b", more=("--plot", tmp_path / "figure.svg"))
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert "<svg" in text and "layer4" in text


def test_wrong_requests(place: Path, tmp_path: Path) -> None:
    sets = words(place)[1:]
    nan = saved(tmp_path / "nan", place / "b")
    tensors = load_file(nan / "model.safetensors")
    tensors["layer1.0.conv1.weight"][0] = float("nan")
    save_file(tensors, nan / "model.safetensors")
    start = place / "start"
    for i, (asked, word) in enumerate([
        ([start, *sets], "two models"),
        ([start, place / "vit", *sets], "test_vit"),
        ([start, place / "bb", *sets], "bb"),
        ([start, nan, *sets], "NaN"),
        ([start, place / "b", *MODEL], "set"),
        ([start, place / "b", *sets, "--k", 0], "--k"),
        ([start, place / "b", *sets, "--plot", tmp_path / "figure.docx"], "figure.docx"),
        ([start, place / "b", "--id-test", place / "tset", *MODEL], "tset"),
    ]):  # fmt: skip
        assert word in refused("distortion", *asked, out=tmp_path / f"out{i}")


def test_features_beyond_the_largest_number(place: Path, tmp_path: Path) -> None:
    """Weights that are finite and features that are not: figures, or an error that says so; no fault of the program."""
    large = saved(tmp_path / "large", place / "b")
    tensors = load_file(large / "model.safetensors")
    save_file({name: 1e30 * t if t.ndim > 1 else t for name, t in tensors.items()}, large / "model.safetensors")
    done = measured(place, tmp_path / "o", "start", str(large))
    assert "please report it" not in done.stderr
    if done.returncode:
        assert "finite" in done.stderr and "large" in done.stderr and not (tmp_path / "o").exists()


def test_limit_chooses_what_it_chooses_elsewhere(place: Path, tmp_path: Path) -> None:
    """Labels play no part in a distance, but limit= must choose the same pictures as in any other command."""
    spec = f"{place / 'test'}?limit=7:3"
    asked = ["--id-test", spec, *MODEL, "--json", "--out"]
    moved = inside("distortion", place / "b", place / "c", *asked, tmp_path / "d").report
    judged = inside("evaluate", place / "b", *asked, tmp_path / "e").report
    assert moved["data"]["id_test"]["fingerprint"] == judged["data"]["id_test"]["fingerprint"]


@pytest.mark.parametrize("columns", ["60", "120"])
def test_a_narrow_terminal_gets_fewer_figures(
    report: dict[str, Any], place: Path, tmp_path: Path, columns: str
) -> None:
    (tmp_path / "report.json").write_text(json.dumps(report))
    done = inside("report", tmp_path, COLUMNS=columns)
    table = done.stdout.partition("Features")[2].partition("distance:")[0].splitlines()[1:]
    assert done.returncode == 0 and max(map(len, table)) <= int(columns)
    assert "CKA" in table[0].split() and ("angle" in table[0].split()) == (columns != "60")
