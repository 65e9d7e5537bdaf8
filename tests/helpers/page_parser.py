"""A page of HTML taken apart: its elements, its text, and what of it could do something."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "hr", "input", "link"}
ACTIVE = {"script", "iframe", "object", "embed", "link", "base", "form", "input", "button", "foreignobject"}


class Page(HTMLParser):
    """A parsed page. Raises ValueError where an element is not closed in order."""

    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.by_tag: dict[str, list[str]] = {}
        self.feed(content)
        self.close()
        if self.open:
            raise ValueError(f"never closed: {self.open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise ValueError(f"{tag} ends within {self.open}")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)
            self.by_tag.setdefault(self.open[-1], []).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def active(self) -> list[str]:
        """What could run, load or lead elsewhere: elements, handlers of events, addresses."""
        found = [tag for tag, _ in self.tags if tag in ACTIVE]
        for tag, attributes in self.tags:
            found += [f"{tag} {name}" for name in attributes if name.startswith("on")]
            for name in ("href", "src", "action", "xlink:href", "srcset"):
                address = attributes.get(name)
                if address is not None and not address.startswith(("#", "data:image/")):
                    found.append(f"{tag} {name}={address}")
        return found
