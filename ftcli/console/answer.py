"""What goes to stdout when a command ends: the tables, or the JSON and nothing else."""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftcli.console.streams import Console, is_unicode
from ftcli.limits import MAX_MESSAGE
from ftcli.records import Record, as_json
from ftcli.safe_text import printable, shortened


@dataclass(frozen=True)
class Answer:
    """What a command gives: `content` to `--json`, `show` to a person at a terminal; to a caller in Python `report`, or
    `content` where that is None. content: JSON, or a function that makes it, where it takes memory.
    """

    content: Any
    show: Callable[[Console], None]
    report: Record | None = None
    exit_code: int = 0  # after the answer: what was asked about is not so
    reasons: Sequence[str] = ()  # of an exit code that is not 0, for stderr

    def as_content(self) -> Any:
        """What `--json` prints, made where it is not yet."""
        return self.content() if callable(self.content) else self.content

    def deliver(self, json: bool) -> None:
        """Onto stdout: the JSON and nothing else, or what a person reads. The reasons go to stderr."""
        if json:
            write_json(self.as_content())
        else:
            self.show(console())
        with suppress(OSError):  # stderr may be full, or read by nobody; the exit code says it too
            for reason in self.reasons:
                print(printable(shortened(reason, MAX_MESSAGE)), file=sys.stderr)


def write_json(content: Any) -> None:
    """JSON onto stdout; in plain ASCII where the stream cannot hold every sign."""
    sys.stdout.write(as_json(content, ascii=not is_unicode(sys.stdout)))


def console() -> Console:
    """stdout for tables: colour only on a terminal, 100 columns where nobody says how wide."""
    out = Console(highlight=False, markup=False, emoji=False)
    return (
        out
        if out.is_terminal or "COLUMNS" in out._environ
        else Console(highlight=False, markup=False, emoji=False, width=100)
    )


def show_parts(out: Console, parts: list[RenderableType]) -> None:
    """One part after another. Words wrap at the edge of a terminal and stay whole lines in a pipe; so do a table's
    title and caption, which rich would fold to the width of the table.
    """
    whole = not out.is_terminal
    for part in parts:
        if not isinstance(part, Table):
            out.print(part, soft_wrap=whole and isinstance(part, Text))
            continue
        title, caption = part.title, part.caption
        part.title = part.caption = None
        out.print(title, soft_wrap=whole)
        out.print(part)
        if caption:
            out.print(caption, soft_wrap=whole)
        out.print()
