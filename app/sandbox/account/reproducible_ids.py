"""Stripe-looking ids; the same seed gives the same ids, kind by kind."""

import random
import string

_ALPHABET = (string.ascii_letters + string.digits).encode()
# Every byte stands for a letter or a digit: one draw makes a whole id.
_LETTERS = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in range(256))


def reproducible_random(seed: object) -> random.Random:
    """A random generator that repeats itself for the same seed; it makes no secrets."""
    return random.Random(str(seed))  # noqa: S311


class ReproducibleIds:
    """Each prefix draws from its own stream: an extra request id does not shift the charge ids."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._streams: dict[str, random.Random] = {}

    def new(self, prefix: str, length: int = 24) -> str:
        return f"{prefix}_{self.text(prefix, length)}"

    def text(self, stream: str, length: int) -> str:
        source = self._streams.get(stream)
        if source is None:
            source = self._streams[stream] = reproducible_random(f"{self._seed}:{stream}")
        return source.randbytes(length).translate(_LETTERS).decode()
