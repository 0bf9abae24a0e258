"""docs/billing.md tells the truth: its requests run in their order and answer what stands there."""

import json
import re
from pathlib import Path

import pytest

from tests.api.client import Api
from tests.test_api_docs import decoded, shows

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "billing.md").read_text()
_EXAMPLE = re.compile(r"^```http\n(\w+) (\S+)\n(.*?)```\s+```json\n(.*?)^```", re.M | re.S)


async def test_the_examples_answer_what_the_page_says(api: Api) -> None:
    found = _EXAMPLE.findall(PAGE)
    assert len(found) == PAGE.count("```http")

    for method, path, body, told in found:
        sent = {"data": json.dumps(json.loads(body)).encode()} if body.strip() else {}
        answer = await api.send(method, path, **sent)

        (expected,) = decoded(told)
        assert shows(answer.json, expected), (method, path, answer.text)
