"""labels=none: a set that is predicted on and never scored, in every command; and what is refused."""

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.helpers.pictures import picture
from tests.helpers.program import SMALL, Work, inside, read, work


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("unlabelled"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images without class folders."""
    root = tmp_path_factory.mktemp("bare")
    for i in range(7):
        picture(i, (32, 32)).save(root / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def probed(tiny: Work, bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "probe"
    words = [*tiny.words, "--ood", f"new={bare}?labels=none", "--ood", f"hidden={tiny.far}?labels=none", "--out", out]
    done = inside("probe", *words)
    assert done.returncode == 0, done.stderr
    return out


def keys_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for part in value.values() for key in keys_of(part)}
    return {key for part in value for key in keys_of(part)} if isinstance(value, list) else set()


def test_a_report_has_the_number_and_no_accuracy(tiny: Work, probed: Path) -> None:
    report = read(probed)
    results = report["results"]
    sizes = {name: entry["n"] for name, entry in results["unlabelled"].items()}
    assert sizes == {"new": 7, "hidden": report["data"]["ood"]["hidden"]["n"]}
    assert list(results["ood"]) == ["far"] and results["ood_mean"]["accuracy"] == results["ood"]["far"]["accuracy"]
    assert report["data"]["ood"]["new"]["classes"] == 0 and report["data"]["ood"]["new"]["n"] == 7
    table = pq.read_table(probed / "predictions.parquet")
    for name in ("new", "hidden"):
        rows = table.filter(pc.equal(table["set"], name))
        assert len(rows) == results["unlabelled"][name]["n"] and rows["label"].null_count == len(rows)
        assert rows["predicted"].null_count == rows["probability"].null_count == 0
    hidden, far = (table.filter(pc.equal(table["set"], name)) for name in ("hidden", "far"))
    of_far = dict(zip(far["example"].to_pylist(), far["predicted"].to_pylist(), strict=True))
    same = [predicted == of_far[id] for id, predicted in zip(hidden["example"].to_pylist(),
            hidden["predicted"].to_pylist(), strict=True) if id in of_far]  # fmt: skip
    assert len(hidden) > len(far) and sum(same) > len(same) / 2  # of `far` a class is dropped, and one restricted away


def test_tables_show_a_dash(probed: Path) -> None:
    shown = inside("report", probed, COLUMNS="80").stdout
    (line,) = [line for line in shown.splitlines() if line.startswith("LP ")]
    assert line.split()[-3:-1] == ["-", "-"] and "-: a set without labels" in shown  # new, hidden, then the mean


def test_images_without_labels_are_in_no_mean(probed: Path) -> None:
    warnings = [warning["text"] for warning in read(probed)["warnings"]]  # "hidden" has the images of "far"
    assert not any("counts them twice" in text for text in warnings)


def test_evaluate_on_nothing_but_unlabelled_sets(tiny: Work, bare: Path, probed: Path, tmp_path: Path) -> None:
    done = inside(
        "evaluate", probed, "--ood", f"new={bare}?labels=none", "--per-class", "--out", tmp_path / "e", *SMALL[2:4]
    )
    assert done.returncode == 0, done.stderr
    results = read(tmp_path / "e")["results"]
    assert results["ood_mean"] is None and results["ood"] == {} and results["unlabelled"] == {"new": {"n": 7}}
    assert "accuracy" not in keys_of(results)
    again = inside("compare", probed, tmp_path / "e")
    assert again.returncode == 0, again.stderr
    alone = inside("compare", tmp_path / "e")
    assert alone.returncode == 2 and "none of the reports has an accuracy" in alone.stderr


def test_compare_pairs_the_sets_with_labels(tiny: Work, bare: Path, probed: Path, tmp_path: Path) -> None:
    done = inside(
        "evaluate", probed, "--ood", f"far={tiny.far}", "--ood", f"new={bare}?labels=none", "--out", tmp_path / "e"
    )
    assert done.returncode == 0, done.stderr
    compared = inside("compare", probed, tmp_path / "e", "--json")
    assert compared.returncode == 0, compared.stderr
    assert '"new"' not in compared.stdout and '"set": "far"' in compared.stdout


def test_agreement_needs_no_label(tiny: Work, bare: Path, probed: Path, tmp_path: Path) -> None:
    sets = ["--ood", f"far={tiny.far}", "--ood", f"new={bare}?labels=none"]
    done = inside("agreement", probed, probed, *sets, "--out", tmp_path / "a", COLUMNS="100")
    assert done.returncode == 0, done.stderr
    (pair,) = read(tmp_path / "a")["agreement"]["pairs"]
    assert list(pair["sets"]) == ["far"] and pair["unlabelled"]["new"]["agreement"] == 1.0
    assert pair["unlabelled"]["new"]["n"] == 7
    only = inside("agreement", probed, probed, *sets[2:], "--out", tmp_path / "b")
    assert only.returncode == 0, only.stderr
    sheet = inside("agreement", probed, probed, *sets[2:], "--out", tmp_path / "c", "--sheet", tmp_path / "s.png")
    assert sheet.returncode == 2 and "no set has labels" in sheet.stderr and not (tmp_path / "s.png").exists()


def test_interpolate_leaves_it_out_and_says_so(tiny: Work, bare: Path, probed: Path, tmp_path: Path) -> None:
    sets = ["--ood", f"far={tiny.far}", "--ood", f"new={bare}?labels=none"]
    done = inside("interpolate", probed, probed, *sets, "--points", 3, "--out", tmp_path / "i")
    assert done.returncode == 0 and "no loss and no accuracy along the line" in done.stderr, done.stderr
    assert all(set(point["raw"]) == {"far"} for point in read(tmp_path / "i")["interpolation"]["points"])
    only = inside("interpolate", probed, probed, *sets[2:], "--points", 3, "--out", tmp_path / "j")
    assert only.returncode == 2 and "no set has labels" in only.stderr and not (tmp_path / "j").exists()


def test_distortion_works_on_it(tiny: Work, bare: Path, probed: Path, tmp_path: Path) -> None:
    done = inside("distortion", probed, probed, "--ood", f"new={bare}?labels=none", "--out", tmp_path / "d")
    assert done.returncode == 0, done.stderr
    assert "new" in read(tmp_path / "d")["distortion"]


def test_adapt_adapts_to_it(tiny: Work, bare: Path, probed: Path, tmp_path: Path) -> None:
    sets = ["--ood", f"far={tiny.far}", "--ood", f"hidden={tiny.far}?labels=none&limit=20"]
    done = inside("adapt", "--checkpoint", probed, *sets, "--out", tmp_path / "t", COLUMNS="80")
    assert done.returncode == 0, done.stderr
    report = read(tmp_path / "t")
    (choice,) = report["choices"].values()
    assert list(choice["adaptation"]) == ["far"] and report["results"]["unlabelled"] == {"hidden": {"n": 20}}
    assert "add --id-val" in done.stderr  # of which an estimate of the accuracy would be made
    table = pq.read_table(tmp_path / "t" / "predictions.parquet")
    assert table.filter(pc.equal(table["set"], "hidden"))["label"].null_count == 20
    only = inside("adapt", "--checkpoint", probed, *sets[2:], "--out", tmp_path / "u")
    assert only.returncode == 0, only.stderr


def test_training_with_every_option_that_looks_at_ood_sets(tiny: Work, bare: Path, tmp_path: Path) -> None:
    words = [*tiny.words[:4], "--ood", f"new={bare}?labels=none", *SMALL, "--epochs", 1, "--lr", 1e-3]
    done = inside(
        "finetune", *words, "--id-test", f"{bare}?labels=none", "--ood-every-epoch", "--seeds", 2, "--confusion",
        "--out", tmp_path / "f",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = read(tmp_path / "f")
    assert set(report["results"]["unlabelled"]) == {"new", "id_test"} and "id_test" not in report["results"]
    assert "oracle" not in report and report["results"]["ood_mean"] is None
    surgical = inside("surgical", *words, "--blocks", "first,all", "--head", "probe", "--out", tmp_path / "s")
    assert surgical.returncode == 0, surgical.stderr


@pytest.mark.parametrize("role", ["--train", "--id-val"])
def test_sets_whose_labels_are_used_are_refused(tiny: Work, role: str, tmp_path: Path) -> None:
    words = ["--checkpoint", tiny.checkpoint, "--train", tiny.train, *SMALL, "--out", tmp_path / "o"]
    words = [*words, role, f"{tiny.train}?labels=none"]
    done = inside("probe", *words)
    assert done.returncode == 2 and role in done.stderr and "labels=none" in done.stderr
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("setting", ["label=x", "classes=m.json", "per-class=3"])
def test_settings_that_need_labels_are_refused(tiny: Work, setting: str) -> None:
    done = inside("data", f"{tiny.train}?labels=none&{setting}")
    assert done.returncode == 2 and setting.partition("=")[0] in done.stderr


def test_a_set_that_lacks_labels_is_told_of_the_setting(tiny: Work, bare: Path, probed: Path) -> None:
    done = inside("evaluate", probed, "--ood", f"new={bare}")
    assert done.returncode == 2 and f"{bare}?labels=none" in done.stderr
    needed = inside("evaluate", probed, "--id-val", bare)
    assert needed.returncode == 2 and "labels=none" not in needed.stderr


def test_data_shows_it(bare: Path, tmp_path: Path) -> None:
    done = inside("data", f"{bare}?labels=none", "--save", tmp_path / "s.png")
    assert done.returncode == 0 and "7 images without labels" in done.stdout, done.stderr
    assert (tmp_path / "s.png").exists()
