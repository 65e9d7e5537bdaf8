"""What is saved is what timm loads: the very model, with the input size and the class names it was trained with."""

import copy
import json
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn

from ftcli.errors import RunError
from ftcli.log import Log
from ftcli.model.checkpoints.checkpoint import open_checkpoint
from ftcli.model.head import fresh_head
from ftcli.model.loading.load import Loaded, load_model
from ftcli.model.loading.save import save_model
from tests.helpers.program import SMALL, checkpoint, inside
from tests.helpers.tiny import SIDE, SIX, images, tiny
from tests.helpers.worlds import coloured

FIXED = ("test_vit", "swin_tiny_patch4_window7_224")


def loaded_with(name: str, model: nn.Module) -> Loaded:
    """A random model of the six as load_model gives it, filled with the values of `model`."""
    args = {**SIX[name], **({"img_size": (SIDE, SIDE)} if name in FIXED else {})}
    data_config = {
        "input_size": (3, SIDE, SIDE), "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6),
        "interpolation": "bilinear", "crop_pct": 0.8, "crop_mode": "center",
    }  # fmt: skip
    return Loaded(model, name, None, True, None, data_config, {"model_name": name, **args})


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", SIX)
def test_timm_gives_the_very_model(tmp_path: Path, name: str, memory_format: torch.memory_format) -> None:
    model = tiny(name).to(memory_format=memory_format)
    loaded = loaded_with(name, model)
    names = tuple("abcde")
    save_model(tmp_path, loaded, model, names)
    theirs = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval().to(memory_format=memory_format)
    batch = images().to(memory_format=memory_format)
    with torch.inference_mode():
        assert torch.equal(theirs(batch), model(batch))
    assert theirs.num_classes == 5 and tuple(theirs.pretrained_cfg["label_names"]) == names
    config = timm.data.resolve_model_data_config(theirs)
    assert {key: tuple(v) if isinstance(v, list) else v for key, v in config.items()} == loaded.data_config
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("name", SIX)
def test_saved_and_opened_again(tmp_path: Path, name: str) -> None:
    model = tiny(name)
    save_model(tmp_path / "a", loaded_with(name, model), model, tuple("abcde"))
    again = load_model(
        name=None, checkpoint=open_checkpoint(str(tmp_path / "a"), strip_prefix=None, log=Log()),
        num_classes=None, image_size=None, log=Log(),
    )  # fmt: skip
    assert again.head_loaded and again.label_names == tuple("abcde")
    assert again.data_config == loaded_with(name, model).data_config
    save_model(tmp_path / "b", again, again.model, again.label_names)
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_new_classes_and_a_new_size(tmp_path: Path) -> None:
    model = tiny("test_vit")
    save_model(tmp_path / "a", loaded_with("test_vit", model), model, tuple("abcde"))
    checkpoint = open_checkpoint(str(tmp_path / "a"), strip_prefix=None, log=Log())
    loaded = load_model(name=None, checkpoint=checkpoint, num_classes=2, image_size=96, log=Log())
    trained = copy.deepcopy(loaded.model)
    fresh_head(trained, 3, seed=0)
    save_model(tmp_path / "b", loaded, trained, ("x", "y", "z"))
    theirs = timm.create_model(f"local-dir:{tmp_path / 'b'}", pretrained=True).eval()
    assert theirs.num_classes == 3 and tuple(theirs.pretrained_cfg["input_size"]) == (3, 96, 96)
    with torch.inference_mode():
        assert torch.equal(theirs(images(2, 96)), trained.eval()(images(2, 96)))


def test_tensors_that_share_memory(tmp_path: Path) -> None:
    model = tiny("test_resnet")
    with torch.no_grad():
        model.layer1[0].bn2.weight = model.layer1[0].bn1.weight
    save_model(tmp_path, loaded_with("test_resnet", model), model, None)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(model.state_dict())
        assert torch.equal(file.get_tensor("layer1.0.bn2.weight"), model.layer1[0].bn1.weight)
    assert "label_names" not in json.loads((tmp_path / "config.json").read_text())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file, not a folder")
    model = tiny("test_resnet")
    with pytest.raises(RunError):
        save_model(tmp_path / "out", loaded_with("test_resnet", model), model, None)


def test_a_failed_save_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("test_resnet")
    save_model(tmp_path, loaded_with("test_resnet", model), model, None)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def disk_full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ftcli.model.loading.save.save_config_for_hf", disk_full)
    other = tiny("test_resnet", seed=1)
    with pytest.raises(RunError, match="No space left"):
        save_model(tmp_path, loaded_with("test_resnet", other), other, None)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_fitted_temperature_is_saved_and_reported(tmp_path: Path) -> None:
    """Held against the definition: no T near it gives a lower loss on the ID-val set. Of two seeds the saved one's."""
    data, out = coloured(tmp_path / "data", each=20, noise=250), tmp_path / "out"
    start = checkpoint(tmp_path / "start", "test_vit")
    words = ["--checkpoint", start, "--train", data, "--id-val", data, "--id-test", data, *SMALL, "--lr", "1e-2"]
    report = inside("finetune", *words, "--epochs", 1, "--seeds", 2, "--out", out, "--json").report
    T = report["temperature"]
    saved = [one for one in report["seeds"] if one["selected"]["seed"] == report["selected"]["seed"]]
    assert T == saved[0]["temperature"] == json.loads((out / "config.json").read_text())["temperature"] != 1
    model = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    config = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**config, is_training=False)
    files = sorted(data.rglob("*.png"))
    with torch.inference_mode():
        logits = model(torch.stack([transform(Image.open(file).convert("RGB")) for file in files])).double()
    labels = torch.tensor([model.pretrained_cfg["label_names"].index(file.parent.name) for file in files])
    losses = {t: torch.nn.functional.cross_entropy(logits / t, labels).item() for t in (T, T * 0.98, T * 1.02)}
    assert min(losses, key=lambda t: losses[t]) == T


def test_without_labels_to_fit_it_on_there_is_no_temperature(tmp_path: Path) -> None:
    data, start = coloured(tmp_path / "data", each=3), checkpoint(tmp_path / "start", classes=3)
    words = ["--ood", f"far={data}", *SMALL[:4], "--threads", 1, "--out", tmp_path / "out", "--json"]
    assert inside("evaluate", start, *words).report["temperature"] is None
    assert "temperature" not in json.loads((start / "config.json").read_text())


@pytest.mark.parametrize("name", SIX)
def test_the_number_of_classes_stands_once(tmp_path: Path, name: str) -> None:
    """transformers hands model_args and the number of classes to timm side by side, where a name twice is an error."""
    model = tiny(name)
    save_model(tmp_path, loaded_with(name, model), model, None)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["num_classes"] == 5
    built = timm.create_model(config["architecture"], num_classes=config["num_classes"], **config["model_args"])
    built.load_state_dict(model.state_dict())
