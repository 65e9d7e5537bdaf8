"""Names from data as messages have them: quoted, and no longer than a line bears."""

from collections.abc import Sequence

from ftcli.text import shortened

LONGEST = 80  # characters of one name
LONGEST_REASON = 300


def quoted(name: str) -> str:
    """A name in quotation marks; of a long one the beginning, and how long it is."""
    return f'"{name}"' if len(name) <= LONGEST else f'"{name[:LONGEST]}…" ({len(name):,} characters)'


def listed(names: Sequence[str], most: int = 5) -> str:
    """Up to `most` names, quoted, and how many more."""
    some = ", ".join(map(quoted, names[:most]))
    return some + (f" and {len(names) - most} more" if len(names) > most else "")


def reason(error: Exception) -> str:
    """What an error of a library says: its first line, or what kind it is where it says nothing."""
    return shortened(str(error).strip().partition("\n")[0] or type(error).__name__, LONGEST_REASON)
