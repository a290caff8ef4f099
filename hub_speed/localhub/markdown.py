"""Cards as HTML: Markdown with tables, images of the repo, and of raw HTML only what cannot run or fetch anything."""

import posixpath
import re
from collections.abc import MutableMapping, Sequence
from html import escape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

# Kept without their attributes; the text inside of other tags is kept, the tags are not.
PLAIN_TAGS = frozenset(
    "b blockquote br code dd del details dl dt em h1 h2 h3 h4 h5 h6 hr i kbd li ol p pre s strong sub summary sup "
    "table tbody td th thead tr u ul".split()
)
DROPPED_WITH_CONTENT = frozenset({"script", "style", "template", "iframe", "svg", "math", "noscript", "title"})


def render(text: str, base: str) -> str:
    """HTML of a card.

    Args:
        text: Markdown.
        base: URL path that relative links and images start from, such as `/datasets/org/name/resolve/<commit>`.
    """
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    markdown.add_render_rule("html_block", _html)
    markdown.add_render_rule("html_inline", _html)
    markdown.add_render_rule("image", _image)
    markdown.add_render_rule("link_open", _link)
    return str(markdown.render(text, {"base": base}))


def _target(url: str, base: str) -> str | None:
    """Where a link of a card leads; None when it points out of the repo by `..`."""
    parts = urlsplit(url)
    if parts.scheme or parts.netloc or url.startswith(("/", "#")) or not parts.path:
        return url
    path = posixpath.normpath(unquote(parts.path))
    if path.startswith(".."):
        return None
    return f"{base}/{quote(path)}" + (f"#{parts.fragment}" if parts.fragment else "")


def _picture(url: str, alt: str, base: str, size: str = "") -> str:
    target, scheme = _target(url, base), urlsplit(url).scheme
    if scheme in ("http", "https") or url.startswith("//"):
        # The page loads nothing from elsewhere: opening a card must not tell anyone that you did.
        return f'<a href="{escape(url)}">{escape(alt or url)}</a>'
    if target is None or scheme:
        return escape(alt)
    return f'<img src="{escape(target)}" alt="{escape(alt)}"{size}>'


def _image(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: MutableMapping[str, Any]
) -> str:
    token = tokens[index]
    alt = renderer.renderInlineAsText(token.children or [], options, env)
    return _picture(str(token.attrGet("src") or ""), alt, env["base"])


def _link(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: MutableMapping[str, Any]
) -> str:
    target = _target(str(tokens[index].attrGet("href") or ""), env["base"])
    return f'<a href="{escape(target)}" rel="noopener">' if target else "<a>"


def _html(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: MutableMapping[str, Any]
) -> str:
    cleaner = _Cleaner(env["base"])
    cleaner.feed(tokens[index].content)
    cleaner.close()
    return "".join(cleaner.out)


class _Cleaner(HTMLParser):
    """Lets through PLAIN_TAGS, images and text."""

    def __init__(self, base: str):
        super().__init__(convert_charrefs=True)
        self.base = base
        self.out: list[str] = []
        self.dropping: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Write a tag anew from what is known to be harmless."""
        if self.dropping:
            return
        if tag in DROPPED_WITH_CONTENT:
            self.dropping = tag
        elif tag == "img":
            values = {name: value or "" for name, value in attrs}
            sizes = [(name, values.get(name, "")) for name in ("width", "height")]
            size = "".join(f' {name}="{value}"' for name, value in sizes if re.fullmatch(r"\d{1,4}%?", value, re.ASCII))
            self.out.append(_picture(values.get("src", ""), values.get("alt", ""), self.base, size))
        elif tag in PLAIN_TAGS:
            self.out.append(f"<{tag}>")

    def handle_endtag(self, tag: str) -> None:
        """Close what was let through."""
        if tag == self.dropping:
            self.dropping = None
        elif not self.dropping and tag in PLAIN_TAGS:
            self.out.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        """Keep text as text."""
        if not self.dropping:
            self.out.append(escape(data))
