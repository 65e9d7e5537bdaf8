"""report.html of a run: made at its end or later to the same bytes, with its figures, pictures and warnings."""

import base64
import io
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ftcli.safe_text import printable
from tests.helpers.page_parser import Page
from tests.helpers.program import PAINT, Work, inside, read, work

PICTURE = re.compile(r'src="data:image/(png|jpeg);base64,([^"]+)"')


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def run(tiny: Work, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LP-FT with two rates and two seeds, and its page."""
    out = tmp_path_factory.mktemp("runs") / "lpft"
    options = ["--epochs", 2, "--lr", "1e-3,1e-2", "--seeds", 2, "--per-class", "--measure", "distortion", "--html"]
    done = inside("lpft", *tiny.words, *options, "--ood-every-epoch", "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def page_of(folder: Path) -> Page:
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def pictures(path: Path) -> Iterator[np.ndarray]:
    for _, content in PICTURE.findall(path.read_text(encoding="utf-8")):
        yield np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def mistakes(folder: Path, of: str) -> list[dict[str, object]]:
    """The wrong rows of the saved model on a set, the surest first."""
    seed = read(folder)["selected"]["seed"]
    rows = pq.read_table(folder / "predictions.parquet").to_pylist()
    wrong = [r for r in rows if r["set"] == of and r["seed"] == seed and r["label"] != r["predicted"]]
    return sorted(wrong, key=lambda row: -row["probability"])


def test_the_page_holds_what_the_report_says(run: Path) -> None:
    found, report = page_of(run), read(run)
    assert found.active() == []
    for heading in (
        "Summary", "Accuracy", "OOD against ID accuracy", "Training and selection", "Learning curves", "Distortion",
        "Reliability diagrams", "Confusion matrices", "Most confident mistakes", "Provenance", "Words",
    ):  # fmt: skip
        assert heading in found.by_tag["h2"] + found.by_tag["h3"], heading
    far = report["results"]["ood"]["far"]
    assert f"{100 * far['accuracy']:.1f}" in found.by_tag["b"] and f"{100 * far['balanced_accuracy']:.1f}" in found.text
    assert report["model"]["sha256"] in found.text and f"ftcli lpft --checkpoint {report['argv'][2]}" in found.text
    for data in [report["data"]["id_val"], *report["data"]["ood"].values()]:
        assert data["fingerprint"] in found.text and data["spec"] in found.text
    for warning in report["warnings"]:
        assert printable(warning["text"]) in found.text
    assert printable(PAINT) in found.text


def test_every_figure_and_table_is_explained(run: Path) -> None:
    content = (run / "report.html").read_text(encoding="utf-8")
    for figure in re.findall(r"<figure>.*?</figure>", content, re.S):
        if 'svg class="plot"' in figure:
            (caption,) = re.findall(r"<figcaption><p>(.*?)</p>", figure)
            assert len(caption) > 60
    for title in ("balanced", "ECE", "loss", "lr"):
        assert re.search(rf'title="[^"]{{8,}}">{title}</th>', content), title


def test_report_makes_the_same_page_again(run: Path, tmp_path: Path) -> None:
    made = (run / "report.html").read_bytes()
    for place in (run, run / "report.json"):
        done = inside("report", place, "--html", tmp_path / "new" / "a.html", "--images")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "new" / "a.html").read_bytes() == made
    assert inside("report", run).stdout == done.stdout


def test_the_pictures_are_the_surest_mistakes(run: Path, tiny: Work) -> None:
    """Small images are stored as they are, so their pixels tell which they are."""
    shown, expected = list(pictures(run / "report.html")), []
    for name in ("id_val", "id_test", "far"):
        wrong = mistakes(run, name)[:10]
        root = tiny.far if name == "far" else tiny.train
        expected += [np.asarray(Image.open(root / str(row["example"])).convert("RGB")) for row in wrong]
    assert expected and len(shown) == len(expected)
    assert all(np.array_equal(a, b) for a, b in zip(shown, expected, strict=True))


def test_without_images_the_mistakes_are_listed(run: Path, tmp_path: Path) -> None:
    assert inside("report", run, "--html", tmp_path / "a.html").returncode == 0
    found = Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert not list(pictures(tmp_path / "a.html")) and "--images opens the data again" in found.text
    first = mistakes(run, "far")[0]
    assert printable(str(first["example"])) in found.text


def test_data_that_has_changed_or_gone_gives_no_pictures(tiny: Work, tmp_path: Path) -> None:
    far, other = tmp_path / "far", tmp_path / "other"
    shutil.copytree(tiny.far, far)
    shutil.copytree(tiny.far, other)
    sets = ["--train", tiny.train, "--ood", f"far={far}", "--ood", f"other={other}"]
    words = ["--checkpoint", tiny.checkpoint, *sets, "--image-size", 32, "--epochs", 1, "--lr", "1e-3", "--threads", 1]
    done = inside("finetune", *words, "--html", "--out", tmp_path / "run")
    assert done.returncode == 0 and "no-pictures" not in done.stderr, done.stderr
    before = len(list(pictures(tmp_path / "run" / "report.html")))
    Image.new("RGB", (32, 32)).save(next(iter(sorted(far.rglob("*.png")))))
    shutil.rmtree(other)
    done = inside("report", tmp_path / "run", "--html", tmp_path / "a.html", "--images")
    assert done.returncode == 0
    assert "far: no pictures, because its data has changed" in done.stderr
    assert "other: no pictures, because the data cannot be opened again" in done.stderr
    assert 0 < len(list(pictures(tmp_path / "a.html"))) < before


def test_a_finished_run_resumed_gets_a_page_and_one_replaced_loses_it(tiny: Work, tmp_path: Path) -> None:
    words = ["finetune", *tiny.words, "--epochs", 1, "--lr", "1e-3", "--out", tmp_path / "run"]
    assert inside(*words).returncode == 0 and not (tmp_path / "run" / "report.html").exists()
    done = inside(*words, "--resume", "--html")
    assert done.returncode == 0, done.stderr
    assert list(pictures(tmp_path / "run" / "report.html"))
    assert inside(*words, "--overwrite").returncode == 0
    assert not (tmp_path / "run" / "report.html").exists()


def test_commands_that_compare_and_simulate_have_a_page(run: Path, tiny: Work, tmp_path: Path) -> None:
    evaluated = ["evaluate", run, "--id-test", tiny.train, "--ood", f"far={tiny.far}", "--image-size", 32]
    runs = {
        "evaluate": evaluated,
        "theory": ["theory", "--worlds", 2, "--points", 2],
        "adapt": ["adapt", "--checkpoint", run, "--ood", f"far={tiny.far}", "--image-size", 32],
        "distortion": ["distortion", tiny.checkpoint, run, "--ood", f"far={tiny.far}", "--image-size", 32],
        "interpolate": ["interpolate", run, run, "--ood", f"far={tiny.far}", "--image-size", 32, "--points", 3],
        "agreement": ["agreement", run, run, "--ood", f"far={tiny.far}", "--image-size", 32],
        "rank": ["rank", run, tiny.checkpoint, "--train", tiny.train, "--ood", f"far={tiny.far}", "--image-size", 32],
    }
    for name, words in runs.items():
        done = inside(*words, "--html", "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
        found = page_of(tmp_path / name)
        assert found.active() == [] and "Provenance" in found.by_tag["h2"], name
        plotted = [attributes for tag, attributes in found.tags if tag == "svg" and attributes["class"] == "plot"]
        assert plotted or name == "agreement", name


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--html", "page.pdf"], "end its name with .html"),
        (["--images"], "add --html FILE.html"),
        (["--html", "."], "end its name with .html"),
    ],
)
def test_what_cannot_be_is_refused(run: Path, words: list[str], told: str) -> None:
    done = inside("report", run, *words)
    assert done.returncode == 2 and told in done.stderr and not done.stdout


def test_a_folder_in_the_way_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.html").mkdir()
    done = inside("report", run, "--html", tmp_path / "a.html")
    assert done.returncode == 2 and "is a folder" in done.stderr


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's chromium")
def test_a_browser_runs_nothing_of_a_hostile_report(run: Path, tmp_path: Path) -> None:
    """Names that would change the title of the page if any of them ran."""
    text = (run / "report.json").read_text(encoding="utf-8")
    payload = "<script>document.title='run'</script><img src=x onerror=\\\"document.title='run'\\\">"
    (tmp_path / "report.json").write_text(text.replace('"class0"', f'"{payload}"'), encoding="utf-8")
    assert inside("report", tmp_path, "--html", tmp_path / "a.html").returncode == 0
    found = Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert "document.title='run'" in found.text and found.active() == []
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    command = ["chromium", *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"file://{tmp_path}/a.html"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    assert "<title>LP-FT, test_resnet</title>" in shown and shown.count("<img") == 0
