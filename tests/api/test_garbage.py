"""Nobody gets a 5xx by garbage: in a path, a query, a body or a header, of any endpoint."""

import re
from collections.abc import Iterator

import pytest
from yarl import URL

from app.halo.routes import ROUTES
from tests.api.client import Api

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

IDS = ["0", "-1", "99999999999999999999", "1e3", "%00", "%ff%fe", "..", "%2e%2e%2f", "1;DROP",
       "٣", "x" * 3000, "null", "1.5", "%F0%9F%92%A9"]  # fmt: skip
QUERIES = [
    "page_no=0&pageinate=true", "page_size=-1&pageinate=true", "pageinate=perhaps", "count=1e9",
    "page_no=99999999999999999999&pageinate=true", "page_no=2147483647&pageinate=true",
    "order=id;DROP TABLE invoice", "order=%00&orderdesc=%ff", "search=%00", "search=%ff%fe",
    "search=" + "%25" * 80, "search=" + "x" * 5000, "id=%E2%88%9E", "client_id=1e400",
    "client_ids=1,,x", "client_ids=" + ",".join("1" * 2000), "start_date=0000-00-00",
    "start_date=9999-12-31T23:59:59-14:00", "end_date=1899-12-30", "start_date=%00",
    "datesearch=%00&start_date=2026-01-01", "advanced_search=[[[[[", "advanced_search=null",
    'advanced_search=[{"filter_name":1,"filter_type":[],"filter_value":{}}]', "a=" + "&a=" * 300,
    "paymentstatuses[]=x", "&&&==&", "lookupid=99999999999", "idonly=%7f", "%", "%zz=%zz",
]  # fmt: skip
BODIES = [
    b"", b"[", b"null", b"true", b"1", b'"x"', b"[]", b"[[]]", b"[[[]]]", b"{}", b"[null]", b"[1]",
    b"\xff\xfe", b"\x00", b"[" * 20000, b'{"a":' * 5000, b"[NaN]", b"[1e999999999]",
    b'[{"id":"x"}]', b'[{"id":1e400}]', b'[{"id":99999999999999999999999}]', b'[{"id":[]}]',
    b'[{"id":NaN}]', b'[{"name":"\\u0000"}]', b'[{"name":"\\ud800"}]', b'[{"name":{"a":1}}]',
    b'[{"lines":1}]', b'[{"lines":[null]}]', b'[{"lines":[{"qty_order":1e30,"unit_price":1e30}]}]',
    b'[{"lines":[{"qty_order":"9223372036854","unit_price":"9223372036854"}]}]',
    b'[{"duedate":"99999-01-01"}]', b'[{"customfields":{"a":[[[[1e400]]]]}}]', b'[{"":""}]',
    b'[{"client_id":-9223372036854775808}]', b'[{"currency_code":4711}]', b'[-1]', b'[0]',
    b'[{"invoice_id":1,"amount":1e-7}]', b'[{"tax_conditions":[{"value_lookup":1}]}]',
    b'[{"linked_rates":[{"id":null}]}]', b'[{"prorata_data":[1]}]', b'[{"tax_code":"\\u0000"}]',
]  # fmt: skip
HEADERS = [
    {"Content-Type": "text/plain"}, {"Content-Type": "multipart/form-data"},
    {"Accept": "image/png"},
    {"Idempotency-Key": "\u00ff"}, {"Idempotency-Key": "x" * 4000}, {"Content-Encoding": "gzip"},
    {"X-Anything": "\u00ff" * 200}, {"Accept-Language": "\u00fc"}, {"Range": "bytes=9-1"},
    {"If-None-Match": "*"}, {"Cookie": "=;=;"}, {"Content-Type": "application/json; charset=utf-7"},
]  # fmt: skip
TOKENS = ["", "Bearer", "Bearer ", "Bearer \u00ff", "Bearer " + "x" * 4000, "Basic Og==", "\t"]


def endpoints(*methods: str) -> Iterator[tuple[str, str]]:
    for route in ROUTES:
        for method in route.methods or ():
            if method in methods:
                yield method, route.path


def with_id(path: str, said: str = "1") -> str:
    return re.sub(r"{\w+}", said, path)


async def ask(api: Api, method: str, target: str, **options: object) -> None:
    """The target goes out as it is written: no client tidies it up."""
    answer = await api.send(method, URL(target, encoded=True), **options)
    assert answer.status < 500, (f"{method} {target[:200]}", options, answer.text)


async def test_no_id_is_too_strange(api: Api) -> None:
    for method, path in endpoints("GET", "POST", "DELETE"):
        for said in IDS if "{" in path else ():
            await ask(api, method, with_id(path, said))


async def test_no_query_is_too_strange(api: Api) -> None:
    await api.invoice(1)
    for method, path in endpoints("GET"):
        for query in QUERIES:
            await ask(api, method, f"{with_id(path)}?{query.replace(' ', '%20')}")


async def test_no_body_is_too_strange(api: Api) -> None:
    await api.invoice(1)
    for method, path in endpoints("POST"):
        for body in BODIES:
            await ask(api, method, with_id(path), data=body)


async def test_no_header_is_too_strange(api: Api) -> None:
    for method, path in endpoints("GET", "POST"):
        for header in HEADERS:
            headers = {**api.headers, **header}
            await ask(api, method, with_id(path), headers=headers, data=b"[{}]")


async def test_no_token_is_too_strange(api: Api) -> None:
    for method, path in endpoints("GET", "POST", "DELETE"):
        for token in TOKENS:
            await ask(api, method, with_id(path), headers={"Authorization": token})


PATHS = ["/api/%00", "/api//", "/API/INVOICE/%2f", "/api/Invoice/1/2/3/void", "/%ff", "//",
         "/api/docs/..%2f..%2fmain.py", "/api/Invoice/%0a"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
async def test_no_path_is_too_strange(api: Api, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE"):
        await ask(api, method, path)
