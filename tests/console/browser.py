"""A browser without a screen: it keeps cookies, follows no redirect, and sends the forms it got."""

import re
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urlencode

import aiohttp

_FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


@dataclass
class Shown:
    """An answer as the browser got it."""

    status: int
    text: str
    headers: Any

    @property
    def location(self) -> str:
        return str(self.headers.get("Location", ""))

    @property
    def hidden(self) -> dict[str, str]:
        """The hidden fields of the page's forms."""
        return {name: unescape(value) for name, value in _FIELD.findall(self.text)}


@dataclass
class Browser:
    """Cookies are kept by hand, as attributes and all, so that tests see what a server set."""

    http: aiohttp.ClientSession
    cookies: dict[str, str] = field(default_factory=dict)
    set_cookies: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, **headers: str) -> Shown:
        return await self._send("GET", path, None, headers)

    async def post(self, path: str, fields: dict[str, Any], **headers: str) -> Shown:
        """A form with exactly these fields."""
        return await self._send("POST", path, urlencode(fields, doseq=True), headers)

    async def submit(self, page: str, fields: dict[str, Any] | None = None, to: str = "") -> Shown:
        """Open a page and send its form."""
        shown = await self.get(page)
        assert shown.status == 200, (shown.status, shown.location, shown.text)
        return await self.post(to or page.partition("?")[0], {**shown.hidden, **(fields or {})})

    async def follow(self, link: str) -> Shown:
        """Sign in by a one-time link."""
        return await self.submit(link)

    async def _send(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> Shown:
        sent = {"Accept": "text/html", **self.headers}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        async with self.http.request(
            method, path, data=body, headers=sent, allow_redirects=False
        ) as answer:
            for line in answer.headers.getall("Set-Cookie", ()):
                self._keep(line)
            return Shown(answer.status, await answer.text(errors="replace"), answer.headers)

    def _keep(self, line: str) -> None:
        self.set_cookies.append(line)
        name, _, value = line.partition(";")[0].partition("=")
        if "Max-Age=0" in line:
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value.strip('"')
