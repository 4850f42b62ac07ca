"""Pieces of HTML that the pages share."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --paper: #ffffff; --line: #d8dee4;
  --wash: #f6f8fa; --accent: #0b5cad; --warn: #b42318; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --paper: #161b22;
  --line: #343b44; --wash: #1f262e; --accent: #6cb0ff; --warn: #ff8f84; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 58rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
.parameters { color: var(--soft); margin: 0 0 1.2rem; }
.lead { border-left: 3px solid var(--accent); padding: .1rem 0 .1rem 1rem; margin: 1rem 0 1.5rem; }
.lead p { margin: .4rem 0; }
img { max-width: 100%; height: auto; display: block; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .3rem 0 .6rem; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap;
}
thead th { background: var(--wash); font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
.wide td { white-space: normal; overflow-wrap: anywhere; text-align: left; vertical-align: top; }
.narrow th { white-space: normal; max-width: 6.5rem; vertical-align: bottom; }
.narrow th, .narrow td { padding: .3rem; font-size: .88rem; }
.wide td:first-child { white-space: nowrap; }
small, .note { color: var(--soft); font-size: .875rem; }
td small { display: block; }
li { margin: .35rem 0; }
a { color: var(--accent); }
code { font-size: .9em; }
.unsound { border: 2px dashed var(--warn); padding: .2rem 1rem; margin: 2.2rem 0; }
p.unsound { font-size: .875rem; margin: .8rem 0; padding: .4rem .8rem; }
.unsound h2 { color: var(--warn); margin: .8rem 0 .4rem; }
.unsound td { color: var(--soft); }
.unsound strong { color: var(--warn); }
"""


def document(title: str, body: Iterable[str]) -> str:
    """Return a whole page: one file, readable offline, in light and dark."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def picture(light: bytes, dark: bytes, caption: str) -> str:
    """Return a PNG, inlined in two themes."""
    sources = [f"data:image/png;base64,{base64.b64encode(png).decode()}" for png in (light, dark)]
    return (
        f'<picture><source srcset="{sources[1]}" media="(prefers-color-scheme: dark)">'
        f'<img src="{sources[0]}" alt="{html.escape(caption, quote=True)}"></picture>'
    )


def plain_table(columns: Sequence[object], rows: Iterable[Sequence[object]], *, kind: str = "") -> str:
    """Return a table of text."""
    return markup_table(columns, [[escaped(cell) for cell in row] for row in rows], kind=kind)


def markup_table(columns: Sequence[object], rows: Iterable[Sequence[str]], *, kind: str = "") -> str:
    """Return a table whose cells are markup already."""
    head = "".join(f'<th scope="col">{escaped(column)}</th>' for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    shown = f"<thead><tr>{head}</tr></thead>" if any(columns) else ""
    return f'<div class="scroll"><table class="{kind}">{shown}<tbody>{body}</tbody></table></div>'


def lead(*sentences: str) -> str:
    """Return paragraphs that stand out."""
    return '<div class="lead">' + "".join(f"<p>{escaped(s)}</p>" for s in sentences) + "</div>"


def bullets(sentences: Iterable[str]) -> str:
    """Return a list of sentences."""
    return "<ul>" + "".join(f"<li>{escaped(sentence)}</li>" for sentence in sentences) + "</ul>"


def escaped(value: object) -> str:
    """Return a value as text that is safe in markup."""
    return html.escape(str(value))
