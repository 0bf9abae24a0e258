"""`serve --only` gives the webhook a process of its own, beside the API's on the same database."""

from pathlib import Path

import pytest

from tests.harness import SECRET
from tests.place.programs import program
from tests.place.test_drain_and_reload import delivered, status_of, until_status
from tests.postgres import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


@pytest.mark.parametrize("processes", ["1", "2"])
async def test_each_part_serves_its_own_pages_and_none_of_the_other(
    sqlite_template: Path, stripe_url: str, tmp_path: Path, processes: str
) -> None:
    where = {
        "database_url": f"sqlite:///{tmp_path / 'paydue.db'}",
        "stripe_url": stripe_url,
        "folder": tmp_path,
    }
    ports = {"webhooks": free_port(), "api": free_port()}
    urls = {part: f"http://127.0.0.1:{port}" for part, port in ports.items()}

    def serving(part: str):
        port = str(ports[part])
        return program("serve", "--port", port, "--only", part, "--workers", processes, **where)

    async with serving("webhooks") as webhooks, serving("api") as api:
        for url in urls.values():
            await until_status(f"{url}/readyz", 200)

        assert await delivered(urls["webhooks"], SECRET) == 200
        assert await delivered(urls["api"], SECRET) == 404
        assert await status_of(f"{urls['webhooks']}/api/Invoice") == 404
        assert await status_of(f"{urls['api']}/api/Invoice") == 401
        assert await status_of(f"{urls['webhooks']}/metrics") == 200
        assert {(await one.terminated())[0] for one in (webhooks, api)} == {0}
