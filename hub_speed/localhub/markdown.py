"""Cards as HTML: Markdown with tables and images of the repo. Raw HTML that could run or fetch anything is dropped."""

import posixpath
import re
from collections import Counter
from collections.abc import Callable, MutableMapping, Sequence
from functools import lru_cache
from html import escape
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from mdit_py_plugins.anchors import anchors_plugin
from mdit_py_plugins.anchors.index import slugify

# Of all other tags only the text inside is kept.
TAGS = set(
    "a b blockquote br code dd del details dl dt em h1 h2 h3 h4 h5 h6 hr i img kbd li ol p pre s strong sub summary "
    "sup table tbody td th thead tr u ul".split()
)
ATTRIBUTES = {
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "ol": {"start"},
    **{f"h{level}": {"id"} for level in range(1, 7)},
    "td": {"style"},
    "th": {"style"},
}
DROPPED_WITH_CONTENT = {"script", "style", "template", "iframe", "svg", "math", "noscript", "title"}
SCHEMES = {"http", "https", "mailto"}
SHOWN_CHARS = 100_000  # nested lists, for example, take quadratic time: 6 s for as many characters
LONG_WORD = re.compile(r"\S{1000}")
"""Addresses in a card with such a word stay texts: looking for them takes quadratic time, 49 s for 96 KB."""
OF_THE_PAGE = "main"
"""An id of the page itself; no heading of a card may take it."""
SIZE = re.compile(r"\d{1,4}%?", re.ASCII)


@lru_cache(maxsize=32)
def render(text: str, base: str, *, anchors: bool = True) -> str:
    """The HTML of a card; of a very long one, of its first part.

    Args:
        text: Markdown.
        base: URL path that relative links and images start from, such as `/datasets/org/name/resolve/<commit>`.
        anchors: whether links lead to its headings; not so in a comment, of which a page shows several.
    """

    def attribute(tag: str, name: str, value: str) -> str | None:
        if name == "id":
            return value if value != OF_THE_PAGE else None
        if name in ("width", "height"):
            return value if SIZE.fullmatch(value) else None
        if name == "src" and not _on_this_hub(value):
            return None
        return _target(value, base) if name in ("src", "href") else value

    if len(text) > SHOWN_CHARS:
        text = text[:SHOWN_CHARS].rpartition("\n")[0] + "\n\n*This card is longer: its README.md has all of it.*"
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    if not LONG_WORD.search(text):
        _link_addresses(markdown)
    if anchors:
        anchors_plugin(markdown, max_level=6, slug_func=_slugs())
    markdown.add_render_rule("image", _image)
    return nh3.clean(
        str(markdown.render(text)),
        tags=TAGS,
        clean_content_tags=DROPPED_WITH_CONTENT,
        attributes=ATTRIBUTES,
        attribute_filter=attribute,
        filter_style_properties={"text-align"},  # Markdown's aligned columns
        url_schemes=SCHEMES,
        link_rel="noopener",
    )


def _link_addresses(markdown: MarkdownIt) -> None:
    """Make whole addresses links, and no names: README.md would be one of a host in Moldova."""
    markdown.options["linkify"] = True
    markdown.enable("linkify")
    assert markdown.linkify is not None
    markdown.linkify.set({"fuzzy_link": False, "fuzzy_email": False, "fuzzy_ip": False})
    for scheme in ("//", "ftp:"):
        markdown.linkify.add(scheme, None)


def _slugs() -> Callable[[str], str]:
    """What makes the ids of the headings of one card, as the Hub writes them: the second "Rows" is "rows-1".

    It counts equal ones itself: the plugin tries one number after the other, which takes a minute for a card of
    nothing but equal headings.
    """
    seen = Counter({OF_THE_PAGE: 1})

    def slug(title: str) -> str:
        name = slugify(title.strip()) or "section"
        seen[name] += 1
        return name if seen[name] == 1 else f"{name}-{seen[name] - 1}"

    return slug


def _split(url: str) -> SplitResult | None:
    """The parts of a URL as browsers read it, with backslashes as slashes; None when they cannot be told apart."""
    try:
        return urlsplit(url.strip().replace("\\", "/"))
    except ValueError:
        return None


def _on_this_hub(url: str) -> bool:
    """Whether a browser stays on this hub for the URL."""
    parts = _split(url)
    return parts is not None and not parts.scheme and not parts.netloc


def _target(url: str, base: str) -> str | None:
    """Where a link of a card leads; None when it cannot be read, or points out of the repo by `..`."""
    parts = _split(url)
    if parts is None:
        return None
    if not _on_this_hub(url) or url.startswith(("/", "#")) or not parts.path:
        return url
    path = posixpath.normpath(unquote(parts.path))
    if path.startswith(".."):
        return None
    return f"{base}/{quote(path)}" + (f"#{parts.fragment}" if parts.fragment else "")


def _image(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: MutableMapping[str, Any]
) -> str:
    """An image of the repo as an image, any other as a link: opening a card must not tell another server about it."""
    url = str(tokens[index].attrGet("src") or "")
    alt = renderer.renderInlineAsText(tokens[index].children or [], options, env)
    if _on_this_hub(url):
        return f'<img src="{escape(url)}" alt="{escape(alt)}">'
    return f'<a href="{escape(url)}">{escape(alt or url)}</a>'
