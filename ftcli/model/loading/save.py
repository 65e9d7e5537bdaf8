"""Write a model in timm's own form: model.safetensors and config.json, which its "local-dir:FOLDER" reads."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from timm.models._hub import save_config_for_hf
from torch import Tensor, nn

from ftcli.files import make_folder, write_all_atomically
from ftcli.model.checkpoints.config_values import TimmConfig
from ftcli.model.loading.load import Loaded


def save_model(
    folder: Path, loaded: Loaded, model: nn.Module, label_names: tuple[str, ...] | None,
    temperature: float | None = None,
) -> None:  # fmt: skip
    """Write `model`, trained from `loaded`, into `folder` (made if need be), whole or not at all.

    config.json carries the architecture and its arguments, the input size and normalisation of `loaded.data_config`,
    the class names [K], and the temperature T of softmax(logits / T) where one was fitted. Raises ResourceLimit where
    the disk or the permissions do not allow it.
    """
    # The tag of the pretrained weights does not name these.
    stated: TimmConfig = {"pretrained_cfg": {"tag": ""}}
    if label_names:
        stated["label_names"] = list(label_names)
    if temperature is not None:
        stated["temperature"] = temperature
    writers: dict[str, Callable[[Path], Any]] = {
        "model.safetensors": lambda path: save_file(_plain(model), path, metadata={"format": "pt"}),
        "config.json": lambda path: _write_config(path, model, loaded.data_config, stated),
    }
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    make_folder(folder)
    write_all_atomically({folder / name: write for name, write in writers.items()}, size)


def _write_config(path: Path, model: nn.Module, data_config: TimmConfig, stated: TimmConfig) -> None:
    """timm's config.json. The number of classes is removed from model_args: transformers would pass it twice to
    timm.create_model, and fail.
    """
    save_config_for_hf(model, str(path), data_config=data_config, model_config=stated)
    config = json.loads(path.read_text(encoding="utf-8"))
    config.get("model_args", {}).pop("num_classes", None)
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")


def _plain(model: nn.Module) -> dict[str, Tensor]:
    """The state in row-major order on the CPU, each tensor with memory of its own, as safetensors requires."""
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != tensor.nbytes:
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        plain[name] = tensor
    return plain
