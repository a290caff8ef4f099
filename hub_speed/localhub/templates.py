"""The HTML of the web view (Jinja, everything escaped unless marked safe)."""

from hub_speed.localhub.discussion_templates import DISCUSSION, DISCUSSIONS

LAYOUT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title><link rel="icon" href="data:,"><style>{{ style | safe }}</style></head>
<body><a class="skip" href="#main">Skip to the content</a>
<header><b><a href="/">Local hub</a></b><nav aria-label="Hub"><a href="/models">Models</a>
<a href="/datasets">Datasets</a> <a href="/spaces">Spaces</a></nav>
<form action="/search" role="search"><input type="search" name="q" aria-label="Search names and cards"
placeholder="Names and cards"> <button>Search</button></form></header>
<main id="main">{% block main %}{% endblock %}</main>
<footer>Read-only. Private repositories are not shown: a browser has no token.</footer></body></html>"""

INDEX = """{% extends "layout" %}{% block main %}<h1 class="repo">What is on this hub</h1>
{% for kind, part in kinds.items() %}<h2 class="part"><a href="/{{ kind }}">{{ kind }} · {{ part.total }}</a></h2>
{% with repos = part["items"] %}{% include "repos" %}{% endwith %}
{% if part.total > part["items"] | length %}<p><a href="/{{ kind }}">all {{ part.total }} {{ kind }}</a></p>{% endif %}
{% endfor %}
{% include "collections" %}{% endblock %}"""

COLLECTIONS = """{% if collections %}<h2 class="part">collections · {{ collections | length }}</h2><ul class="list">
{% for item in collections %}<li><a href="/collections/{{ item.slug }}">{{ item.title }}</a>
<span class="muted"><a href="/{{ item.owner.name }}">{{ item.owner.name }}</a> · {{ item["items"] | length }}
in it</span></li>{% endfor %}</ul>{% endif %}"""

REPOS = """{% if repos %}<ul class="list">{% for item in repos %}<li><span>{% if item.excerpt %}<span class="muted">
{{ item.kind }} /</span> {% endif %}<a href="{{ item.url }}">{{ item.id }}</a></span>
<span>{% for tag in item.tags %}<a class="chip" href="{{ item.url }}/tree/{{ tag | urlencode_all }}">{{ tag }}</a>
{% endfor %}</span><span class="muted nowrap"><span class="mono">{{ item.sha[:7] }}</span> · {{ item.when }}</span>
{% if item.excerpt %}<p class="muted">{{ item.excerpt }}</p>{% endif %}</li>
{% endfor %}</ul>{% else %}<p class="muted">None.</p>{% endif %}"""

PAGER = """<nav class="pager" aria-label="Pages">{% if pager.previous %}<a rel="prev" href="{{ pager.previous }}">←
previous</a>{% endif %}<span class="muted">{{ pager.shown }}</span>{% if pager.next %}<a rel="next"
href="{{ pager.next }}">next →</a>{% endif %}</nav>"""

LIST = """{% extends "layout" %}{% block main %}<h1 class="repo">{{ kind | capitalize }}</h1>
<form class="filter"><label>Name contains <input name="search" value="{{ query.search }}"></label>
<label>Owner <select name="author"><option value="">all</option>{% for name in owners %}
<option{% if name == query.author %} selected{% endif %}>{{ name }}</option>{% endfor %}</select></label>
<label>Tag <select name="filter"><option value="">all</option>{% for tag in tags %}
<option{% if tag == query.filter %} selected{% endif %}>{{ tag }}</option>{% endfor %}</select></label>
<label>Order <select name="sort"><option value="updated">newest first</option>
<option value="name"{% if query.sort == "name" %} selected{% endif %}>by name</option></select></label>
<button>Filter</button></form>{% include "repos" %}{% include "pager" %}{% endblock %}"""

SEARCH = """{% extends "layout" %}{% block main %}<h1 class="repo">Search</h1>
<form class="filter"><label>Words, all of them in the name or the card
<input type="search" name="q" value="{{ q }}"></label><button>Search</button></form>
{% if q %}{% include "repos" %}{% include "pager" %}{% endif %}{% endblock %}"""

HEAD = """<h1 class="repo"><small>{{ repo.kind }} /</small>
<a href="/{{ repo.id.split("/")[0] }}">{{ repo.id.split("/")[0] }}</a> /
<a href="{{ repo.url_path }}">{{ repo.id.split("/")[1] }}</a></h1>
<nav class="tabs" aria-label="Repository">{% for name, url in tabs %}
<a href="{{ url }}"{% if name == tab %} aria-current="page"{% endif %}>{{ name }}</a>{% endfor %}</nav>"""

_REPO = """{% extends "layout" %}{% block main %}{% include "head" %}"""

REPO = (
    _REPO
    + """<div class="muted">commit <a class="mono" href="{{ repo.url_path }}/tree/{{ sha }}">{{ sha[:12] }}</a>
· {{ when }}</div><div>{% for tag in card_tags %}<span class="chip">{{ tag }}</span>{% endfor %}</div>
<div class="two"><article>{{ card | safe }}</article><div class="side">
<h2 class="part">Use</h2><pre tabindex="0"><code>{{ snippet }}</code></pre>
<h2 class="part"><a href="{{ repo.url_path }}/tree/main">Files · {{ file_count }}</a></h2>{% include "files" %}
<h2 class="part">Tags and branches</h2><table class="plain">{% for name, oid in refs %}<tr>
<td><a href="{{ repo.url_path }}/tree/{{ name | urlencode_all }}">{{ name }}</a></td>
<td class="num mono">{{ oid[:7] }}</td></tr>{% endfor %}</table>
<h2 class="part"><a href="{{ repo.url_path }}/commits/main">Commits · {{ count }}</a></h2><table class="plain">
{% for item in commits %}<tr><td><a
href="{{ repo.url_path }}/commit/{{ item.oid }}">{{ item.title or "(no title)" }}</a></td>
<td class="num">{{ item.when }}</td></tr>{% endfor %}</table>
{% if count > commits | length %}<p><a href="{{ repo.url_path }}/commits/main">all {{ count }} commits</a></p>
{% endif %}
{% if metadata %}<h2 class="part">Metadata</h2><table class="plain">{% for key, value in metadata.items() %}
<tr><th scope="row">{{ key }}</th><td>
{% if value.long %}<details><summary>show</summary><pre>{{ value.text }}</pre></details>
{% else %}{{ value.text }}{% endif %}</td></tr>{% endfor %}</table>{% endif %}</div></div>{% endblock %}"""
)

FILES = """<table class="plain">{% for item in files %}<tr><td>{% if item.is_dir %}<a href="{{ item.url }}">
{{ item.name }}/</a>{% else %}<a href="{{ item.url }}">{{ item.name }}</a>{% endif %}</td>
{% if item.commit is not none %}<td class="muted wide">{{ item.commit }}</td>{% endif %}<td class="num">{{ item.size }}
</td><td class="num">{% if not item.is_dir %}<a href="{{ item.url }}?download=true"
aria-label="download {{ item.name }}">download</a>{% endif %}</td></tr>
{% else %}<tr><td class="muted">No files.</td></tr>{% endfor %}</table>"""

TREE = (
    _REPO
    + """<div class="muted">{% for name, url in crumbs %}{% if not loop.first %} / {% endif %}
<a href="{{ url }}">{{ name }}</a>{% endfor %} · commit <a class="mono"
href="{{ repo.url_path }}/commit/{{ sha }}">{{ sha[:12] }}</a></div>
<p><b>{{ commit.title }}</b> <span class="muted">· {{ when }}</span></p>
{% if commit.message %}<p class="muted">{{ commit.message }}</p>{% endif %}
{% include "files" %}{% endblock %}"""
)

COMMITS = (
    _REPO
    + """<form class="filter" action="{{ repo.url_path }}/compare"><label>Compare
<select name="from">{% for name in names %}<option{% if name == before %} selected{% endif %}>{{ name }}</option>
{% endfor %}</select></label>
<label>with <select name="to">{% for name in names %}<option{% if name == rev %} selected{% endif %}>{{ name }}</option>
{% endfor %}</select></label><button>Show changes</button></form>
<h2 class="part">Commits of {{ rev }}</h2><ul class="list">{% for item in commits %}<li>
<a href="{{ repo.url_path }}/commit/{{ item.oid }}">{{ item.title or "(no title)" }}</a>
<span>{% for tag in item.tags %}<a class="chip" href="{{ repo.url_path }}/tree/{{ tag | urlencode_all }}">{{ tag }}</a>
{% endfor %}</span><a class="mono" href="{{ repo.url_path }}/tree/{{ item.oid }}"
aria-label="files at {{ item.oid[:7] }}">{{ item.oid[:7] }}</a>
<span class="muted nowrap">{{ item.when }}</span></li>{% endfor %}</ul>{% include "pager" %}{% endblock %}"""
)

DIFF = (
    _REPO
    + """<h2 class="part">What changed</h2><p>{% if old %}from <a href="{{ repo.url_path }}/tree/{{ old.oid }}">
{{ old.name }}</a> ({{ old.when }}) {% else %}the first commit{% endif %} → <a
href="{{ repo.url_path }}/tree/{{ new.oid }}">{{ new.name }}</a> ({{ new.when }}): <b>{{ new.title }}</b></p>
{% if new.message %}<p class="muted">{{ new.message }}</p>{% endif %}
<h2 class="part">Files · {{ file_count }}</h2>{% if files %}<div class="scroll" tabindex="0"><table class="plain">
<thead><tr><th>file</th><th class="num">before</th><th class="num">after</th><th>what</th></tr></thead>
{% for item in files %}<tr><td>{% if item.url %}<a href="{{ item.url }}">{{ item.path }}</a>{% else %}{{ item.path }}
{% endif %}</td><td class="num">{{ item.before }}</td><td class="num">{{ item.after }}</td><td>
<span class="state {{ item.state }}">{{ item.state }}</span></td></tr>{% endfor %}</table></div>
{% if file_count > files | length %}<p class="muted">and {{ file_count - files | length }} more.</p>{% endif %}
{% else %}<p class="muted">No file changed.</p>{% endif %}
{% if card %}<h2 class="part">Card</h2>{% if card_note %}<p class="muted">{{ card_note }}</p>{% endif %}
<pre class="diff">{% for sign, line in card %}{% if sign == "+" %}<ins>+ {{ line }}</ins>{% elif sign == "-" %}<del>-
{{- " " }}{{ line }}</del>{% else %}<span>{{ "" if sign == "@" else "  " }}{{ line }}</span>{% endif %}
{%- endfor %}</pre>
{% endif %}{% for part in rows %}<h2 class="part">Rows in {{ part.folder or "the root folder" }}</h2>
{% if part.note %}<p class="muted">{{ part.note }}</p>{% else %}<p>{% for state, many in part.counts.items() %}
{% if not loop.first %} · {% endif %}{{ "{:,}".format(many) }} {{ state }}{% endfor %}</p>{% endif %}
{% for state, id, cells in part.examples %}<details><summary><span class="state {{ state }}">{{ state }}</span>
<span class="mono">{{ id | cut(80) }}</span></summary><table class="row">{% for column, before, after in cells %}<tr>
<th scope="row">{{ column }}</th><td>{% if before is not none %}<del>{{ before | cut(1000) }}</del>{% endif %}
{% if after is not none %}<ins>{{ after | cut(1000) }}</ins>{% endif %}</td></tr>{% endfor %}</table></details>
{% endfor %}{% endfor %}{% endblock %}"""
)

ROWS = (
    _REPO
    + """{% if configs | length > 1 %}<nav class="tabs" aria-label="Configs">{% for name, url in configs %}
<a href="{{ url }}"{% if name == config %} aria-current="true"{% endif %}>{{ name }}</a>{% endfor %}</nav>{% endif %}
<nav class="tabs" aria-label="Splits">{% for name, url in splits %}<a href="{{ url }}"
{% if name == split %} aria-current="true"{% endif %}>{{ name }}</a>{% endfor %}</nav>
{% if not one %}<form class="filter">
{% if rev != "main" %}<input type="hidden" name="revision" value="{{ rev }}">{% endif %}
<label>Column <select name="column"><option value="">any</option>{% for name in columns %}
<option{% if name == query.column %} selected{% endif %}>{{ name }}</option>{% endfor %}</select></label>
<label>is exactly <input name="value" value="{{ query.value }}"></label>
<label>Text in any column <input name="q" value="{{ query.q }}"></label><button>Find</button>
{% if query.column or query.q %}<a href="?revision={{ rev | urlencode_all }}">all rows</a>{% endif %}</form>{% endif %}
<p class="muted" role="status">{{ said }}</p>{% if problem %}<p>{{ problem }}</p>{% endif %}
{% if one %}<p><a href="?revision={{ rev | urlencode_all }}&amp;from={{ one.at }}">rows from {{ one.at }}</a>
{% for name, text in one.cells if name == "id" %} · <a
href="?revision={{ rev | urlencode_all }}&amp;column=id&amp;value={{ text | urlencode_all }}">link by id</a>
{% endfor %}</p>
<table class="row">{% for name, text in one.cells %}<tr><th scope="row">{{ name }}</th><td dir="auto">
{{- text | cut(20000) }}</td></tr>{% endfor %}</table>
{% elif rows %}<div class="scroll" tabindex="0" role="region" aria-label="Rows"><table class="rows"><thead><tr>
<th class="at">row</th>{% for name in columns %}<th{% if name in tall %} class="tall"{% endif %}>{{ name }}</th>
{% endfor %}</tr></thead>{% for row in rows %}<tr id="row-{{ row.at }}"><td class="at"><a href="{{ row.url }}"
aria-label="row {{ row.at }} as a whole">{{ row.at }}</a></td>{% for text in row.cells %}
<td dir="auto"{% if columns[loop.index0] in tall %} class="tall"{% endif %}>
{%- if text | length > 160 %}<details><summary>{{ text[:150] }}…</summary>
<div>{{ text[150:] | cut(5000) }}</div></details>{% else %}<div>{{ text }}</div>{% endif %}</td>{% endfor %}</tr>
{% endfor %}</table></div>{% elif not problem %}<p>No row found.</p>{% endif %}
{% if not one %}{% include "pager" %}{% endif %}{% endblock %}"""
)

OWNER = """{% extends "layout" %}{% block main %}<h1 class="repo">{{ name }}</h1>
{% for kind, repos in kinds.items() %}<h2 class="part"><a href="/{{ kind }}?author={{ name }}">{{ kind }} ·
{{ repos | length }}</a></h2>{% include "repos" %}{% endfor %}{% include "collections" %}{% endblock %}"""

COLLECTION = """{% extends "layout" %}{% block main %}
<h1 class="repo"><small>collections /</small> {{ item.title }}</h1>
<p class="muted"><a href="/{{ item.owner.name }}">{{ item.owner.name }}</a>
{% if item.description %} · {{ item.description }}{% endif %}</p><ul class="list">
{% for entry in item["items"] %}<li><span><span class="muted">{{ entry.type }}</span>
<a href="{{ entry.url }}">{{ entry.id }}</a></span>{% if entry.note %}<p>{{ entry.note.text }}</p>{% endif %}</li>
{% else %}<li class="muted">Empty.</li>{% endfor %}</ul>{% endblock %}"""

ERROR = """{% extends "layout" %}{% block main %}<h1 class="repo">{{ message }}</h1>
<p><a href="/">To the first page</a></p>{% endblock %}"""

TEMPLATES = {
    "layout": LAYOUT,
    "index": INDEX,
    "repos": REPOS,
    "pager": PAGER,
    "list": LIST,
    "search": SEARCH,
    "head": HEAD,
    "repo": REPO,
    "files": FILES,
    "tree": TREE,
    "commits": COMMITS,
    "diff": DIFF,
    "discussions": DISCUSSIONS,
    "discussion": DISCUSSION,
    "rows": ROWS,
    "collections": COLLECTIONS,
    "owner": OWNER,
    "collection": COLLECTION,
    "error": ERROR,
}
