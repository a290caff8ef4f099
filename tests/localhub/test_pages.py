"""The web view: what a person sees, and what a card cannot do to them."""

import base64
import html.parser
import json
import re
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_speed.localhub import markdown, repo_pages

CARD = """---
license: apache-2.0
tags: [synthetic, "<b>odd</b>"]
configs:
- config_name: default
  data_files: "*.parquet"
---
# Heading

| config | rows |
|---|---:|
| default | 240 |

| | |
|---|---|
| no heading | here |

![A figure](figures/rows.png) ![outside](https://example.com/x.png) [data](data/train.parquet)

<p align="center"><img src="./figures/rows.png" width="300" onerror="alert(1)"></p>
<script>alert(2)</script> <a href="javascript:alert(3)">x</a> [y](javascript:alert(4))
<details><summary>More</summary>inner</details>
"""


@pytest.fixture(scope="module", autouse=True)
def pages(web):
    web("POST", "/api/repos/create", {"name": "pages", "organization": "org", "type": "dataset"})
    web("POST", "/api/repos/create", {"name": "pages-model", "organization": "org"})
    web("POST", "/api/repos/create", {"name": "pages-private", "organization": "org", "visibility": "private"})
    web("POST", "/api/repos/create", {"name": "x", "organization": "hidden", "visibility": "private"})
    web("POST", "/api/repos/create", {"name": "pages-space", "organization": "org", "type": "space", "sdk": "gradio"})
    files = {
        "README.md": CARD.encode(),
        "figures/rows.png": b"png",
        "data/train.parquet": b"1234",
        "odd %?#.txt": b"odd",
    }
    web.commit(
        "org/pages",
        [
            {
                "key": "file",
                "value": {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"},
            }
            for path, content in files.items()
        ],
    )
    web("POST", "/api/datasets/org/pages/tag/main", {"tag": "v1.0"})
    web("POST", "/api/datasets/org/pages/branch/feat%2Fa", {})
    slug = web("POST", "/api/collections", {"title": "Pages", "namespace": "org"}).json["slug"]
    web("POST", f"/api/collections/{slug}/items", {"item": {"type": "dataset", "id": "org/pages"}, "note": "a note"})
    web("POST", f"/api/collections/{slug}/items", {"item": {"type": "paper", "id": "2410.18634/é\ufffd?"}})


class Links(html.parser.HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.links, self.images, self.tags, self.attributes = [], [], set(), set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        values = dict(attrs)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "img" and "src" in values:
            self.images.append(values["src"])


def get(web, path):
    answer = web("GET", path, anonymous=True)
    assert answer.headers["content-type"].startswith("text/html"), answer.body
    assert "script" not in answer.headers["content-security-policy"]
    return answer.status, answer.body.decode()


def test_every_link_of_the_view_leads_somewhere(web):
    seen, waiting = set(), ["/", "/datasets/org/pages"]
    while waiting:
        path = waiting.pop(0)
        of_others = "/org/" in path and "/org/pages" not in path  # other tests fill the hub as well
        if path in seen or of_others or (len(seen) > 150 and "org/pages" not in path):
            continue
        seen.add(path)
        answer = web("GET", path, anonymous=True)
        while answer.status == 307:
            answer = web("GET", answer.headers["location"], anonymous=True)
        assert answer.status == 200, path
        if answer.headers["content-type"].startswith("text/html"):
            page = Links(answer.body.decode())
            urls = [urljoin(path, url) for url in [*page.links, *page.images]]
            waiting += [url.partition("#")[0] for url in urls if not urlsplit(url).netloc]
    assert "/datasets/org/pages/tree/v1.0" in seen and "/datasets/org/pages/tree/feat%2Fa" in seen
    assert "/datasets/org/pages/resolve/main/odd%20%25%3F%23.txt" in seen
    assert any(path.startswith("/collections/org/pages-") for path in seen)


def test_repo_page(web):
    status, page = get(web, "/datasets/org/pages")
    sha = web("GET", "/api/datasets/org/pages").json["sha"]
    parsed = Links(page)
    assert status == 200 and '<h1 id="heading">Heading</h1>' in page and "<td>default</td>" in page
    assert parsed.images == [f"/datasets/org/pages/resolve/{sha}/figures/rows.png"] * 2 and 'width="300"' in page
    assert f"/datasets/org/pages/resolve/{sha}/data/train.parquet" in parsed.links
    assert "apache-2.0" in page and "v1.0" in page and "data_files" in page and "load_dataset(" in page
    assert "&lt;b&gt;odd&lt;/b&gt;" in page.replace("&amp;", "&")
    assert "script" not in parsed.tags and "onerror" not in parsed.attributes and "alert(2)" not in page
    assert not [link for link in parsed.links if link.startswith("javascript")]
    assert "<summary>More</summary>inner" in page
    assert "<td>no heading</td>" in page and page.count("<thead>") == 1  # that of the table with headings
    assert web("GET", "/datasets/org/pages/resolve/main/figures/rows.png").headers["content-type"] == "image/png"


def test_tree_pages_and_redirects(web):
    status, page = get(web, "/datasets/org/pages/tree/v1.0/figures")
    assert status == 200 and "rows.png" in page and "3 B" in page and "test" in page
    to_file = web("GET", "/datasets/org/pages/blob/feat%2Fa/README.md")
    assert to_file.headers["location"] == "/datasets/org/pages/resolve/feat%2Fa/README.md"


@pytest.mark.parametrize(
    "path",
    [
        "/nobody",
        "/hidden",
        "/org/none",
        "/datasets/org/pages/tree/none",
        "/spaces/a/b",
        "/datasets/org/pages/tree/main/x",
        "/datasets/org/pages/viewer/x/y",
    ],
)
def test_what_is_missing_is_said_in_a_page(web, path):
    status, page = get(web, path)
    assert status == 404 and "not found" in page.lower()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("![x](../../secret.png)", '<p><img alt="x"></p>'),
        ("[x](../up.md)", '<p><a rel="noopener">x</a></p>'),
        ("[x](#part)", '<p><a href="#part" rel="noopener">x</a></p>'),
        ("[x](/org/m)", '<p><a href="/org/m" rel="noopener">x</a></p>'),
        ('![a"b](c d.png)', None),
        ("<img src=x.png alt='\"><script>'>", '<img src="/base/x.png" alt="&quot;&gt;&lt;script&gt;">'),
        ("<img src='data:text/html,x'>", None),
        ("<style>body{}</style>text", "text"),
        ("<div onclick=x>in</div>", "in"),
        ("[x](javascript:alert)", "<p>[x](javascript:alert)</p>"),
        ("<a href=' JaVa&#9;script:alert(1)'>x</a>", '<p><a rel="noopener">x</a></p>'),
        ("<a href=vbscript:x onmouseover=y>x</a>", '<p><a rel="noopener">x</a></p>'),
        ("<a href='data:text/html;base64,AA'>x</a>", '<p><a rel="noopener">x</a></p>'),
        ("<a href=a.md target=_top>x</a>", '<p><a href="/base/a.md" rel="noopener">x</a></p>'),
        ("![x](data:image/svg+xml;base64,AA)", "<p>![x](data:image/svg+xml;base64,AA)</p>"),
        ("![x](https://a.example/b.png)", '<p><a href="https://a.example/b.png" rel="noopener">x</a></p>'),
        ("# How it *was* `made`", '<h1 id="how-it-was-made">How it <em>was</em> <code>made</code></h1>'),
        (
            "## Rows\n\nRows\n---\n\n###### Main",
            '<h2 id="rows">Rows</h2>\n<h2 id="rows-1">Rows</h2>\n<h6 id="main-1">Main</h6>',
        ),
        ("# 训练", '<h1 id="训练">训练</h1>'),
        ('<h2 id="main" onclick="x">x</h2>', "<h2>x</h2>"),
        (
            "see https://a.example/b_c.",
            '<p>see <a href="https://a.example/b_c" rel="noopener">https://a.example/b_c</a>.</p>',
        ),
        ("README.md, a@b.example, //c.example and ftp://d.example", None),
        (
            "# javascript:alert(1) <script>alert(2)</script>",
            '<h1 id="javascriptalert1-alert2">javascript:alert(1) </h1>',
        ),
        ("javascript://a.example/%0aalert(1) <javascript:alert(1)>", None),
        (
            'https://a.example/"onmouseover=x><img src=x onerror=y>',
            '<p><a href="https://a.example/" rel="noopener">https://a.example/</a>"onmouseover=x&gt;'
            '<img src="/base/x"></p>',
        ),
        ("`https://a.example`", "<p><code>https://a.example</code></p>"),
        ("![x](http://[bad)", '<p><a rel="noopener">x</a></p>'),
        ("<img src=https://a.example/b.png onload=x alt=x>", '<img alt="x">'),
        ("<img src='//a.example/b.png' alt=x>", '<img alt="x">'),
        ("<img src='/\\a.example/b.png' alt=x>", '<img alt="x">'),
        ("<img src=' /\t/a.example/b.png' alt=x>", '<img alt="x">'),
        ("<img src=//[bad alt=x>", '<img alt="x">'),
        ("<img src=a.png srcset='//a.example/b.png 2x' width=9 height=9px>", '<img src="/base/a.png" width="9">'),
        ("<svg><script>x</script><a href=javascript:x>y</a></svg>", None),
        ("<svg><style><img src=x onerror=y></style></svg>", None),
        ("<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=x&gt;'>", None),
        ("<noscript><p title='</noscript><img src=x onerror=y>'>", None),
        ("<b><i><iframe src=x><p>1</b></i></p></iframe>2", None),
        ("<<script>script>alert(1)<</script>/script>", None),
        ("|a|\n|-:|\n|<i style='background:url(//x)'>1</i>|", None),
    ],
)
def test_markdown(text, wanted):
    rendered = markdown.render(text, "/base").strip()
    assert wanted is None or rendered == wanted
    assert not re.search(r"<(script|style|div|iframe|svg|math|noscript)|url\(", rendered)
    attributes = Links(rendered).attributes
    assert attributes <= {"href", "rel", "src", "alt", "width", "height", "style", "id"}


CONTROLS = "\x1b[31m \x00 \x08 \x7f \x9b \u202e \u202d"


def test_control_characters_do_nothing_in_a_page(web):
    """Escape sequences of terminals, NUL, and what turns the writing direction round, wherever a page shows text."""
    web("POST", "/api/repos/create", {"name": "controls", "organization": "org", "type": "dataset"})
    card = f"---\ntitle: {json.dumps('t' + CONTROLS)}\n---\n# x{CONTROLS}\n`{CONTROLS}` [l{CONTROLS}](a.md)"
    content = base64.b64encode(card.encode()).decode()
    value = {"path": "README.md", "content": content, "encoding": "base64"}
    header = {"key": "header", "value": {"summary": "s" + CONTROLS, "description": "d" + CONTROLS}}
    body = "\n".join(map(json.dumps, [header, {"key": "file", "value": value}])).encode()
    assert web("POST", "/api/datasets/org/controls/commit/main", body).status == 200
    slug = web("POST", "/api/collections", {"title": "c" + CONTROLS, "description": CONTROLS}).json["slug"]
    try:
        for path in ("/", "/datasets/org/controls", "/datasets/org/controls/tree/main", f"/collections/{slug}"):
            status, page = get(web, path)
            assert status == 200 and not set(CONTROLS) & set(page) - set(" [31m")
    finally:
        web("DELETE", f"/api/collections/{slug}")


def test_addresses_that_would_take_long_to_find_stay_texts_and_equal_headings_are_counted():
    assert markdown.render("# a", "/base", anchors=False) == "<h1>a</h1>\n"
    assert "<a" not in markdown.render("http://a.example/(" * 5_000, "/base")
    rendered = markdown.render("# a\n" * 20_000, "/base")
    assert 'id="a-19999"' in rendered and rendered.count(' id="') == 20_000


def test_only_the_first_part_of_an_endless_card_is_rendered():
    rendered = markdown.render("<details>" * 100_000, "/base")
    assert len(rendered) < 1_000_000
    rendered = markdown.render("first\n\n" + "x\n" * 100_000 + "last", "/base")
    assert "first" in rendered and "last" not in rendered and "README.md has all of it" in rendered


@pytest.mark.parametrize(
    ("path", "there", "not_there"),
    [
        ("/datasets?search=PAGES", "/datasets/org/pages", "/org/pages-model"),
        ("/models?author=org&filter=none", "None.", "/org/pages-model"),
        ("/models?author=org&sort=name&p=7", "/org/pages-model", "/datasets/org/pages"),
        ("/spaces", "/spaces/org/pages-space", "/org/pages-model"),
        ("/org", "/collections/org/pages-", "/org/pages-private"),
        ("/ORG", "/datasets/org/pages", "/org/pages-private"),
        ("/search?q=heading+DEFAULT", "/datasets/org/pages", "/org/pages-model"),
        ("/search?q=%3Cscript%3Ex", "&lt;script&gt;x", "<script>x"),
    ],
)
def test_lists_are_filtered_and_searched(web, path, there, not_there):
    status, page = get(web, path)
    assert status == 200 and there in page and not_there not in page


def test_long_lists_have_pages(web, monkeypatch):
    monkeypatch.setattr(repo_pages, "PAGE_COMMITS", 4)
    for number in range(5):
        value = {"path": "n", "content": f"{number:04}", "encoding": "base64"}
        web.commit("org/pages", [{"key": "file", "value": value}])
    first, second = get(web, "/datasets/org/pages/commits/main")[1], get(web, "/datasets/org/pages/commits/main?p=1")[1]
    assert 'rel="next"' in first and 'rel="prev"' not in first and "1-4" in first
    assert 'rel="prev"' in second and 'rel="next"' not in second and "initial commit" in second


def test_a_browser_gets_pages_where_clients_get_json(web):
    as_browser = web("GET", "/no/such/page", anonymous=True, headers={"Accept": "text/html,*/*"})
    assert as_browser.status == 404 and as_browser.headers["content-type"].startswith("text/html")
    assert "error" in web("GET", "/no/such/page").json


def test_columns_stay_aligned_and_lists_keep_their_start():
    assert '<th style="text-align:right">a</th>' in markdown.render("|a|\n|-:|\n|1|", "/base")
    assert '<ol start="3">' in markdown.render("3. x", "/base")


MARKS = """<script>~</script>~<img src=~x onerror=y~>~<~`~[a](~javascript:~)~!~"~'~<svg/onload=x>~<a href=~data:~|~-"""
MARKS += "~<!--~-->~&lt;~<b~<iframe>~//x.example~http:~![b](~https://~# ~<javascript:~<h1 id="


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.sampled_from([*MARKS.split("~"), "\n", " ", "\0"]),
        max_size=15,
    ).map("".join)
)
def test_no_card_gets_a_script_in(text):
    parsed = Links(markdown.render(text, "/base"))
    assert not parsed.tags & {"script", "svg", "iframe", "style", "object", "base", "form", "link", "meta"}
    assert not [name for name in parsed.attributes if name.startswith("on") or name in ("style", "srcset")]
    assert not [
        url for url in [*parsed.links, *parsed.images] if url.lower().strip().startswith(("javascript", "data:text"))
    ]
