"""The API's page: Swagger UI as it was published, and no request to any other host."""

import re
from hashlib import sha256
from pathlib import Path

import pytest

from app.halo.openapi import docs_page
from tests.api.client import Api
from tests.service import Service

pytestmark = pytest.mark.anyio


@pytest.fixture
def api(service: Service) -> Api:
    return service.api


STATIC = Path(docs_page.__file__).parent / "static"
# Of swagger-ui-dist 5.35.0, as npm's checksum of the package vouches for them.
PUBLISHED = {
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}
OURS_ONLY = {"'none'", "'self'", "data:"}


async def linked_files(api: Api) -> list[str]:
    page = await api.send("GET", "/api/docs", headers={})
    return re.findall(r'(?:href|src)="(docs/[^"]+)"', page.text)


async def test_the_page_may_load_and_send_nothing_beyond_this_host(api: Api) -> None:
    page = await api.send("GET", "/api/docs", headers={})

    policy = dict(one.split(" ", 1) for one in page.headers["Content-Security-Policy"].split("; "))
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert {"base-uri", "form-action", "frame-ancestors"} <= policy.keys()
    assert {word for allowed in policy.values() for word in allowed.split()} <= OURS_ONLY


async def test_the_page_holds_no_script_or_style_that_the_policy_would_stop(api: Api) -> None:
    page = await api.send("GET", "/api/docs", headers={})

    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page.text, re.DOTALL)
    assert scripts
    assert all('src="docs/' in attributes and not inline for attributes, inline in scripts)
    assert not re.search(r"<style| style=| on\w+=|//", page.text)


async def test_our_own_files_name_no_other_host(api: Api) -> None:
    for name in ("docs.css", "docs.js"):
        file = await api.send("GET", f"/api/docs/{name}", headers={})

        assert "//" not in re.sub(r"^\s*// .*$", "", file.text, flags=re.MULTILINE)


async def test_every_file_the_page_links_is_served(api: Api) -> None:
    ours = {one.name for one in STATIC.glob("*.*")} - {"docs.html"}

    linked = await linked_files(api)

    assert {link.partition("?")[0] for link in linked} == {f"docs/{n}" for n in {*PUBLISHED, *ours}}
    for link in linked:
        assert (await api.send("GET", f"/api/{link}", headers={})).status == 200


async def test_a_file_is_cached_for_good_only_by_the_hash_of_its_content(api: Api) -> None:
    link = next(one for one in await linked_files(api) if "bundle" in one)
    path = link.partition("?")[0]

    by_hash = await api.send("GET", f"/api/{link}", headers={})
    of_another_version = await api.send("GET", f"/api/{path}?0123456789abcdef", headers={})
    known = {"If-None-Match": by_hash.headers["ETag"]}
    again = await api.send("GET", f"/api/{path}", headers=known)

    assert "immutable" in by_hash.headers["Cache-Control"]
    assert of_another_version.headers["Cache-Control"] == "no-cache"
    assert (again.status, again.text) == (304, "")


@pytest.mark.parametrize("name", PUBLISHED)
async def test_swagger_ui_is_served_as_it_was_published(api: Api, name: str) -> None:
    served = await api.send("GET", f"/api/docs/{name}", headers={})

    assert sha256(served.text.encode()).hexdigest() == PUBLISHED[name]


@pytest.mark.parametrize(
    "name", ["docs.html", "..%2Froutes.py", "%2e%2e%2froutes.py", "LICENSE", "x"]
)
async def test_no_other_file_is_served(api: Api, name: str) -> None:
    assert (await api.send("GET", f"/api/docs/{name}", headers={})).status == 404
