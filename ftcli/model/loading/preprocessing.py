"""The warning about weights that do not state how their images were prepared: a wrong guess costs accuracy unseen."""

from dataclasses import replace
from typing import Any

from torch import nn

from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.loading.architecture import ModelConfig, build_without_values

PADDING = "pad_type"  # the argument of EfficientNets, MobileNets and their kin; TensorFlow's weights need "same"


def warn_preprocessing_assumed(
    recipe: ModelConfig, model: nn.Module, data_config: dict[str, Any], where: str, log: Log
) -> None:
    """Name the mean, standard deviation and padding that are assumed, and the options that state them."""
    found = {name: ",".join(f"{value:g}" for value in data_config[name]) for name in ("mean", "std")}
    guesses = [f"{name} {value}" for name, value in found.items() if name in recipe.assumed]
    options = [f"--{name} R,G,B" for name in found if name in recipe.assumed]
    if "arguments" in recipe.assumed and takes_padding(recipe):
        guesses.append(f"{padding_of(model)} padding")
        options.append(f"--model-arg {PADDING}=same" if padding_of(model) == "symmetric" else f"--model-arg {PADDING}=")
    if guesses:
        tag = recipe.pretrained_cfg.get("tag")
        listed = f"{recipe.architecture}.{tag}" if tag else recipe.architecture
        log.warn(
            "assumed-preprocessing",
            f"{where} does not state how its images are prepared: {', '.join(guesses)} assumed, as of {listed}; "
            f"{', '.join(options)}, --model-config FILE.json or --model ARCHITECTURE.TAG state it",
        )


def padding_of(model: nn.Module) -> str:
    """ "same": as much as TensorFlow pads, which depends on the size of the input; "symmetric": PyTorch's own."""
    return "same" if any("Same" in type(module).__name__ for module in model.modules()) else "symmetric"


def takes_padding(recipe: ModelConfig) -> bool:
    """Whether the architecture has a choice of padding."""
    try:
        build_without_values(replace(recipe, model_args={**recipe.model_args, PADDING: "same"}))
    except RequestError:
        return False
    return True
