"""The style sheet of the web view: light and dark, from 320 px up."""

STYLE = """
:root { --text: #1c2024; --muted: #5b6270; --line: #d5dae0; --back: #fff; --soft: #f4f6f8; --link: #0b57d0;
        --tag: #e5edfa; --plus: #e3f5e5; --minus: #fde8e6; --plus-text: #14602a; --minus-text: #98231b }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e7eb; --muted: #a3a9b5; --line: #3a414a; --back: #14171b; --soft: #1d2126; --link: #8ab4f8;
          --tag: #24324a; --plus: #16301e; --minus: #3a1d1b; --plus-text: #8fdba6; --minus-text: #f5a8a0 }
}
* { box-sizing: border-box }
html { color-scheme: light dark }
body { margin: 0; color: var(--text); background: var(--back); font: 15px/1.55 system-ui, sans-serif;
       overflow-wrap: anywhere }
a { color: var(--link); text-decoration: none } a:hover { text-decoration: underline }
article :is(p, li, td, blockquote, dd) a, p a, h1 a { text-decoration: underline }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 2px }
.skip { position: absolute; left: -99rem } .skip:focus { left: .5rem; top: .5rem; background: var(--back) }
header { border-bottom: 1px solid var(--line); background: var(--soft); padding: .6rem 1.2rem; display: flex;
         flex-wrap: wrap; gap: .4rem 1rem; align-items: center }
header nav { display: flex; flex-wrap: wrap; gap: 0 1rem } header form { margin-left: auto }
main { max-width: 80rem; margin: 0 auto; padding: 1.2rem }
footer { max-width: 80rem; margin: 0 auto; padding: 0 1.2rem 1.5rem; color: var(--muted); font-size: .87rem }
h1.repo { font-size: 1.45rem; line-height: 1.3; margin: .2rem 0 .3rem; font-weight: 600 }
h1.repo a { text-decoration-thickness: 1px; text-underline-offset: .2em }
h1.repo small { color: var(--muted); font-weight: 400; font-size: .9rem }
h2.part { font-size: .82rem; text-transform: uppercase; letter-spacing: .05em; color: var(--muted);
          margin: 1.6rem 0 .5rem }
.muted { color: var(--muted) } .mono, code, pre { font-family: ui-monospace, monospace; font-size: .88em }
.nowrap { white-space: nowrap }
.chip { display: inline-block; background: var(--tag); border-radius: 1rem; padding: 0 .6rem; margin: 0 .25rem .25rem 0;
        font-size: .82rem; max-width: 100% }
.tabs { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; border-bottom: 1px solid var(--line); margin: .7rem 0 1rem }
.tabs a { padding: .25rem 0; color: var(--text) }
.tabs a[aria-current] { border-bottom: 2px solid var(--link); font-weight: 600 }
.filter { display: flex; flex-wrap: wrap; gap: .5rem .7rem; align-items: end; margin: .8rem 0 }
.filter label { display: grid; grid-template-columns: minmax(0, 1fr); font-size: .82rem; color: var(--muted);
                max-width: min(100%, 20rem) }
input, select, button { font: inherit; color: inherit; background: var(--back); border: 1px solid #868e99;
        border-radius: 5px; padding: .2rem .5rem; max-width: 100%; min-height: 2rem }
button { background: var(--tag); cursor: pointer }
.two { display: grid; grid-template-columns: minmax(0, 1fr) 24rem; gap: 2.2rem }
@media (max-width: 62rem) { .two { grid-template-columns: minmax(0, 1fr) } }
ul.list { list-style: none; margin: 0; padding: 0 }
ul.list > li { display: flex; flex-wrap: wrap; gap: 0 .8rem; align-items: baseline; padding: .34rem 0;
               border-bottom: 1px solid var(--line) }
ul.list > li > :first-child { flex: 1 1 16rem } ul.list p { margin: .1rem 0; flex-basis: 100% }
.pager { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin: .9rem 0 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .34rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
th { font-weight: 600 } .plain tr > :first-child { padding-left: 0 }
td.num, th.num { text-align: right; white-space: nowrap } td.num { color: var(--muted) }
.side td, .side th { padding: .25rem .3rem; font-size: .9rem }
.side th { overflow-wrap: break-word; max-width: 14rem }
.scroll { overflow-x: auto }
.rows td, .rows th { min-width: 7rem; max-width: 26rem; font-size: .87rem; border: 1px solid var(--line) }
.rows th { background: var(--soft) } .rows .at { min-width: 3.5rem } .rows td > div { white-space: pre-wrap }
.rows :is(td.tall, th.tall) { min-width: 15rem }
summary { cursor: pointer } details > div { white-space: pre-wrap }
.row th { width: 11rem; font-weight: 600 } .row td { white-space: pre-wrap }
@media (max-width: 40rem) {
  .row :is(tr, th, td), .row { display: block; width: auto } .row th { border: 0; padding: .5rem 0 0 }
  .row td { padding: 0 0 .5rem } main { padding: .8rem } header { padding: .6rem .8rem }
  header form { margin: 0; flex-basis: 100%; display: flex } header form input { flex: 1; min-width: 0 }
  .wide { display: none }
}
article table { width: auto; margin: 1rem 0 }
article td, article th { border: 1px solid var(--line); overflow-wrap: break-word }
article th { background: var(--soft) }
article img { max-width: 100%; height: auto; background: #fff; border-radius: 4px } article h1 { font-size: 1.6rem }
article h2 { font-size: 1.25rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; margin-top: 1.8rem }
article h3 { font-size: 1.08rem }
article blockquote { margin: 0; padding-left: 1rem; border-left: 3px solid var(--line) }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: .7rem .9rem;
      overflow-x: auto; overflow-wrap: normal }
code { background: var(--soft); border-radius: 4px; padding: .1em .3em } pre code { padding: 0; background: none }
details pre, pre.wrap { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .82rem }
.diff { white-space: pre-wrap; overflow-wrap: anywhere; padding: .4rem 0 } .diff > * { display: block; padding: 0 .9rem;
        text-decoration: none; min-height: 1.5em }
ins, .added { background: var(--plus); color: var(--plus-text); text-decoration: none }
del, .removed { background: var(--minus); color: var(--minus-text); text-decoration: none }
.state { white-space: nowrap; border-radius: 3px; padding: 0 .35rem; font-size: .82rem }
.changed { background: var(--tag) }
"""
