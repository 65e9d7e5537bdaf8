"""Sets of the Hugging Face hub, as Arrow tables."""

import re
from functools import partial
from pathlib import Path

import datasets
import huggingface_hub.constants

from ftcli.cache.cache import Cache
from ftcli.data.rows import ClassFeature, Features, ImageFeature, Rows, Splits, numbered
from ftcli.data.sources.remote.hub_parquet import open_streamed
from ftcli.data.specs.spec import Spec
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.safe_text import quoted, reason

NAME = re.compile(r"\w[\w.-]{0,95}(/\w[\w.-]{0,95})?")
# Where `datasets` and the hub's library keep what they have downloaded and unpacked.
CACHES = (
    *(datasets.config.HF_CACHE_HOME, datasets.config.HF_DATASETS_CACHE, datasets.config.DOWNLOADED_DATASETS_PATH),
    huggingface_hub.constants.HF_HUB_CACHE,
)


def open_splits(spec: Spec, log: Log, *, labelled: bool, cache: Cache | None = None) -> Splits:
    """A set of the hub: NAME, OWNER/NAME or OWNER/NAME/CONFIG. Code that comes with a set is never run.

    Raises:
        RequestError: it cannot be had; the message names it and what to check.
    """
    location = spec.location
    parts = location.split("/")
    name, config = "/".join(parts[:2]), "/".join(parts[2:]) or None
    if not NAME.fullmatch(name) or Path(name).exists():  # `datasets` would read whatever folder has the name
        what = "is a file or folder here" if Path(name).exists() else "is no name of the hub"
        raise RequestError(
            f"hf:{location}: {quoted(name)} {what}", "give a set of this machine by its path, without hf:"
        )
    if spec.streaming:
        return open_streamed(name, config)
    log.note(f"loading {location} from the hub or its cache")
    # Bars of another library would mix with ftcli's own, and fill a log file with carriage returns.
    datasets.disable_progress_bars()
    try:
        dataset = datasets.load_dataset(name, config)
    except Exception as error:  # hub, network, builder and script errors have no common type
        raise RequestError(
            f'the data set "{location}" cannot be had from the hub: {reason(error)}',
            "check the name (hf:OWNER/NAME or hf:OWNER/NAME/CONFIG), the network, and for a private set the login "
            "(hf auth login); a set that was saved with save_to_disk is given by its path",
        ) from error
    return {str(split): partial(_rows, part) for split, part in dataset.items()}


def _rows(dataset: datasets.Dataset) -> Rows:
    """The Arrow table under a Dataset: the stored images, not decoded."""
    features: Features = {}
    for name, feature in dataset.features.items():
        if isinstance(feature, datasets.Image):
            features[name] = ImageFeature()
        elif isinstance(feature, datasets.ClassLabel):
            features[name] = ClassFeature(tuple(feature.names or ()))
    return numbered(dataset.with_format("arrow")[:], features, tuple(map(Path, CACHES)))
