"""--estimate and sets without labels: what a report says of accuracies that are not known, through the command line."""

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from ftcli.engine.features import frozen_body
from tests.helpers.program import PAINT, SMALL, Work, inside, read, work
from tests.helpers.worlds import coloured

ALL = ["cott", "cot", "atc_entropy", "atc", "average_confidence", "doc"]
STANDARD = ["atc_entropy", "atc", "average_confidence", "doc"]  # of few images: no estimate by transport


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("estimates"))


@pytest.fixture(scope="module")
def probed(tiny: Work, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "probe"
    done = inside("probe", *tiny.words, "--ood", f"hidden={tiny.far}?labels=none", "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def evaluated(model: Path, tiny: Work, out: Path, *more: Any) -> dict[str, Any]:
    sets = ["--id-val", f"{tiny.train}?limit=60:0", "--ood", f"far={tiny.far}"]
    done = inside("evaluate", model, *sets, *more, "--image-size", 32, "--threads", 1, "--out", out)
    assert done.returncode == 0, done.stderr
    return read(out)


def test_a_set_without_labels_has_them_unasked(probed: Path) -> None:
    results = read(probed)["results"]
    assert list(results["unlabelled"]["hidden"]["estimates"]) == STANDARD
    assert all("estimates" not in figures for figures in results["ood"].values())
    for estimate in results["unlabelled"]["hidden"]["estimates"].values():
        assert set(estimate) == {"accuracy"} and 0 <= estimate["accuracy"] <= 1
    assert any("below 500" in warning["text"] for warning in read(probed)["warnings"])
    shown = inside("report", probed, COLUMNS="80").stdout
    assert "Estimated accuracy, in per cent" in shown and "the first is the default" in shown


def test_a_set_with_labels_has_the_error_of_each(tiny: Work, probed: Path, tmp_path: Path) -> None:
    results = evaluated(probed, tiny, tmp_path / "e", "--estimate", "standard,dis2")["results"]
    far = results["ood"]["far"]
    assert list(far["estimates"]) == [*ALL, "dis2"] and "estimates" not in results["id_val"]
    for name, estimate in far["estimates"].items():
        value = estimate["lower_bound" if name == "dis2" else "accuracy"]
        assert estimate["error"] == pytest.approx(value - far["accuracy"], abs=1e-12)


def test_more_images_have_the_estimates_by_transport_too(tiny: Work, probed: Path, tmp_path: Path) -> None:
    many = coloured(tmp_path / "many", each=40)
    (many / "class1").rename(many / PAINT)
    sets = ["--id-val", many, "--ood", f"few={many}?limit=15:1", "--ood", f"many={many}", "--estimate", "standard"]
    done = inside("evaluate", probed, *sets, "--image-size", 32, "--threads", 1, "--out", tmp_path / "e")
    assert done.returncode == 0, done.stderr
    few, same = (read(tmp_path / "e")["results"]["ood"][name]["estimates"] for name in ("few", "many"))
    assert list(few) == STANDARD and list(same) == ALL
    assert same["cot"]["accuracy"] <= same["average_confidence"]["accuracy"] + 1e-12
    assert "few: cott and cot are left out, because chance" in done.stderr and "many: cot" not in done.stderr


def test_a_restricted_set_compares_with_the_same_classes_of_id_val(tiny: Work, probed: Path, tmp_path: Path) -> None:
    """The labelled set is restricted to the classes that it has. ATC on ID-val itself is its accuracy among them."""
    report = evaluated(probed, tiny, tmp_path / "e", "--ood", f"part={tiny.train}?limit=60:0", "--estimate", "standard")
    assert report["data"]["ood"]["far"]["restricted_to"] is not None
    part, id_val = report["results"]["ood"]["part"], report["results"]["id_val"]
    assert part["estimates"]["atc"]["accuracy"] == pytest.approx(id_val["accuracy"], abs=1e-12)
    logits = load_file(tmp_path / "e" / "logits.safetensors")
    allowed = report["data"]["ood"]["far"]["restricted_to"]
    best = logits["0/far"].astype(np.float64)[:, allowed]
    labels = pq.read_table(tmp_path / "e" / "predictions.parquet")
    labels = labels.filter(pc.equal(labels["set"], "far"))
    predicted = np.array(report["data"]["classes"])[np.array(allowed)[best.argmax(1)]]
    assert predicted.tolist() == labels["predicted"].to_pylist()


def test_it_may_be_typed_without_a_value(tiny: Work, probed: Path, tmp_path: Path) -> None:
    sets = ["--id-val", f"{tiny.train}?limit=60:0", "--ood", f"far={tiny.far}"]
    for i, words in enumerate(
        (["--estimate", *sets, probed], [probed, *sets, "--estimate"], ["--estimate", probed, *sets])
    ):
        done = inside("evaluate", *words, "--image-size", 32, "--threads", 1, "--out", tmp_path / str(i))
        assert done.returncode == 0, done.stderr
        assert list(read(tmp_path / str(i))["results"]["ood"]["far"]["estimates"]) == ALL
    wrong = inside("evaluate", probed, *sets, "--estimate=atk", "--out", tmp_path / "o")
    assert wrong.returncode == 2 and "standard, nuclear" in wrong.stderr


def test_without_id_val_there_is_none_and_it_is_said(tiny: Work, probed: Path, tmp_path: Path) -> None:
    done = inside("evaluate", probed, "--ood", f"new={tiny.far}?labels=none", "--out", tmp_path / "e", *SMALL[:2])
    assert done.returncode == 0 and "add --id-val SPEC" in done.stderr
    assert read(tmp_path / "e")["results"]["unlabelled"]["new"].keys() == {"n"}
    asked = inside("evaluate", probed, "--ood", f"far={tiny.far}", "--estimate", "standard", "--out", tmp_path / "f")
    assert asked.returncode == 2 and "--estimate standard" in asked.stderr and not (tmp_path / "f").exists()


def test_the_nuclear_norm_needs_corrupted_images_once(tiny: Work, probed: Path, tmp_path: Path) -> None:
    words = ["--estimate", "nuclear", "--id-val", f"{tiny.train}?limit=8:0"]
    first = evaluated(probed, tiny, tmp_path / "a", *words)
    nuclear = first["results"]["ood"]["far"]["estimates"]["nuclear"]
    assert set(nuclear) == {"accuracy", "line_error", "error"}
    again = inside("evaluate", probed, "--ood", f"far={tiny.far}", *words, *SMALL[:4], "--threads", 1, "--out",
                   tmp_path / "b", "--progress", "json")  # fmt: skip
    assert again.returncode == 0 and "fog:3" not in again.stderr, again.stderr[-500:]
    corrupted = ["--id-val", f"{tiny.train}?limit=8:0&shift=fog:1", "--ood", f"far={tiny.far}", "--estimate", "nuclear"]
    refused = inside("evaluate", probed, *corrupted, "--out", tmp_path / "c", *SMALL[:2])
    assert refused.returncode == 2 and "corrupted already" in refused.stderr and not (tmp_path / "c").exists()


def test_estimates_by_agreement_need_heads_of_their_own(tiny: Work, tmp_path: Path) -> None:
    short = [*tiny.words, "--epochs", 1, "--lr", 1e-3]
    done = inside("finetune", *short, "--seeds", 5, "--estimate", "gde,aline", "--out", tmp_path / "f")
    assert done.returncode == 0, done.stderr
    results = read(tmp_path / "f")["results"]
    table = pq.read_table(tmp_path / "f" / "predictions.parquet")
    far = table.filter(pc.equal(table["set"], "far"))
    by_seed = [far.filter(pc.equal(far["seed"], seed))["predicted"].to_numpy(zero_copy_only=False) for seed in range(5)]
    same = [np.mean(by_seed[a] == by_seed[b]) for a in range(5) for b in range(a)]
    gde = results["ood"]["far"]["estimates"]["gde"]
    assert gde["accuracy"] == pytest.approx(np.mean(same)) and gde["models"] == 5
    assert gde["error"] == pytest.approx(gde["accuracy"] - results["ood"]["far"]["accuracy"])
    assert {f"{seed}/far" for seed in range(5)} <= set(load_file(tmp_path / "f" / "logits.safetensors"))
    for command, words, said in (
        ("lpft", short, "one head"),
        ("finetune", [*short, "--seeds", 4], "at least 5 seeds, and there are 4"),
        ("probe", tiny.words, "ftcli finetune … --seeds 5"),
    ):
        refused = inside(command, *words, "--estimate", "aline", "--out", tmp_path / command / "x")
        assert refused.returncode == 2 and said in refused.stderr, refused.stderr


def test_seeds_are_joined(tiny: Work, tmp_path: Path) -> None:
    words = ["--epochs", 1, "--lr", 1e-3, "--seeds", 2, "--ood", f"hidden={tiny.far}?labels=none"]
    done = inside("finetune", *tiny.words, *words, "--out", tmp_path / "f")
    assert done.returncode == 0, done.stderr
    report = read(tmp_path / "f")
    for name in STANDARD:
        of_seeds = [one["results"]["unlabelled"]["hidden"]["estimates"][name]["accuracy"] for one in report["seeds"]]
        joined = report["results"]["unlabelled"]["hidden"]["estimates"][name]["accuracy"]
        assert joined == pytest.approx(np.mean(of_seeds))


def test_adapt_has_no_one_model_to_corrupt_images_for(tiny: Work, probed: Path, tmp_path: Path) -> None:
    sets = ["--id-val", f"{tiny.train}?limit=20:0", "--ood", f"new={tiny.far}?labels=none"]
    done = inside("adapt", "--checkpoint", probed, *sets, "--out", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    assert list(read(tmp_path / "a")["results"]["unlabelled"]["new"]["estimates"]) == STANDARD
    refused = inside("adapt", "--checkpoint", probed, *sets, "--estimate", "nuclear", "--out", tmp_path / "b")
    assert refused.returncode == 2 and "leave nuclear out" in refused.stderr


@pytest.mark.parametrize("more", [[], ["--estimate", "standard"]])
def test_estimates_need_no_pass_of_their_own(tiny: Work, probed: Path, tmp_path: Path, more: list[str]) -> None:
    sets = ["--id-val", f"{tiny.train}?limit=60:0", "--ood", f"new={tiny.far}?labels=none", "--ood", f"far={tiny.far}"]
    with mock.patch.object(frozen_body, "passes", wraps=frozen_body.passes) as passes:
        done = inside("evaluate", probed, *sets, *more, "--no-cache", "--image-size", 32, "--out", tmp_path / "e")
    assert done.returncode == 0, done.stderr
    assert passes.call_count == 3
