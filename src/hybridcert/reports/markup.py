"""Pieces of HTML that the pages share."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Sequence
from importlib import resources

_SCRIPTS = ("frame", "data", "chart", "frontier", "inputs", "detail", "page")
_THEME = '<button type="button" id="theme" hidden>Theme</button>'


def document(title: str, body: Iterable[str], *, data: Iterable[str] = ()) -> str:
    """Return a whole page: one file that works offline, in light and dark, and asks for no other file.

    Parameters
    ----------
    data : iterable of str
        Elements with the data of an interactive page; see `packed.block`.
    """
    style, blocks = _asset("page.css"), list(data)
    names = _SCRIPTS if blocks else _SCRIPTS[:1]
    script = '(() => {\n"use strict";\n' + "\n".join(_asset(f"{name}.js") for name in names) + "})();\n"
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "title": escaped(title),
        "style": style,
        "body": "\n".join((_THEME, *body)),
        "data": "\n".join(blocks),
        "script": f"<script>{script}</script>",
    }
    pieces = re.split(r"\{\{(\w+)\}\}", _asset("page.html"))
    return "".join(parts[piece] if number % 2 else piece for number, piece in enumerate(pieces))


def _asset(name: str) -> str:
    return resources.files("hybridcert.reports").joinpath("assets", name).read_text(encoding="utf-8")


def _digest(source: str) -> str:
    """Return the source expression of a content security policy that allows this text and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


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
    head = "".join(f'<th scope="col">{escaped(c)}</th>' if c else "<td></td>" for c in columns)
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
