"""Passwords: how strong one must be, and their argon2id hashes, made beside the event loop."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.errors import InvalidField, Unavailable

T = TypeVar("T")

# NIST SP 800-63B: length counts, composition does not. The longest is a bound on our work.
LENGTH_MIN = 12
LENGTH_MAX = 128
# zxcvbn's estimate: 3 is "safely unguessable" with a slow hash. It looks at so many characters.
_SCORE_MIN = 3
_ESTIMATED = 64
# Above OWASP's least for argon2id (19 MiB, two passes); about 60 ms, and 32 MiB while it lasts.
_HASHER = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)
# Two at a time: a flood of sign-ins takes 64 MiB and leaves the event loop its turn.
_THREADS = ThreadPoolExecutor(2, thread_name_prefix="paydue-password")
_WAITING_MAX = 50
_waiting = 0


def check_strength(password: str, words: Iterable[str]) -> None:
    """InvalidField for a password that is short, common, or made of the person's own words."""
    if len(password) < LENGTH_MIN:
        raise InvalidField("password", f"has fewer than {LENGTH_MIN} characters")
    if len(password) > LENGTH_MAX:
        raise InvalidField("password", f"has more than {LENGTH_MAX} characters")
    # Imported here: its lists of common passwords take a while to load.
    from zxcvbn import zxcvbn

    found = zxcvbn(password[:_ESTIMATED], user_inputs=["paydue", *words])
    if found["score"] < _SCORE_MIN:
        said = found["feedback"]["warning"] or "It is among the first that others would try."
        raise InvalidField("password", f"is easy to guess. {said}")


async def hash_password(password: str) -> str:
    """The argon2id hash, with its salt and parameters."""
    return await _in_thread(partial(_HASHER.hash, password))


async def matches(password_hash: str | None, password: str) -> bool:
    """Whether it is the password. Takes as long when there is none to compare it with."""
    return await _in_thread(partial(_verify, password_hash, password[: LENGTH_MAX + 1]))


async def check_strength_aside(password: str, words: Iterable[str]) -> None:
    """The same as `check_strength`, beside the event loop."""
    await _in_thread(partial(check_strength, password, words))


def _verify(password_hash: str | None, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash or _nobodys(), password) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobodys() -> str:
    return _HASHER.hash("no password of anybody")


async def _in_thread(work: Callable[[], T]) -> T:
    global _waiting  # noqa: PLW0603  one count for the one pool
    if _waiting >= _WAITING_MAX:
        raise Unavailable("too many people are signing in; try again in a moment")
    _waiting += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_THREADS, work)
    finally:
        _waiting -= 1
