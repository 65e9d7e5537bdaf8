"""The warning about weights that do not state how their images are prepared: a wrong assumption costs accuracy."""

from dataclasses import replace

from torch import nn

from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.checkpoints.config_values import TimmConfig
from ftcli.model.loading.architecture import ModelConfig, build_without_values

PADDING = "pad_type"  # an argument of EfficientNets and MobileNets; weights from TensorFlow need "same"


def warn_preprocessing_assumed(
    model_config: ModelConfig, model: nn.Module, data_config: TimmConfig, where: str, log: Log
) -> None:
    """Name the mean, standard deviation and padding that are assumed, and the options that state them."""
    assumed = [name for name in ("mean", "std") if name in model_config.assumed]
    values = [f"{name} {','.join(f'{value:g}' for value in data_config[name])}" for name in assumed]
    options = [f"--{name} R,G,B" for name in assumed]
    if "arguments" in model_config.assumed and takes_padding(model_config):
        padding = padding_of(model)
        values.append(f"{padding} padding")
        options.append(f"--model-arg {PADDING}=same" if padding == "symmetric" else f"--model-arg {PADDING}=")
    if values:
        tag = model_config.pretrained_cfg.get("tag")
        source = f"{model_config.architecture}.{tag}" if tag else model_config.architecture
        log.warn(
            "assumed-preprocessing",
            f"{where} does not state how its images are prepared: {', '.join(values)} assumed, as of {source}; "
            f"{', '.join(options)}, --model-config FILE.json or --model ARCHITECTURE.TAG state it",
        )


def padding_of(model: nn.Module) -> str:
    """ "same": as much as TensorFlow pads, which depends on the size of the input; "symmetric": PyTorch's own."""
    return "same" if any("Same" in type(module).__name__ for module in model.modules()) else "symmetric"


def takes_padding(model_config: ModelConfig) -> bool:
    """Whether the architecture has a choice of padding."""
    try:
        build_without_values(replace(model_config, model_args={**model_config.model_args, PADDING: "same"}))
    except RequestError:
        return False
    return True
