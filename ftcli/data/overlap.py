"""Overlap: the same picture in two of the sets that must not share any."""

from ftcli.data.images import ImageSet


def shared(a: ImageSet, b: ImageSet) -> list[tuple[str, str]]:
    """Example ids (in a, in b) of every picture of `a` that `b` holds too, in the order of `a`."""
    where = {picture: id for picture, id in zip(reversed(b.digests), reversed(b.ids), strict=True)}
    return [(id, where[picture]) for picture, id in zip(a.digests, a.ids, strict=True) if picture in where]
