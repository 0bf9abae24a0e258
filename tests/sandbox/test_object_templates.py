"""The sandbox's object templates are those that the pinned version of stripe-mock publishes."""

import re
from pathlib import Path

import pytest

from tests.conftest import absent
from tests.sandbox import stripe_fixtures


@pytest.fixture
def source() -> Path:
    found = stripe_fixtures.source()
    if found is None:
        absent(stripe_fixtures.MISSING)
    return found


def test_the_templates_are_made_from_the_fixtures_of_the_pinned_stripe_mock(source: Path) -> None:
    committed = (stripe_fixtures.ROOT / stripe_fixtures.TEMPLATES).read_text()

    made = stripe_fixtures.templates(source)

    assert made == committed, "run `python -m tests.sandbox.stripe_fixtures`"


def test_the_licence_beside_the_templates_is_that_of_their_source(source: Path) -> None:
    committed = (stripe_fixtures.ROOT / stripe_fixtures.LICENSE).read_text()

    theirs = (source / "LICENSE").read_text()

    assert committed == theirs


def test_no_template_carries_an_id_or_a_secret_of_stripes_test_account() -> None:
    committed = (stripe_fixtures.ROOT / stripe_fixtures.TEMPLATES).read_text()

    found = re.findall(r"\w*_secret_\w*|\b(?:acct|ch|cs|cus|pi|pm|seti|sk|whsec)_\w{8,}", committed)

    assert not found
