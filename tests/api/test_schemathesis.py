"""The served API keeps what its OpenAPI document says, whatever schemathesis makes up to ask it.

Deterministic and short, so that it runs with every other test. PAYDUE_SCHEMATHESIS_EXAMPLES=100
asks for so many cases an operation, and for every boundary of every property as well.
"""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from app.errors import Refused
from app.halo.access.api_credentials import create_credential
from app.main import StripeActs, create_app
from app.serving import serve_in_loop
from app.settings import Settings
from app.storage.engines import Database
from tests.api.client import Api
from tests.clock import NOW, Clock

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
ASKED = os.environ.get("PAYDUE_SCHEMATHESIS_EXAMPLES")
EXAMPLES = ASKED or "5"
CHECKS = """
    not_a_server_error status_code_conformance content_type_conformance
    response_headers_conformance response_schema_conformance ignored_auth use_after_free
""".split()
PHASES = ["examples", *(["coverage"] if ASKED else []), "fuzzing", "stateful"]


async def schemathesis(base: str, token: str, folder: Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{base}/api/openapi.json"),
        *("--header", f"Authorization: {token}"),
        *("--checks", ",".join(CHECKS)),
        *("--phases", ",".join(PHASES)),
        *("--max-examples", EXAMPLES),
        *("--seed", "1", "--generation-deterministic"),
        *("--suppress-health-check", "all", "--warnings", "off", "--no-color"),
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.api.schemathesis_hooks",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def _refuse(*_: object, **__: object) -> Any:
    raise Refused("there is no Stripe beside this test")


class _Refusing:
    create_payment_intent = create_setup_intent = create_portal_session = staticmethod(_refuse)
    set_webhook = method_name = staticmethod(_refuse)


REFUSING = StripeActs(_refuse, _refuse, _refuse, _refuse, halo_stripe=_Refusing())


async def test_no_answer_breaks_the_document(
    database: Database, clock: Clock, tmp_path: Path
) -> None:
    settings = Settings(_env_file=None, PAYDUE_RATE_LIMIT=0)
    async with database.transaction() as tx:
        client_id, secret = await create_credential(tx, "schemathesis", ["all"], NOW)
    async with serve_in_loop(create_app(settings, database, clock=clock, acts=REFUSING)) as base:
        token = await bought(base, database, client_id, secret)

        code, said = await schemathesis(base, token, tmp_path)

    assert code == 0, said
    tested = re.search(r"(\d+) selected / (\d+) total", said)
    assert tested is not None, said
    assert tested[1] == tested[2]


async def bought(base: str, database: Database, client_id: str, secret: str) -> str:
    import aiohttp

    async with aiohttp.ClientSession(base) as session:
        api = Api(session, database)
        await api.sign_in(client_id, secret)
        return api.headers["Authorization"]
