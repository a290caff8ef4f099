"""The web view in a real browser: nothing is wider than the screen, and axe-core finds nothing serious.

HUB_SPEED_SCREENSHOTS=FOLDER keeps a picture of every page.
"""

import base64
import json
import os
import shutil
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LONG = "a-word-without-any-place-to-break-" * 6
CARD = f"""---
license: mit
tags: [{LONG}]
nested: {{a: [{{b: {LONG}}}]}}
---
# {LONG}

A [link](x.md) in a text.

| {LONG} | b |
|---|---|
| 1 | 2 |

```python
{LONG}
```
"""
REPO = "/datasets/org/browser"
PAGES = {
    "index": "/",
    "list": "/datasets?search=browser",
    "search": "/search?q=browser",
    "card": REPO,
    "files": f"{REPO}/tree/main",
    "rows": f"{REPO}/viewer",
    "row": f"{REPO}/viewer/default/train?row=1",
    "commits": f"{REPO}/commits/main",
    "diff": f"{REPO}/compare?from=v1&to=main",
    "missing": "/datasets/org/none",
}
CHECKED = ("list", "card", "rows", "commits", "diff")  # by axe-core, which takes its time; between them they have all


@pytest.fixture(scope="module")
def content(web):
    """A dataset in two versions, with names and texts that do not fit into a line."""
    web("POST", "/api/repos/create", {"name": "browser", "organization": "org", "type": "dataset"})
    for version in ("one", "two"):
        rows = [{"id": str(i), "text": f"{LONG} {version}", LONG: "مرحبا"} for i in range(25)]
        files = {"README.md": f"{CARD}\n{version}", f"{LONG}.jsonl": "\n".join(map(json.dumps, rows))}
        lines = [
            {"path": path, "content": base64.b64encode(text.encode()).decode(), "encoding": "base64"}
            for path, text in files.items()
        ]
        assert web.commit("org/browser", [{"key": "file", "value": line} for line in lines]).status == 200
        web("POST", "/api/datasets/org/browser/tag/main", {"tag": {"one": "v1", "two": LONG}[version]})


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser here: {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_every_page_fits_and_can_be_used_by_everybody(hub, content, browser, width, scheme):
    size = {"width": width, "height": 900}
    with browser.new_context(viewport=size, color_scheme=scheme, bypass_csp=True) as context:
        page, asked = context.new_page(), set()
        page.on("request", lambda request: asked.add(request.url.partition("?")[0][: len(hub.endpoint)]))
        for name, path in PAGES.items():
            page.goto(hub.endpoint + path)
            if folder := os.environ.get("HUB_SPEED_SCREENSHOTS"):
                page.screenshot(path=Path(folder) / f"hub-{name}-{width}-{scheme}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            if name not in CHECKED:
                continue
            found = axe.Axe().run(page).response["violations"]
            serious = [item for item in found if item["impact"] in ("serious", "critical")]
            assert [(item["id"], item["nodes"][0]["html"]) for item in serious] == [], name
        page.goto(hub.endpoint + PAGES["rows"])
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.get_by_label("Text in any column").fill("two")
        page.get_by_role("button", name="Find").click()
        page.wait_for_url("**q=two**")  # this page has a link to the next one as well
        page.get_by_role("link", name="next").click()
        page.wait_for_url("**from=**")
        assert "q=two" in page.url and page.locator("tbody tr, .rows tr").count() > 1
        assert asked <= {hub.endpoint, "data:,"}
