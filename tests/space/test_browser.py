"""The explorer in a real browser: each tab at two widths, light and dark, with a keyboard, and by its address.

HUB_SPEED_SCREENSHOTS=FOLDER keeps a picture of every view.
"""

import itertools
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fake_openai import FakeOpenAI
from running import free_port, kill
from space_run import answer, copy_of_run

pytestmark = pytest.mark.slow
playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("gradio")
pytest.importorskip("torch")
from axe_playwright_python.sync_playwright import Axe  # noqa: E402

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 120_000  # a busy machine loads models slowly
VIEWS = {
    "generate": ("", ".sx-flow"),
    "search": ("tab=search", ".sx-heat"),
    "rows": ("tab=data", ".sx-parts"),
    "map": ("tab=data&view=map", ".sx-map circle"),
    "numbers": ("tab=data&view=numbers", ".sx-bars"),
    "lineage": ("tab=data&view=lineage", ".sx-lineage rect"),
    "use": ("tab=use", ".sx-copy"),
}
"""Name of a view → its address, and what is seen when it is there."""


STILL = """() => document.getAnimations().every(
  one => one.playState !== "running" || one.effect.getComputedTiming().endTime === Infinity)"""
"""Whether nothing fades or changes its colour; what turns for ever does not count."""

SLOW = """
const ask = window.fetch, wait = new Promise(go => { window.goOn = go })
window.fetch = async (...request) => {
  if (String(request[0].url ?? request[0]).includes("/queue/join")) await wait
  return ask(...request)
}"""
"""Holds back what a page asks for until `goOn()`."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running explorer; an endpoint answers in place of the generator."""
    cli, port = copy_of_run(tmp_path_factory), free_port()
    with FakeOpenAI(answer) as models:
        process = cli.start("space", "run", "--port", str(port), HUB_SPEED_JUNIOR_URL=models.url)
        try:
            if not any(f":{port}" in line for line in process.stdout or ()):
                raise AssertionError(process.communicate()[1][-3000:])
            yield f"http://127.0.0.1:{port}"
        finally:
            kill(process)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser here: {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def asked() -> list[str]:
    """The addresses that pages have asked for."""
    return []


@pytest.fixture
def page(browser: Any, asked: list[str], url: str) -> Iterator[Any]:
    """A page of 1,280 pixels; afterwards, it has asked nobody but the Space, and no script has failed."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, permissions=["clipboard-read", "clipboard-write"]
    )
    context.set_default_timeout(PATIENCE_MS)
    opened, failed = context.new_page(), []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: failed.append(str(error)))
    yield opened
    context.close()
    assert [one for one in asked if not one.startswith((url, "data:", "blob:"))] == []
    assert failed == []


def address(page: Any) -> dict[str, str]:
    """What the page's address says."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def serious(page: Any) -> list[str]:
    """What axe-core finds on the page that keeps people out."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_is_complete_readable_and_fits(page: Any, url: str, name: str) -> None:
    (query, there), pictures, problems = VIEWS[name], os.environ.get("HUB_SPEED_SCREENSHOTS"), {}
    page.goto(f"{url}/?{query}")
    page.locator(there).first.wait_for()
    assert page.locator("[role=alert]").count() == 0
    for width, theme in itertools.product((1280, 390), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=theme)
        page.wait_for_timeout(300)  # tabs fade in, colours change: until then
        page.wait_for_function(STILL)
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, (width, theme)
        if pictures:
            page.screenshot(path=Path(pictures) / f"{name}-{width}-{theme}.png", full_page=True)
        if found := serious(page):
            problems[width, theme] = found
    assert problems == {}


def test_arrow_keys_move_between_tabs_and_the_address_follows(page: Any, url: str) -> None:
    page.goto(url)
    page.get_by_role("tab", name="Generate").focus()
    for key, tab in (("ArrowRight", "search"), ("ArrowRight", "data"), ("End", "use"), ("ArrowLeft", "data")):
        page.keyboard.press(key)
        page.wait_for_url(re.compile(f"tab={tab}"))
    page.locator(".sx-parts").first.wait_for()
    page.get_by_role("tab", name="Lineage").click()
    page.locator(".sx-lineage rect").first.wait_for()
    page.wait_for_url(re.compile("view=lineage"))
    assert address(page) == {"tab": "data", "view": "lineage"}
    links = page.locator(".sx-lineage a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert all(re.search(r"/tree/[0-9a-f]{40}$", link) for link in links) and len(links) > 8


def test_a_tab_that_was_chosen_stays_though_the_address_is_answered_later(page: Any, url: str) -> None:
    page.add_init_script(SLOW)
    page.goto(f"{url}/?tab=search")
    page.get_by_role("tab", name="Use it").click()
    page.evaluate("goOn()")
    page.locator(".sx-heat").first.wait_for(state="attached")  # answered after the tab of the address
    page.wait_for_timeout(500)
    page.locator(".sx-copy").first.wait_for()
    assert page.locator("[role=tab][aria-selected=true]").first.inner_text() == "Use it"
    assert address(page) == {"tab": "use"}


def test_rows_are_turned_filtered_and_linked_to(page: Any, url: str) -> None:
    page.goto(f"{url}/?tab=data&type=sts&p=9999")
    number, back = page.get_by_label("Page"), page.get_by_role("button", name="Previous")
    page.locator(".sx-parts").first.wait_for()
    playwright.expect(number).not_to_have_value(re.compile("^(9999)?$"))
    last = int(number.input_value())
    assert 1 <= last < 9999
    page.goto(f"{url}/?tab=data")
    page.locator(".sx-parts").first.wait_for()
    first = page.locator(".sx-card code").first.inner_text()
    page.get_by_role("button", name="Next").click()
    page.wait_for_url(re.compile("p=2"))
    back.click()
    page.wait_for_url(re.compile(r"tab=data$"))
    number.fill("")  # nothing is page 1
    page.wait_for_timeout(500)
    assert page.locator("[role=alert]").count() == 0
    page.goto(f"{url}/?tab=data&id={first}")
    page.locator(f"#row-{first}").wait_for()
    assert page.locator(".sx-card code").count() == 1
    page.goto(f"{url}/?tab=data&set=synthesize&state=rejected&reason=bad_json")
    page.get_by_text("I would rather not").first.wait_for()  # with HTML in it, which is shown and not run
    assert page.locator("img[src=x]").count() == 0


def test_a_point_of_the_map_shows_its_row(page: Any, url: str) -> None:
    page.goto(f"{url}/?tab=data&view=map")
    points = page.locator(".sx-map circle")
    points.first.wait_for()
    name = points.first.get_attribute("data-id")
    page.locator(".sx-map").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator(f"#row-{name}").wait_for()


def test_own_texts_are_ranked_beside_bm25(page: Any, url: str) -> None:
    page.goto(f"{url}/?tab=search")
    page.locator(".sx-heat").first.wait_for()
    page.get_by_label("Beside it").click()
    page.get_by_role("option", name="BM25").click()
    query = page.get_by_label("Query (several")
    query.fill("מה זה הליום")
    page.get_by_label("Texts, one a line").fill("הליום הוא גז.\nRakes smooth the soil.")
    page.get_by_role("button", name="Search").click()
    page.locator(".sx-ranking li").first.wait_for()
    page.get_by_text("BM25 (words in common)").wait_for()
    assert page.locator(".sx-ranking").count() == 2
    assert query.evaluate("box => getComputedStyle(box).unicodeBidi") == "plaintext"  # as its text runs
    query.fill("")
    page.get_by_role("button", name="Search").click()
    page.get_by_text("A query and some texts are needed").wait_for()


def test_lines_are_copied_as_they_stand(page: Any, url: str) -> None:
    page.goto(f"{url}/?tab=use")
    button = page.locator(".sx-copy").nth(1)
    button.click()
    page.get_by_text("Copied").wait_for()
    shown = page.locator(".sx-lines pre").nth(1).inner_text()
    assert page.evaluate("navigator.clipboard.readText()") == shown
    assert "load_dataset" in shown and re.search(r'revision="[0-9a-f]{40}"', shown)
