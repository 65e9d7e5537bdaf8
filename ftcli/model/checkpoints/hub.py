"""Downloaded weights: of a repository of the Hugging Face hub, or of a pretrained tag of timm."""

from pathlib import Path

import huggingface_hub as hf
import timm
from timm.models import PretrainedCfg
from timm.models._hub import download_cached_file

from ftcli.errors import RequestError
from ftcli.limits import HUB_TIMEOUT
from ftcli.model.checkpoints.shards import INDEXES, tensor_files
from ftcli.safe_text import reason

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_OFFLINE = "download it where there is a network, then give its folder to --checkpoint"


def hub_folder(repository: str) -> Path:
    """Fetch config.json and the weights of NAME[@REVISION] into the hub's cache; their folder.

    Raises RequestError where a download fails.
    """
    name, _, revision = repository.partition("@")
    hub_file(name, ("config.json",), revision or None)
    weights = hub_file(name, (*WEIGHTS, *INDEXES), revision or None)
    for shard in dict.fromkeys(tensor_files(weights).values()) if weights.name in INDEXES else ():
        hub_file(name, (shard,), revision or None)
    return weights.parent


def pretrained_file(name: str, cfg: PretrainedCfg) -> Path:
    """Fetch the weights that timm lists for `name` (architecture or architecture.tag)."""
    if cfg.custom_load and not cfg.hf_hub_id:
        raise RequestError(
            f"the weights of {name} are not in a form of torch", "choose another tag of the architecture"
        )
    if cfg.hf_hub_id:
        repository, _, revision = cfg.hf_hub_id.partition("@")
        return hub_file(repository, (cfg.hf_hub_filename,) if cfg.hf_hub_filename else WEIGHTS, revision or None)
    if not cfg.url:
        raise RequestError(f"timm has no pretrained weights for {name}", "give a file or folder to --checkpoint")
    try:
        return Path(download_cached_file(cfg.url, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise RequestError(f"the weights of {name} cannot be downloaded from {cfg.url}: {error}", _OFFLINE) from error


def hub_file(repository: str, filenames: tuple[str, ...], revision: str | None) -> Path:
    """The first of `filenames` that the repository has, from the cache or downloaded."""
    try:
        for filename in filenames:
            cached = hf.try_to_load_from_cache(repository, filename, revision=revision)
            if isinstance(cached, str):
                return Path(cached)
        for filename in filenames:
            try:
                # One request without retries first: hf_hub_download backs off for a minute when there is no network.
                hf.get_hf_file_metadata(hf.hf_hub_url(repository, filename, revision=revision), timeout=HUB_TIMEOUT)
            except hf.errors.EntryNotFoundError:
                continue
            return Path(hf.hf_hub_download(repository, filename, revision=revision))
    except Exception as error:  # whatever the client and its transport raise, the download failed
        raise RequestError(f"{repository} cannot be downloaded from the hub: {reason(error)}", _OFFLINE) from error
    raise RequestError(f"{repository} on the hub has none of {', '.join(filenames)}")


def pretrained_tags(architecture: str) -> list[str]:
    """The pretrained tags that timm lists for an architecture."""
    return [name.partition(".")[2] for name in timm.list_pretrained(f"{architecture}.*")]
