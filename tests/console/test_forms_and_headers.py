"""Forms of other sites, frames, caches and redirects: none does anything in a person's name."""

import pytest
from starlette.requests import Request

from app.console.routing import next_path
from tests.console.conftest import Console

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("case", ["no token", "another session's", "cross-site", "other origin"])
async def test_a_form_that_no_page_of_ours_sent_is_refused(console: Console, case: str) -> None:
    browser, other = await console.signed_in(), await console.signed_in()
    own = (await browser.get("/account")).hidden
    foreign = (await other.get("/account")).hidden

    match case:
        case "no token":
            answer = await browser.post("/sign-out", {})
        case "another session's":
            answer = await browser.post("/sign-out", foreign)
        case "cross-site":
            answer = await browser.post("/sign-out", own, sec_fetch_site="cross-site")
        case _:
            answer = await browser.post("/sign-out", own, origin="https://evil.example")

    assert answer.status == 403
    assert (await browser.get("/account")).status == 200


async def test_a_form_of_ours_is_taken_from_a_page_without_referrer_and_from_a_script(
    console: Console,
) -> None:
    """Browsers call the origin of a form `null` where the page sends no referrer, as ours do."""
    browser = await console.signed_in()
    token = (await browser.get("/account")).hidden["csrf"]
    here = {"sec_fetch_site": "same-origin"}

    by_form = await browser.post("/account", {"csrf": token, "name": "Ada"}, origin="null", **here)
    by_script = await browser.post(
        "/sign-out", {}, x_csrf_token=token, origin=console.service.url, **here
    )

    assert (by_form.status, by_script.status) == (303, 303)


async def test_a_sign_in_cannot_be_forced_on_a_person(console: Console) -> None:
    """An attacker's own link, sent as a form by the victim's browser, signs nobody in."""
    link = await console.a_link(await console.a_user())
    attacker, victim = console.browser(), console.browser()
    fields = (await attacker.get(link)).hidden
    await victim.get("/sign-in")

    answer = await victim.post("/sign-in/link", fields)

    assert answer.status == 403
    assert "paydue" not in victim.cookies


@pytest.mark.parametrize("path", ["/account", "/sign-in", "/sign-in/link?token=none", "/nowhere"])
async def test_pages_are_neither_framed_nor_cached_nor_run_foreign_scripts(
    console: Console, path: str
) -> None:
    browser = await console.signed_in()

    headers = (await browser.get(path)).headers

    policy = headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("given", "followed"),
    [
        ("/payments/pi_1?tab=story", "/payments/pi_1?tab=story"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("evil", "/"),
        ("", "/"),
        ("/a\r\nSet-Cookie: a=b", "/"),
        ("/\u2028", "/"),
    ],
)
def test_after_the_sign_in_a_person_goes_on_within_this_host(given: str, followed: str) -> None:
    request = Request({"type": "http", "query_string": b"", "headers": []})

    assert next_path(request, given) == followed


@pytest.mark.parametrize("body", ["a=%ff&b", "&".join(["a=b"] * 3000), "x" * 300_000])
async def test_a_body_that_is_no_form_is_refused(console: Console, body: str) -> None:
    browser = await console.signed_in()

    answer = await browser._send("POST", "/sign-out", body, {})

    assert answer.status in (400, 403, 413)
    assert (await browser.get("/account")).status == 200
