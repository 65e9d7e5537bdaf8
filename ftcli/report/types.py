"""The base class of the typed parts of a report."""

from typing import Any

from msgspec import UNSET, Struct, to_builtins


class Part(Struct):
    """A part of a report: a struct that also reads as a mapping of the fields that are set."""

    def keys(self) -> list[str]:
        return [name for name in self.__struct_fields__ if getattr(self, name) is not UNSET]

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __getitem__(self, key: str) -> Any:
        if key not in self.keys():
            raise KeyError(key)
        return getattr(self, key)

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self.keys() else default

    def items(self) -> list[tuple[str, Any]]:
        return [(key, self[key]) for key in self.keys()]

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists, numbers and strings, without the fields that are not set."""
        return to_builtins(self)
