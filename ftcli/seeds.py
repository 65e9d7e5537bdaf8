"""One rule for every random stream: its seed is a hash of its purpose, so that no two streams are the same."""

from hashlib import blake2b


def derive_seed(*words: int | str) -> int:
    """A seed in [0, 2^63) from the words that name a stream, as in derive_seed("order", seed, epoch)."""
    digest = blake2b("\x1f".join(map(str, words)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
