"""WebDataset shards: .tar archives of images, with labels in .cls members or in a key of .json members."""

from collections.abc import Sequence
from functools import partial

from ftcli.cache.cache import Cache
from ftcli.data.rows import ClassFeature, ImageFeature, Rows, Splits
from ftcli.data.sources.shards.index import index_of
from ftcli.data.sources.shards.member_images import MemberImages
from ftcli.data.sources.shards.samples import IMAGE, LABEL
from ftcli.data.sources.split_names import files_by_split
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.safe_text import quoted


def open_shards(shards: Sequence[str], log: Log, *, labelled: bool, cache: Cache | None) -> Splits:
    """The splits of shards at paths or URLs by the names of their files, or "train"; each indexed when it is called.

    An id is the shard, from the folder that holds all, and the name of the sample: "train-000.tar/0001".

    Raises:
        RequestError: some are named after a split and others are not; and when a split is read, what `index_of` says,
            or that there are no labels where they are needed.
    """
    return {split: partial(_read, files, log, labelled, cache) for split, files in files_by_split(list(shards)).items()}


def _read(shards: list[str], log: Log, labelled: bool, cache: Cache | None) -> Rows:
    index = index_of(shards, cache, log)
    if index.left_out:
        log.warn("files-left-out", f"members of {quoted(shards[0])} left out, which are not used: {index.left_out}")
    if labelled and index.table.num_columns == 1:
        raise RequestError(
            f"the samples of {quoted(shards[0])} have no labels: no .cls and no .json members",
            "write each label into a member beside its image, as 000.cls; or unpack an archive of class folders, and "
            "name the folder",
        )
    features = {IMAGE: ImageFeature()} | ({LABEL: ClassFeature(())} if LABEL in index.table.column_names else {})
    return Rows(index.table, features, index.ids, unit="sample", open_images=partial(MemberImages, shards=shards))
