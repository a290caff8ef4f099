"""The HTML of the web view (Jinja, everything escaped unless marked safe) and its style sheet."""

STYLE = """
:root { --text: #1c2024; --muted: #667; --line: #dde1e6; --back: #fff; --soft: #f5f7f9; --link: #0b57d0;
        --tag: #e8effb }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e7eb; --muted: #99a; --line: #343a42; --back: #14171b; --soft: #1d2126; --link: #8ab4f8;
          --tag: #24324a }
}
* { box-sizing: border-box }
body { margin: 0; color: var(--text); background: var(--back); font: 15px/1.55 system-ui, sans-serif }
a { color: var(--link); text-decoration: none } a:hover { text-decoration: underline }
header { border-bottom: 1px solid var(--line); background: var(--soft); padding: .7rem 1.2rem }
header b { margin-right: 1rem }
main { max-width: 76rem; margin: 0 auto; padding: 1.2rem }
h1.repo { font-size: 1.45rem; margin: .2rem 0 .3rem; font-weight: 600 }
h1.repo small { color: var(--muted); font-weight: 400 }
h2.part { font-size: .82rem; text-transform: uppercase; letter-spacing: .05em; color: var(--muted);
          margin: 1.6rem 0 .5rem }
.muted { color: var(--muted) } .mono, code, pre { font-family: ui-monospace, monospace; font-size: .88em }
.chip { display: inline-block; background: var(--tag); border-radius: 1rem; padding: 0 .6rem; margin: 0 .25rem .25rem 0;
        font-size: .82rem }
.two { display: grid; grid-template-columns: minmax(0, 1fr) 24rem; gap: 2.2rem }
@media (max-width: 62rem) { .two { grid-template-columns: minmax(0, 1fr) } }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .34rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
th { font-weight: 600 } :not(article) > table tr > :first-child { padding-left: 0 }
td.num, td.when { text-align: right; white-space: nowrap; color: var(--muted) }
.side td, .side th { padding: .25rem .3rem; font-size: .9rem } .side td { overflow-wrap: anywhere }
article { overflow-wrap: break-word } article table { width: auto; margin: 1rem 0; display: block; overflow-x: auto }
article td, article th { border: 1px solid var(--line) } article th { background: var(--soft) }
article img { max-width: 100%; background: #fff; border-radius: 4px } article h1 { font-size: 1.6rem }
article h2 { font-size: 1.25rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; margin-top: 1.8rem }
article h3 { font-size: 1.08rem }
article blockquote { margin: 0; padding-left: 1rem; border-left: 3px solid var(--line) }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: .7rem .9rem;
      overflow-x: auto }
code { background: var(--soft); border-radius: 4px; padding: .1em .3em } pre code { padding: 0; background: none }
details pre { white-space: pre-wrap; font-size: .78rem }
"""

LAYOUT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title><link rel="icon" href="data:,"><style>{{ style | safe }}</style></head>
<body><header><b><a href="/">Local hub</a></b><a href="/#models">Models</a> · <a href="/#datasets">Datasets</a> ·
<a href="/#spaces">Spaces</a></header><main>{% block main %}{% endblock %}</main></body></html>"""

INDEX = """{% extends "layout" %}{% block main %}
{% for kind, repos in kinds.items() %}<h2 class="part" id="{{ kind }}">{{ kind }} · {{ repos | length }}</h2>
{% if repos %}<table>{% for item in repos %}<tr><td><a href="{{ item.url }}">{{ item.id }}</a></td>
<td>{% for tag in item.tags %}<a class="chip" href="{{ item.url }}/tree/{{ tag | urlencode_all }}">{{ tag }}</a>
{% endfor %}</td><td class="when"><span class="mono">{{ item.sha[:7] }}</span> · {{ item.when }}</td></tr>
{% endfor %}</table>{% else %}<p class="muted">None yet.</p>{% endif %}{% endfor %}
{% if collections %}<h2 class="part">collections · {{ collections | length }}</h2><table>{% for item in collections %}
<tr><td><a href="/collections/{{ item.slug }}">{{ item.title }}</a></td><td class="muted">{{ item.owner.name }}</td>
<td class="num">{{ item["items"] | length }} in it</td></tr>{% endfor %}</table>{% endif %}
<p class="muted">Read-only view. Private repos are not shown here: a browser has no token.</p>
{% endblock %}"""

HEAD = """<h1 class="repo"><small>{{ repo.kind }} /</small> <a href="{{ repo.url_path }}">{{ repo.id }}</a></h1>"""

REPO = (
    """{% extends "layout" %}{% block main %}"""
    + HEAD
    + """<div class="muted">commit <a class="mono" href="{{ repo.url_path }}/tree/{{ sha }}">{{ sha[:12] }}</a>
· {{ when }}</div><div>{% for tag in card_tags %}<span class="chip">{{ tag }}</span>{% endfor %}</div>
<div class="two"><article>{{ card | safe }}</article><div class="side">
<h2 class="part">Use</h2><pre><code>{{ snippet }}</code></pre>
<h2 class="part"><a href="{{ repo.url_path }}/tree/main">Files · {{ file_count }}</a></h2>{% include "files" %}
<h2 class="part">Tags and branches</h2><table>{% for name, oid in refs %}<tr>
<td><a href="{{ repo.url_path }}/tree/{{ name | urlencode_all }}">{{ name }}</a></td>
<td class="num mono">{{ oid[:7] }}</td></tr>{% endfor %}</table>
<h2 class="part">Commits · {{ count }}</h2><table>{% for item in commits %}<tr>
<td><a href="{{ repo.url_path }}/tree/{{ item.oid }}">{{ item.title }}</a></td>
<td class="when">{{ item.when }}</td></tr>{% endfor %}</table>
{% if metadata %}<h2 class="part">Metadata</h2><table>{% for key, value in metadata.items() %}<tr><th>{{ key }}</th><td>
{% if value.long %}<details><summary>show</summary><pre>{{ value.text }}</pre></details>
{% else %}{{ value.text }}{% endif %}</td></tr>{% endfor %}</table>{% endif %}</div></div>{% endblock %}"""
)

FILES = """<table>{% for item in files %}<tr><td>{% if item.is_dir %}<a href="{{ item.url }}">{{ item.name }}/</a>
{% else %}<a href="{{ item.url }}">{{ item.name }}</a>{% endif %}</td>{% if item.commit is not none %}
<td class="muted">{{ item.commit }}</td>{% endif %}<td class="num">{{ item.size }}</td>
<td class="num">{% if not item.is_dir %}<a href="{{ item.url }}?download=true">download</a>{% endif %}</td></tr>
{% else %}<tr><td class="muted">No files.</td></tr>{% endfor %}</table>"""

TREE = (
    """{% extends "layout" %}{% block main %}"""
    + HEAD
    + """<div class="muted">{% for name, url in crumbs %}{% if not loop.first %} / {% endif %}
<a href="{{ url }}">{{ name }}</a>{% endfor %} · commit <span class="mono">{{ sha }}</span></div>
<p><b>{{ commit.title }}</b> <span class="muted">· {{ when }}</span></p>
{% if commit.message %}<p class="muted">{{ commit.message }}</p>{% endif %}
{% include "files" %}{% endblock %}"""
)

COLLECTION = """{% extends "layout" %}{% block main %}
<h1 class="repo"><small>collections /</small> {{ item.title }}</h1>
<p class="muted">{{ item.owner.name }}{% if item.description %} · {{ item.description }}{% endif %}</p><table>
{% for entry in item["items"] %}<tr><td class="muted">{{ entry.type }}</td>
<td><a href="{{ entry.url }}">{{ entry.id }}</a></td><td>{{ entry.note.text if entry.note else "" }}</td></tr>
{% else %}<tr><td class="muted">Empty.</td></tr>{% endfor %}</table>{% endblock %}"""

ERROR = """{% extends "layout" %}{% block main %}<h1 class="repo">{{ message }}</h1>
<p class="muted">Private repos are not shown here: a browser has no token.</p>{% endblock %}"""

TEMPLATES = {
    "layout": LAYOUT,
    "index": INDEX,
    "repo": REPO,
    "files": FILES,
    "tree": TREE,
    "collection": COLLECTION,
    "error": ERROR,
}
