"""Pages as they look: pictures at two widths in both themes, compared with those that are kept.

A difference is counted in blocks of the small picture, so that a date or a name is none, and a part
that moved, lost its colour or is missing is one. The font is one of ours, whatever a machine has.
After a change that is meant, PAYDUE_KEEP_PICTURES=1 writes the kept ones anew.
"""

import os
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, Route

from tests.console.screen import Screen

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300)]

KEPT = Path(__file__).parent / "pictures"
FONTS = Path(__file__).parents[2] / "app" / "documents" / "fonts"
LAPTOP, PHONE = (1280, 900), (390, 844)
# Dates and ages differ from day to day; a part that moved is far more than they are.
TOLERATED = 0.15
_FONT = """
@font-face{font-family:Kept; src:url(/static/kept-Regular.ttf)}
@font-face{font-family:Kept; src:url(/static/kept-Bold.ttf); font-weight:500 900}
:root{--sans:Kept; --mono:Kept}
"""
# Both pictures are drawn at a quarter of the size. Blocks whose mean colours differ are counted, as
# a part of those on which there is something.
_COMPARE = """async ({shown, kept}) => {
  const load = async (source) => {
    const image = new Image();
    image.src = source;
    await image.decode();
    return image;
  };
  const from = await load(shown), like = kept && await load(kept);
  const width = Math.round(from.width / 4), height = Math.round(from.height / 4);
  const draw = (image) => {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, width, height);
    return { canvas, data: context.getImageData(0, 0, width, height).data };
  };
  const one = draw(from), small = one.canvas.toDataURL("image/webp", 0.8);
  if (!like || like.width !== width || like.height !== height) return { small, differs: 1 };
  const both = [one.data, draw(like).data], size = 6;
  const look = (data, left, top) => {
    const mean = [0, 0, 0];
    let least = 255, most = 0;
    for (let y = top; y < top + size; y++)
      for (let x = left; x < left + size; x++)
        for (const c of [0, 1, 2]) {
          const value = data[(y * width + x) * 4 + c];
          mean[c] += value / size / size;
          least = Math.min(least, value);
          most = Math.max(most, value);
        }
    return { mean, isInked: most - least > 40 };
  };
  let inked = 0, unlike = 0;
  for (let top = 0; top + size <= height; top += size)
    for (let left = 0; left + size <= width; left += size) {
      const [mine, other] = both.map((data) => look(data, left, top));
      if (mine.isInked || other.isInked) inked += 1;
      if (mine.mean.some((value, c) => Math.abs(value - other.mean[c]) > 16)) unlike += 1;
    }
  return { small, differs: unlike / inked };
}"""


@pytest.fixture(scope="module")
async def window(screen: Screen) -> AsyncIterator[BrowserContext]:
    """A window of the same person in which every machine has the same font."""
    browser = screen.context.browser
    assert browser is not None
    state = await screen.context.storage_state()
    context = await browser.new_context(base_url=screen.house.url, storage_state=state)

    async def tokens(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, body=await answer.text() + _FONT)

    async def font(route: Route) -> None:
        name = route.request.url.rpartition("-")[2]
        await route.fulfill(path=FONTS / f"PaydueSans-{name}")

    await context.route("**/static/tokens.css*", tokens)
    await context.route("**/static/kept-*", font)
    yield context
    await context.close()


async def _paths(screen: Screen) -> dict[str, str]:
    payment = (await screen.house.payments(1))[0].intent_id
    return {
        "home": "/",
        "payments": "/payments",
        "payment": f"/payments/{payment}",
        "invoice": "/invoices/1",
    }


async def _compared(
    page: Page, scratch: Page, name: str, folder: Path, *, renews: bool = False
) -> float:
    """The part of the picture that differs from the kept one; both are written for a person."""
    shown = await page.screenshot(path=folder / f"{name}.png")
    kept = KEPT / f"{name}.webp"
    is_kept = kept.exists() and not renews
    sources = {
        "shown": f"data:image/png;base64,{b64encode(shown).decode()}",
        "kept": f"data:image/webp;base64,{b64encode(kept.read_bytes()).decode()}"
        if is_kept
        else None,
    }
    found = await scratch.evaluate(_COMPARE, sources)
    if renews:
        KEPT.mkdir(exist_ok=True)
        kept.write_bytes(b64decode(found["small"].partition(",")[2]))
        return 0.0
    return float(found["differs"])


async def test_pages_look_as_they_are_kept(
    screen: Screen, window: BrowserContext, tmp_path: Path
) -> None:
    page, scratch = await window.new_page(), await window.new_page()
    renews = "PAYDUE_KEEP_PICTURES" in os.environ
    found: dict[str, float] = {}
    for name, path in (await _paths(screen)).items():
        await page.goto(path)
        for (width, height), label in ((LAPTOP, "laptop"), (PHONE, "phone")):
            await page.set_viewport_size({"width": width, "height": height})
            for theme in ("light", "dark"):
                await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
                await page.evaluate("document.fonts.ready.then(() => scrollTo(0, 0))")
                picture = f"{name}-{label}-{theme}"
                found[picture] = await _compared(page, scratch, picture, tmp_path, renews=renews)

    assert {name: part for name, part in found.items() if part > TOLERATED} == {}, tmp_path


@pytest.mark.parametrize(
    "change",
    [
        "document.querySelector('.side').remove()",
        "document.documentElement.dataset.theme = 'dark'",
        "document.querySelector('main').style.paddingTop = '60px'",
        "document.documentElement.style.fontSize = '17px'",
    ],
)
async def test_a_page_that_looks_otherwise_is_noticed(
    window: BrowserContext, tmp_path: Path, change: str
) -> None:
    page, scratch = await window.new_page(), await window.new_page()
    await page.set_viewport_size({"width": LAPTOP[0], "height": LAPTOP[1]})
    await page.emulate_media(color_scheme="light", reduced_motion="reduce")
    await page.goto("/")
    await page.evaluate(change)

    assert await _compared(page, scratch, "home-laptop-light", tmp_path) > TOLERATED
