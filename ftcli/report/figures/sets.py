"""Which sets of a report its figures show, where there are more than a page has room for."""

from collections.abc import Callable, Sequence

MOST_SETS = 6  # panels of one kind in a figure


def shown_of(names: Sequence[str], key: Callable[[str], float], most: int = MOST_SETS) -> list[str]:
    """All names, or the `most` with the least key, in the order given."""
    kept = set(sorted(names, key=key)[:most])
    return [name for name in names if name in kept]
