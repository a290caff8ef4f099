"""The HTML of the pages of discussions and pull requests."""

DISCUSSIONS = """{% extends "layout" %}{% block main %}{% include "head" %}
<form class="filter"><label>Show <select name="status">{% for name in statuses %}
<option{% if name == only %} selected{% endif %}>{{ name }}</option>{% endfor %}</select></label>
<label>of <select name="type">{% for name, label in types.items() %}<option value="{{ name }}"
{% if name == type %} selected{% endif %}>{{ label }}</option>{% endfor %}</select></label>
<button>Filter</button></form>{% if items %}<ul class="list">{% for item in items %}<li>
<a href="{{ repo.url_path }}/discussions/{{ item.num }}">#{{ item.num }} {{ item.title }}</a>
<span><span class="chip">{{ "pull request" if item.isPullRequest else "discussion" }}</span>
<span class="chip">{{ item.status }}</span></span>
<span class="muted nowrap">{{ item.numComments }} comment{{ "" if item.numComments == 1 else "s" }} ·
{{ item.when }}</span></li>{% endfor %}</ul>{% include "pager" %}{% else %}<p class="muted">None. Open one with
<code>hf discussions create</code>, or a pull request with <code>hf upload --create-pr</code>.</p>{% endif %}
{% endblock %}"""

DISCUSSION = """{% extends "layout" %}{% block main %}{% include "head" %}
<h2>#{{ item.num }} {{ item.title }}</h2>
<p><span class="chip">{{ item.status }}</span> <span class="muted">{{ item.author.name }} · {{ item.when }}</span></p>
{% if pull %}<p class="muted">A pull request for <b>{{ pull.branch }}</b>: <a
href="{{ repo.url_path }}/tree/{{ pull.ref | urlencode_all }}">its files</a> ·
<a href="{{ pull.compare }}">what changed in files, card and rows</a>
{% if pull.merged %} · <a href="{{ repo.url_path }}/commit/{{ pull.merged }}">merged as {{ pull.merged[:7] }}</a>
{% endif %}</p>{% if pull.conflicts %}<p><b>Conflicts with {{ pull.branch }}:</b> {{ pull.conflicts }}</p>{% endif %}
{% endif %}
{% for event in events %}{% if event.type == "comment" %}<section>
<p><b>{{ event.author.name }}</b> <span class="muted">· {{ event.when }}
{%- if event.data.edited %} · edited{% endif %}</span></p>
{% if event.data.hidden %}<p class="muted">{{ event.data.latest.raw }}</p>
{% else %}<article>{{ event.data.latest.html | safe }}</article>{% endif %}</section>
{% else %}<p class="muted">{{ event.when }} · {{ event.author.name }}
{% if event.type == "commit" %}added the commit <a
href="{{ repo.url_path }}/commit/{{ event.data.oid }}">{{ event.data.subject or "(no title)" }}</a>
{% elif event.type == "status-change" %}set the status to <b>{{ event.data.status }}</b>
{% elif event.type == "title-change" %}changed the title from <b>{{ event.data.from }}</b> to
<b>{{ event.data.to }}</b>{% endif %}</p>{% endif %}{% endfor %}
{% if pull %}<h2 class="part">Changes</h2>{% if lines %}<pre class="diff" tabindex="0">{% for sign, line in lines %}
{%- if sign == "+" %}<ins>{{ line }}</ins>{% elif sign == "-" %}<del>{{ line }}</del>
{%- else %}<span>{{ line }}</span>{% endif %}{% endfor %}</pre>
{% if left_out %}<p class="muted">and {{ "{:,}".format(left_out) }} more lines:
<code>hf discussions diff</code> shows them.</p>{% endif %}
{% else %}<p class="muted">No commits yet.</p>{% endif %}{% endif %}{% endblock %}"""
