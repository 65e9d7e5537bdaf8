"""The saved folder opens in transformers and answers as in timm; skipped where transformers is not installed."""

from pathlib import Path

import pytest
import torch

from ftcli.model.loading.save import save_model
from tests.helpers.tiny import SIX, images, tiny
from tests.unit.test_save import loaded_with

transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize("name", SIX)
def test_transformers_gives_the_same_logits(tmp_path: Path, name: str) -> None:
    model, classes = tiny(name), tuple("edcba")
    save_model(tmp_path, loaded_with(name, model), model, classes, 1.7)
    theirs = transformers.AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        torch.testing.assert_close(theirs(images()).logits, model(images()), rtol=1e-5, atol=1e-6)
    assert tuple(theirs.config.id2label[k] for k in range(5)) == classes
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    assert tuple(processor.data_config["mean"]) == (0.1, 0.2, 0.3)
