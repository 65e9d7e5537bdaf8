"""`--grad-checkpointing` as typed: the same files as without it, and refused where it would do nothing."""

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.program import Work, checkpoint, inside, lasting, read, work


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("work"))


@pytest.mark.parametrize(
    "words",
    [
        ["finetune", "--augment", "light", "--lr", "1e-3,1e-2", "--ema", 0.9],
        ["lpft", "--ldifs", 1, "--lr", "1e-5", "--average", "wise"],
        ["surgical", "--blocks", "last", "--auto", "rgn", "--lr", "1e-2", "--augment", "light"],
    ],
)
def test_model_predictions_and_report_are_the_same(words: list[Any], tiny: Work, tmp_path: Path) -> None:
    command, *rest = words
    for out, more in (("plain", []), ("again", ["--grad-checkpointing"])):
        typed = [command, *tiny.words, *rest, "--epochs", 2, *more, "--json", "--out", tmp_path / out]
        done = inside(*typed)
        assert done.returncode == 0, done.stderr
    for file in ("model.safetensors", "predictions.parquet", "config.json"):
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "plain" / file).read_bytes(), file
    plain, again = (lasting(read(tmp_path / out)) for out in ("plain", "again"))
    assert again["config"].pop("grad_checkpointing") is True and plain["config"].pop("grad_checkpointing") is False
    assert again == plain


def test_a_network_without_it_is_named_before_an_image_is_read(tiny: Work, tmp_path: Path) -> None:
    """One image is damaged, which is not found."""
    start = checkpoint(tmp_path / "start", "pit_ti_distilled_224", classes=3)
    broken = tmp_path / "train"
    for label in ("a", "b"):
        (broken / label).mkdir(parents=True)
        for i in range(12):
            (broken / label / f"{i}.png").write_bytes(b"nothing")
    done = inside(
        "finetune", "--checkpoint", start, "--train", broken, "--grad-checkpointing", "--out", tmp_path / "out"
    )
    assert done.returncode == 2 and "--grad-checkpointing: pit_ti_distilled_224 has none" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["finetune", "--grad-checkpointing", "--compile"], "--compile decides"),
        (["probe", "--grad-checkpointing"], "--grad-checkpointing"),
        (["probe", "--solver", "sgd", "--grad-checkpointing"], "--grad-checkpointing"),
    ],
)
def test_where_it_would_do_nothing_it_is_refused(words: list[str], said: str, tiny: Work, tmp_path: Path) -> None:
    done = inside(words[0], *tiny.words, *words[1:], "--out", tmp_path / "out")
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
