"""The sets of images of a finished run, opened again by the SPECs in its report."""

from typing import Any

from msgspec import UNSET

from ftcli.cache.cache import Cache, open_cache
from ftcli.data.images import ImageSet
from ftcli.data.task import open_sets, read_task
from ftcli.errors import RequestError, RunError
from ftcli.log import Log
from ftcli.report.types import Report
from ftcli.safe_text import reason


def stored_images(report: Report, log: Log) -> dict[str, ImageSet]:
    """The sets by name, each with the images and labels that the run had: its fingerprint is that of the report. A set
    that cannot be opened, or is another one by now, is left out with a warning.
    """
    if report.data is UNSET:
        return {}
    cache = open_cache(log)
    found: dict[str, ImageSet] = {}
    inside = {name: report.config.get(name) for name in ("train", "id_val", "id_test")}
    for name, typed in {"ID sets": inside, **ood_sets(report)}.items():
        try:
            found |= opened(report, typed, cache) if any(typed.values()) else {}
        except (RequestError, RunError) as error:
            log.warn("no-pictures", f"{name}: no pictures, because the data cannot be opened again: {reason(error)}")
    expected = report.data.by_set()
    changed = [name for name, images in found.items() if images.fingerprint != expected[name].fingerprint]
    for name in changed:
        log.warn("no-pictures", f"{name}: no pictures, because its data has changed since the run")
    return {name: images for name, images in found.items() if name not in changed}


def ood_sets(report: Report) -> dict[str, dict[str, Any]]:
    """By the name of each OOD set the options that open it."""
    pairs = [text.partition("=") for text in report.config.get("ood") or []]
    return {name: {"ood": [(name, source)]} for name, _, source in pairs if name in report.data.ood}


def opened(report: Report, typed: dict[str, Any], cache: Cache | None) -> dict[str, ImageSet]:
    """The sets that these options open, their images read. Raises RequestError and RunError as a run does."""
    config, quiet = report.config, Log()
    options = {"train": None, "id_val": None, "id_test": None, "ood": [], **typed}
    classes = None if options["train"] else tuple(report.data.classes)
    sets = open_sets(**options, classes=classes, log=quiet, cache=cache, cut_by=config.get("cut_by"))
    task = read_task(
        sets, split_seed=config.get("split_seed", 0), damaged=config.get("damaged", "stop"), log=quiet, cache=cache
    )
    return {name: images for name, images in task.sets().items() if name in report.data.by_set()}
