"""The little Markdown that report sections are written in: paragraphs, lists, ``**strong**``, ``*emphasis*`` and code."""

from __future__ import annotations

import re
from html import escape

_SPANS = re.compile(r"(?P<code>`[^`\n]+`)|(?P<strong>\*\*\S(?:[^*]*\S)?\*\*)|(?P<em>\*\S(?:[^*]*\S)?\*)|\\(?P<plain>[\\`*_-])")
_LIST = re.compile(r"[-*] |\d+\. ")


def to_html(text: str) -> str:
    """Markdown to HTML. All other characters are escaped: ``<b>`` in a class name is shown, not obeyed."""
    blocks = re.split(r"\n\s*\n", text.strip("\n"))
    return "\n".join(_block(block) for block in blocks if block.strip())


def literal(text: str) -> str:
    """A name as Markdown text that shows exactly that name."""
    return re.sub(r"([\\`*_-])", r"\\\1", " ".join(text.split()))


def _block(block: str) -> str:
    lines = block.strip().splitlines()
    if block.lstrip().startswith("```") and block.rstrip().endswith("```") and len(lines) > 1:
        return f"<pre><code>{escape(chr(10).join(lines[1:-1]))}</code></pre>"
    if not _LIST.match(lines[0]):
        return f"<p>{_spans(' '.join(line.strip() for line in lines))}</p>"
    items: list[str] = []
    for line in lines:
        if _LIST.match(line):
            items.append(_LIST.sub("", line, count=1))
        else:
            items[-1] += " " + line.strip()
    tag = "ol" if lines[0][0].isdigit() else "ul"
    return f"<{tag}>" + "".join(f"<li>{_spans(item)}</li>" for item in items) + f"</{tag}>"


def _spans(text: str) -> str:
    parts, end = [], 0
    for found in _SPANS.finditer(text):
        parts.append(escape(text[end : found.start()]))
        kind, inner = str(found.lastgroup), str(found[found.lastgroup or 0])
        if kind == "plain":
            parts.append(escape(inner))
        elif kind == "code":
            parts.append(f"<code>{escape(inner[1:-1])}</code>")
        else:
            parts.append(f"<{kind}>{_spans(inner.strip('*'))}</{kind}>")
        end = found.end()
    return "".join(parts) + escape(text[end:])
