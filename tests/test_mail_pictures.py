"""Each kind of mail, drawn by Chromium: nothing is cut off, and all of it can be read.

PAYDUE_TEST_MAIL_PICTURES names a folder that keeps the pictures, for somebody to look at.
"""

import os
import re
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser

from app.mail.mail_content import MailFacts, OwedInvoice, mail_content
from app.mail.mail_rendering import RenderedMail, render_mail
from app.mail.mail_words import MAIL_LANGUAGES, mail_words
from app.rules.mail_kind import MailKind
from tests.console.screen import open_chromium

pytestmark = pytest.mark.anyio

OWED = [
    OwedInvoice(1, "INV-2026-00041", Decimal("1234.50"), "eur", date(2026, 11, 3)),
    OwedInvoice(2, "A-VERY-LONG-NUMBER-OF-A-CLIENT-" * 2, Decimal("7"), "usd", date(2026, 11, 9)),
]
FACTS = {
    "amount": "1241.50", "currency": "eur", "method": "Visa ···· 4242", "dispute": "dp_1Nx42",
    "intent_id": "pi_3Mx17", "reason": "fraudulent", "at": "2026-11-27T10:00:00+00:00",
    "evidence_due_at": "2026-12-09T10:00:00+00:00", "charge_on": "2026-12-01",
    "next_try_on": "2026-12-02", "exp_year": 2027, "exp_month": 2,
    "invoices": [{"id": 1, "amount": "1234.50"}, {"id": 2, "amount": "7.00"}],
}  # fmt: skip
# The contrast of WCAG 2.2, level AA, of every text with what it stands on.
CONTRAST = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = node => {
    for (; node; node = node.parentElement) {
      const found = rgb(getComputedStyle(node).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let least = 21;
  while (walker.nextNode()) {
    if (!walker.currentNode.textContent.trim()) continue;
    const node = walker.currentNode.parentElement;
    const pair = [light(rgb(getComputedStyle(node).color)), light(ground(node))].sort();
    const [dark, bright] = pair.sort((a, b) => a - b);
    least = Math.min(least, (bright + 0.05) / (dark + 0.05));
  }
  return least;
}"""


def a_mail(kind: MailKind, language: str) -> RenderedMail:
    facts = MailFacts(
        kind=kind, facts=FACTS, name="Ann & Söhne <GmbH>", seller="Example Networks",
        timezone="UTC", today=date(2026, 11, 27), invoices=OWED,
        numbers={one.id: one.number for one in OWED},
    )  # fmt: skip
    return render_mail(mail_content(facts, mail_words("", language)), "")


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with open_chromium() as browser:
        yield browser


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "de"])
async def test_each_kind_is_drawn_whole_and_legible(
    chromium: Browser, language: str, theme: Any
) -> None:
    folder = os.environ.get("PAYDUE_TEST_MAIL_PICTURES")
    grounds = set()
    for kind in MailKind:
        for width in (320, 700):
            page = await chromium.new_page(
                viewport={"width": width, "height": 700}, color_scheme=theme
            )
            await page.set_content(a_mail(kind, language).html)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, kind
            assert await page.evaluate(CONTRAST) >= 4.5, kind
            grounds.add(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
            if folder:
                file = Path(folder) / f"{kind}-{language}-{theme}-{width}.png"
                await page.screenshot(path=file, full_page=True)
            await page.close()
    assert grounds == {"rgb(243, 244, 246)" if theme == "light" else "rgb(20, 23, 26)"}


@pytest.mark.parametrize("language", MAIL_LANGUAGES)
def test_every_language_has_every_text_and_leaves_no_value_out(language: str) -> None:
    ours, english = mail_words("", language).texts, mail_words("", "en").texts
    assert ours.keys() == english.keys()
    for key, text in english.items():
        assert set(re.findall(r"\$\w+", ours[key])) == set(re.findall(r"\$\w+", text)), key
    for kind in MailKind:
        mail = a_mail(kind, language)
        assert "$amount" not in "".join(mail)
        assert "<GmbH>" not in mail.html
        assert "Ann & Söhne <GmbH>" in mail.text or kind == "dispute" or "Ann" in mail.text


def test_own_words_and_templates_stand_before_ours(tmp_path: Path) -> None:
    (tmp_path / "en.json").write_text('{"receipt.subject": "Merci for $amount"}')
    (tmp_path / "receipt.txt").write_text("Own: {{ heading }}")
    facts = MailFacts("receipt", FACTS, "Ann", "Us", "UTC", date(2026, 11, 27), OWED, {})
    folder = str(tmp_path)

    mail = render_mail(mail_content(facts, mail_words(folder, "en")), folder)

    assert mail.subject == "Merci for €1,241.50"
    assert mail.text == "Own: Thank you for your payment"
    assert "<h1>Thank you for your payment</h1>" in mail.html
