"""Percent-encoding of the characters that have a meaning in a data SPEC."""


def escape(value: str, also: str = "") -> str:
    """A value with each of % ? & = and the characters of `also` as %XX."""
    for character in "%?&=" + also:
        value = value.replace(character, f"%{ord(character):02X}")
    return value
