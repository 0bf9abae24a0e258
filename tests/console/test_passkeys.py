"""Passkeys, with one in software: a challenge is good once, for one thing, on one host."""

import json
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from tests.console.browser import Browser, Shown
from tests.console.conftest import Console
from tests.console.software_passkey import PRESENT, SoftwarePasskey

pytestmark = pytest.mark.anyio


def _at_localhost(console: Console) -> tuple[str, dict[str, str]]:
    """Browsers have no passkeys for numbers, so they come by the machine's name."""
    port = urlsplit(console.service.url).port
    return f"http://localhost:{port}", {"host": f"localhost:{port}"}


async def _with_passkey(console: Console) -> tuple[Browser, SoftwarePasskey]:
    """A person who is signed in and has just added a passkey."""
    origin, headers = _at_localhost(console)
    browser = Browser(console.http, headers=headers)
    await browser.follow(await console.a_link(await console.a_user()))
    passkey = SoftwarePasskey(origin)
    page = await browser.get("/account/passkeys")
    options = json.loads(
        (await browser.post("/account/passkeys/challenge", {**page.hidden, "ceremony": "add"})).text
    )
    fields = {**page.hidden, "name": "<i>phone</i>", "credential": passkey.create(options)}
    added = await browser.post("/account/passkeys", fields)
    assert added.status == 303, added.text
    return browser, passkey


class Stranger:
    """A browser that has opened the sign-in and got a challenge."""

    def __init__(self, console: Console) -> None:
        self.browser = Browser(console.http, headers=_at_localhost(console)[1])

    async def challenge(self) -> dict[str, object]:
        self.page = await self.browser.get("/sign-in?next=/account")
        shown = await self.browser.post("/sign-in/passkey/challenge", self.page.hidden)
        assert shown.status == 200, shown.text
        found: dict[str, object] = json.loads(shown.text)
        return found

    async def answer(self, credential: str) -> Shown:
        fields = {**self.page.hidden, "credential": credential}
        return await self.browser.post("/sign-in/passkey", fields)


async def test_a_passkey_signs_in_and_its_answer_is_good_once(console: Console) -> None:
    owner, passkey = await _with_passkey(console)
    stranger = Stranger(console)

    credential = passkey.get(await stranger.challenge())
    right = await stranger.answer(credential)
    signed_in = (await stranger.browser.get("/account")).status
    other = Stranger(console)
    await other.challenge()
    again = await other.answer(credential)
    listed = await owner.get("/account/passkeys")

    assert (right.status, right.location, signed_in) == (303, "/account", 200)
    assert again.status == 403
    assert "&lt;i&gt;phone&lt;/i&gt;" in listed.text
    assert "last used" in listed.text


@pytest.mark.parametrize(
    "case", ["unknown", "other origin", "other host", "not unlocked", "late", "garbage", "empty"]
)
async def test_an_answer_that_is_not_the_passkeys_signs_nobody_in(
    console: Console, case: str
) -> None:
    _, passkey = await _with_passkey(console)
    stranger = Stranger(console)
    options = await stranger.challenge()

    match case:
        case "unknown":
            credential = replace(passkey, key_id=b"another key").get(options)
        case "other origin":
            credential = replace(passkey, origin="https://evil.example").get(options)
        case "other host":
            credential = replace(passkey, host="evil.example").get(options)
        case "not unlocked":
            credential = replace(passkey, flags=PRESENT).get(options)
        case "late":
            credential = passkey.get(options)
            console.clock.advance(minutes=6)
        case "garbage":
            credential = '{"id": 7, "response": [[]]}'
        case _:
            credential = ""

    assert (await stranger.answer(credential)).status == 403


async def test_a_removed_passkey_and_a_disabled_users_open_nothing(console: Console) -> None:
    owner, passkey = await _with_passkey(console)
    page = await owner.get("/account/passkeys")
    number = page.hidden["remove"]
    thief = await console.signed_in()

    await thief.submit("/account/passkeys", {"remove": number})
    kept = Stranger(console)
    still = await kept.answer(passkey.get(await kept.challenge()))
    await owner.submit("/account/passkeys", {"remove": number})
    stranger = Stranger(console)
    gone = await stranger.answer(passkey.get(await stranger.challenge()))

    assert (still.status, gone.status) == (303, 403)


async def test_a_passkey_confirms_its_own_user_and_no_other(console: Console) -> None:
    owner, passkey = await _with_passkey(console)
    other, others = await _with_passkey(console)
    console.clock.advance(minutes=6)

    async def confirm(browser: Browser, with_passkey: SoftwarePasskey) -> Shown:
        page = await browser.get("/confirm-identity?next=/account/app")
        form = {**page.hidden, "ceremony": "confirm"}
        options = json.loads((await browser.post("/account/passkeys/challenge", form)).text)
        fields = {**page.hidden, "credential": with_passkey.get(options)}
        return await browser.post("/confirm-identity/passkey", fields)

    wrong, right = await confirm(other, passkey), await confirm(owner, passkey)

    assert (wrong.status, right.status, right.location) == (403, 303, "/account/app")
    assert (await owner.get("/account/app")).status == 200
    assert (await other.get("/account/app")).status == 303
    assert (await confirm(other, others)).status == 303


async def test_an_address_of_numbers_has_no_passkeys(console: Console) -> None:
    browser = console.browser()
    page = await browser.get("/sign-in")

    assert "data-passkey" not in page.text
    assert (await browser.post("/sign-in/passkey/challenge", page.hidden)).status == 400
