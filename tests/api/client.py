"""A client of the API that reads numbers exactly, as the tests compare them."""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp
from yarl import URL

from app.storage.engines import Database


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: Any

    @property
    def json(self) -> Any:
        return json.loads(self.text, parse_float=Decimal)


class Api:
    def __init__(self, session: aiohttp.ClientSession, database: Database) -> None:
        self.session = session
        self.database = database
        self.headers: dict[str, str] = {}
        self.credentials = ("", "")

    async def token(self, **form: str) -> Answer:
        return await self.send("POST", "/auth/token", data=form)

    async def sign_in(self, client_id: str, client_secret: str, scope: str = "all") -> None:
        answer = await self.token(
            grant_type="client_credentials",
            client_id=client_id,
            client_secret=client_secret,
            scope=scope,
        )
        assert answer.status == 200, answer.text
        self.credentials = (client_id, client_secret)
        self.headers = {"Authorization": f"Bearer {answer.json['access_token']}"}

    async def send(self, method: str, path: str | URL, **options: Any) -> Answer:
        options.setdefault("headers", self.headers)
        async with self.session.request(method, path, **options) as response:
            return Answer(response.status, await response.text(errors="replace"), response.headers)

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self.send("GET", path, params=params)
        assert answer.status == 200, answer.text
        return answer.json

    async def post(self, path: str, *objects: Any) -> Any:
        answer = await self.send("POST", path, json=list(objects))
        assert answer.status in (200, 201), answer.text
        return answer.json

    async def post_text(self, path: str, body: str) -> Answer:
        return await self.send("POST", path, data=body.encode())

    async def client(self, **values: Any) -> int:
        return (await self.post("/api/Client", {"name": "Ada Ltd", **values}))["id"]

    async def invoice(self, *prices: Any, **values: Any) -> Any:
        lines = [{"qty_order": 1, "unit_price": price} for price in prices]
        return await self.post("/api/Invoice", {"lines": lines, **values})
