"""The page: self-contained, safe with any name, and alive in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipekit import images
from pipekit import page as page_module
from pipekit.contract import Figure, Picture, Section, Table
from pipekit.page import Top, cell_text, render
from pipekit.page.markdown import literal, to_html
from pipekit.page.plots import plot

EVIL = "<img src=x onerror=alert(1)>\"'&</script>"


class Texts(HTMLParser):
    """The text of a page and its tags, without scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.tags = "", []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(html: str) -> Texts:
    found = Texts()
    found.feed(html)
    return found


WRITTEN = {"p", "ul", "ol", "li", "strong", "em", "code", "pre", "blockquote", "hr", "br", "h3", "h4", "h5", "h6", "a"}
TABLE = {"table", "thead", "tbody", "tr", "th", "td"}


@given(st.one_of(st.text(max_size=200), st.text("<>/!-?&[]()|:`*_#ascriptimgonload=' \n\t", max_size=200)))
def test_markdown_never_makes_a_tag_of_its_own(text: str) -> None:
    tags = parsed(to_html(text)).tags
    assert {tag for tag, _ in tags} <= WRITTEN | TABLE
    assert {name for _, attributes in tags for name in attributes} <= {"href", "title", "style", "start", "class"}


@pytest.mark.parametrize("html", ["<script>alert(1)</script>", "<img src=x onerror=a>", "a <b>b</b>", "<!-- c -->", "<?php ?>"])
def test_html_in_markdown_is_shown(html: str) -> None:
    found = parsed(to_html(html))
    assert found.text == html
    assert [tag for tag, _ in found.tags] == ["p"]


@pytest.mark.parametrize(
    "link",
    [
        "[x](javascript:alert(1))",
        "[x](data:text/html,y)",
        "[x](file:///etc)",
        "[x](//a.b)",
        "<vbscript:x>",
        "[x](&#106;avascript:y)",
    ],
)
def test_a_link_of_no_safe_scheme_stays_text(link: str) -> None:
    assert [tag for tag, _ in parsed(to_html(link)).tags] == ["p"]


@pytest.mark.parametrize("target", ["https://a.b/c?d=e", "http://a.b", "mailto:a@b.c", "#confusion"])
def test_a_safe_link_is_one(target: str) -> None:
    assert parsed(to_html(f"[x]({target})")).tags == [("p", {}), ("a", {"href": target})]


def test_an_image_in_markdown_is_not_loaded() -> None:
    assert "img" not in {tag for tag, _ in parsed(to_html("![x](https://a.b/c.png)")).tags}


CHARACTERS = st.one_of(st.characters(exclude_categories=["Cs", "Cc", "Z"]), st.sampled_from("\\`*_{}[]()<>#+-.!|~=&:;01a"))


@given(st.text(CHARACTERS, min_size=1, max_size=60))
def test_a_literal_name_is_shown_as_it_is(name: str) -> None:
    for before in ("It is ", "It is\n", ""):
        found = parsed(to_html(before + literal(name)))
        assert found.text == before + name
        assert [tag for tag, _ in found.tags] == ["p"]


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a *b* **c** `d*e*`", "<p>a <em>b</em> <strong>c</strong> <code>d*e*</code></p>"),
        ("one\ntwo\n\nthree", "<p>one\ntwo</p>\n<p>three</p>"),
        ("- a\n- b\n  more", "<ul>\n<li>a</li>\n<li>b\nmore</li>\n</ul>"),
        ("1. a\n2. b", "<ol>\n<li>a</li>\n<li>b</li>\n</ol>"),
        ("```\n<x> *y*\n```", "<pre><code>&lt;x&gt; *y*\n</code></pre>"),
        ("2 * 3 * 4", "<p>2 * 3 * 4</p>"),
        ("# a\n\nb\n---", "<h3>a</h3>\n<h4>b</h4>"),
        ("[a]: b\n\n[a]", "<p>[a]: b</p>\n<p>[a]</p>"),
    ],
)
def test_markdown(text: str, html: str) -> None:
    assert to_html(text) == html


def test_a_table_in_markdown() -> None:
    found = parsed(to_html("| a | b |\n|---|--:|\n| 1 | *2* |"))
    assert [tag for tag, _ in found.tags] == ["table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td", "em"]
    assert found.text.split() == ["a", "b", "1", "2"]


def test_cells() -> None:
    shown = [cell_text(value) for value in (None, float("nan"), 1234, 0.12345, True, "x")]
    assert shown == ["–", "–", "1,234", "0.123", "yes", "x"]


def jpeg(seed: int = 0, hw: tuple[int, int] = (24, 24)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*hw, 3), dtype=np.uint8)
    return images.encode(pixels, "jpg")


def test_names_with_html_are_shown_not_run() -> None:
    section = Section(
        EVIL,
        literal(EVIL),
        tables=(Table((EVIL, "b"), ((EVIL, EVIL),), EVIL),),
        pictures=tuple(Picture(jpeg(), EVIL, EVIL, {EVIL: value}) for value in (EVIL, "other")),
        figures=(Figure("f", b"<svg xmlns='http://www.w3.org/2000/svg'/>", EVIL, EVIL),),
    )
    page = render(EVIL, [("s", section)], lead=EVIL, footer=EVIL)
    tags = parsed(page).tags
    assert not any("onerror" in attrs for _, attrs in tags)
    assert {attrs["src"][:5] for tag, attrs in tags if tag == "img"} == {"data:"}
    tagged = next(attrs["data-tags"] for _, attrs in tags if "data-tags" in attrs)
    assert json.loads(tagged) == {EVIL: EVIL}


def test_the_page_needs_nothing_from_outside() -> None:
    page = render("T", [("s", Section("S", "words", pictures=(Picture(jpeg(), "a"),)))])
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert not re.search(r"url\(|@import", page)


def test_a_figure_is_shown_once_and_follows_the_theme() -> None:
    svg, png = plot("p", lambda axes: axes.plot([0, 1], [0, 1], label="$x_1$ <b>"), alt="a line")
    assert svg.media_type == "image/svg+xml"
    assert b"currentColor" in svg.data
    assert b"prefers-color-scheme" in svg.data
    page = render("T", [("s", Section("S", figures=(svg, png)))])
    assert page.count("<img") == 1
    assert "<img" not in render("T", [("s", Section("S", figures=(replace(svg, on_page=False),)))])
    assert plot("p", lambda axes: axes.plot([0, 1], [0, 1], label="$x_1$ <b>"), alt="a line") == (svg, png)


def test_pictures_of_a_group_are_one_item_under_their_heading() -> None:
    pictures = (
        *(Picture(jpeg(n), f"p{n}", f"p{n}\nmore", {"kind": "copy"}, group="1. the same file") for n in range(2)),
        Picture(jpeg(2), "p2", "p2", {"kind": "copy"}, group="2. the same file"),
        Picture(jpeg(3), "p3", "p3", {"kind": "alone"}),
    )
    page = render("T", [("s", Section("S", "What is it? It is *this*.", pictures=pictures))])
    items = re.findall(r"<li(?: class=\"group\")? data-tags=.*?</li>", page, re.S)
    assert [re.findall(r"<b>(.*?)</b>", item) for item in items] == [["p0", "p1"], ["p2"], ["p3"]]
    assert "<p>1. the same file</p>" in items[0]
    assert "copy (2)" in page
    assert '<p class="question">What is it?</p>' in page
    assert "<p>It is <em>this</em>.</p>" in page


def test_the_top_of_a_page_and_folded_sections() -> None:
    top = Top(
        "It works", ("**But** slowly",), (("Model", EVIL), ("Date", "")), "Mistakes", (Picture(jpeg(), "a", "b"),), "Go:", "run"
    )
    page = render("T", [("s", Section("S", "Why? So.")), ("t", Section("U"))], top=top, folded=("s",))
    found = parsed(page)
    assert "onerror" not in {name for _, attributes in found.tags for name in attributes}
    assert [tag for tag, _ in found.tags if tag in ("h1", "h2", "nav", "main", "details")] == [
        *("nav", "details", "main", "h1", "h2", "h2", "details", "h2", "h2")
    ]
    for text in ("It works", "But slowly", EVIL, "Mistakes", "Go:", "run"):
        assert text in found.text
    assert "Date" not in found.text


def colours(theme: str) -> dict[str, tuple[float, ...]]:
    found = re.findall(r"--([\w-]+): #([0-9a-f]{6})", theme)
    return {name: tuple(int(text[at : at + 2], 16) for at in (0, 2, 4)) for name, text in found}


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """WCAG 2's contrast ratio."""

    def luminance(rgb: tuple[float, ...]) -> float:
        linear = [c / 255 / 12.92 if c <= 10.31475 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1, 2])  # light, dark, print
def test_all_text_has_enough_contrast(theme: int) -> None:
    style = (Path(page_module.__file__).parent / "page.css").read_text("utf-8")
    found = colours(re.findall(r":root \{(.*?)\}", style, re.S)[theme])
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    for text in ("ink", "soft", "accent"):
        assert min(contrast(found[text], found[ground]) for ground in ("paper", "panel")) >= 4.5
    assert contrast(found["ink"], found["alert"]) >= 4.5
    shares = [int(text) / 100 for text in re.findall(r"calc\(var\(--v\) \* (\d+)%\)", style)]
    assert len(shares) == 2
    for name in ("good", "bad"):
        darkest = tuple(max(shares) * a + (1 - max(shares)) * b for a, b in zip(found[name], found["panel"], strict=True))
        assert contrast(found["ink"], darkest) >= 4.5


# --- in a browser ---------------------------------------------------------------------------------------------------------


def in_browser(page: str, script: str, folder: Path, width: int = 1200) -> Any:
    """Run ``script`` (its value is JSON) in headless Chromium after the page's own, and collect errors of the page.

    Chromium has no window narrower than 500 px: a narrower page is a frame in one. The trial script is let through the page's
    security policy; everything else in the policy stays.
    """
    trial = f"""
    const errors = [];
    addEventListener('error', (event) => errors.push(String(event.message)));
    addEventListener('securitypolicyviolation', (event) => errors.push(event.violatedDirective));
    addEventListener('load', () => setTimeout(async () => {{
      let value; try {{ value = await (async () => {{ {script} }})(); }} catch (error) {{ errors.push(String(error)); }}
      const show = (text) => {{
        const out = document.createElement('pre'); out.id = 'trial'; out.textContent = text; document.body.append(out);
      }};
      const text = JSON.stringify({{value, errors}});
      if (parent === window) show(text); else parent.postMessage(text, '*');
    }}, 50));
    """
    import base64
    import hashlib

    allowed = base64.b64encode(hashlib.sha256(trial.encode()).digest()).decode()
    changed = page.replace("script-src ", f"script-src 'sha256-{allowed}' ", 1).replace(
        "<style>", f"<script>{trial}</script><style>", 1
    )
    file = folder / "page.html"
    file.write_text(changed, "utf-8")
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert browser, "this test needs Chromium (Debian package chromium)"
    if width < 500:
        listen = "addEventListener('message', (event) => { document.querySelector('pre').textContent = event.data; })"
        frame = f'<iframe src="page.html" style="width:{width}px;height:800px;border:0"></iframe>'
        file = folder / "frame.html"
        file.write_text(f'<!doctype html><pre id="trial"></pre><script>{listen}</script>{frame}', "utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=5000"]
    options += [f"--window-size={max(500, width)},800", f"--user-data-dir={folder}/browser"]
    done = subprocess.run([browser, *options, "--dump-dom", file.as_uri()], capture_output=True, text=True, check=True)
    found = re.search(r'<pre id="trial">(.*?)</pre>', done.stdout, re.S)
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(unescape(found[1]))


def lively_page() -> str:
    table = Table(("name", "n", "share"), (("b", 2, 0.5), ("a", 1000, None), ("c", 30, 0.25)))
    pictures = tuple(
        Picture(
            jpeg(number),
            f"picture {number}",
            f"{number}",
            {"answer": "wrong" if number % 3 == 0 else "right", "true": "a" if number % 2 else "<b>"},
            {"confidence": (number * 37 % 60) / 60},
        )
        for number in range(60)
    )
    link = '<p><a id=\'cell\' href=\'#gallery\' data-filter=\'{"true": "&lt;b&gt;", "answer": "wrong"}\'>3</a></p>'
    counts = json.dumps({"positive": [0] * 600 + [2] * 401, "negative": [1] * 500 + [0] * 501})
    values = "".join(f'<dd data-value="{name}"></dd>' for name in ("tp", "fp", "fn", "tn", "precision", "threshold"))
    slider = (
        f'<div class="needs-script" data-threshold hidden><input type="range" min="0" max="1000" value="500">{values}'
        f'<script type="application/json">{counts}</script></div>'
        '<button data-toggle="show-rates" aria-pressed="false">Rates</button>'
    )
    return render(
        "Trial",
        [
            ("words", Section("Words", "text", tables=(table,), html=link + slider)),
            ("gallery", Section("Gallery", pictures=pictures)),
        ],
    )


def test_everything_on_the_page_works_in_a_browser(tmp_path: Path) -> None:
    script = """
    const texts = (selector) => [...document.querySelectorAll(selector)].map((e) => e.textContent.trim());
    const pictures = () => [...document.querySelectorAll('.pictures li')];
    const shown = () => pictures().filter((e) => !e.hidden).map((e) => Number(e.textContent));
    const state = () => document.querySelector('form output').textContent;
    const out = {};
    out.first = shown().length;
    document.querySelector('.more').click(); out.more = shown().length;
    const headings = [...document.querySelectorAll('thead button')];
    headings[1].click(); out.by_number = texts('tbody th'); out.sort = headings[1].closest('th').getAttribute('aria-sort');
    headings[1].click(); out.by_number_up = texts('tbody th');
    headings[2].click(); out.empty_last = texts('tbody th');
    document.querySelector('#cell').click(); out.filtered = shown(); out.said = state();
    const order = document.querySelector('[data-order]');
    order.value = '+confidence'; order.dispatchEvent(new Event('change', {bubbles: true})); out.ordered = shown();
    document.querySelector('form').reset(); await new Promise((done) => setTimeout(done, 20)); out.reset = shown().length;
    const slider = document.querySelector('[data-threshold] input');
    const cells = [...document.querySelectorAll('[data-value]')];
    const read = () => Object.fromEntries(cells.map((e) => [e.dataset.value, e.textContent]));
    out.half = read();
    slider.value = '700'; slider.dispatchEvent(new Event('input')); out.high = read();
    const toggle = document.querySelector('[data-toggle]'); toggle.click(); out.pressed = toggle.getAttribute('aria-pressed');
    out.loaded = [...document.images].every((image) => image.src.startsWith('data:'));
    out.requests = performance.getEntriesByType('resource').filter((e) => !e.name.startsWith('data:')).length;
    return out;
    """
    result = in_browser(lively_page(), script, tmp_path)
    assert result["errors"] == []
    found = result["value"]
    wanted = [n for n in range(60) if n % 3 == 0 and n % 2 == 0]
    assert (found["first"], found["more"], found["reset"]) == (24, 60, 24)
    assert (found["by_number"], found["sort"]) == (["a", "c", "b"], "descending")
    assert found["by_number_up"] == ["b", "c", "a"]
    assert found["empty_last"] == ["b", "c", "a"]
    assert found["filtered"] == wanted
    assert found["said"] == f"{len(wanted)} of {len(wanted)} pictures"
    assert found["ordered"] == sorted(wanted, key=lambda n: n * 37 % 60)
    assert found["half"] == {"tp": "802", "fp": "0", "fn": "0", "tn": "500", "precision": "1.000", "threshold": "0.500"}
    assert (found["high"]["tp"], found["high"]["fn"]) == ("602", "200")
    assert found["pressed"] == "true"
    assert found["loaded"]
    assert found["requests"] == 0


def test_a_script_in_a_name_is_stopped_by_the_page_even_in_a_section_s_own_html(tmp_path: Path) -> None:
    html = "<script>document.title = 'run'</script><img src='data:,' onerror=\"document.title = 'run'\">"
    section = Section("S", html=html)
    result = in_browser(render("Safe", [("s", section)]), "return document.title", tmp_path)
    assert result["value"] == "Safe"
    assert set(result["errors"]) <= {"script-src-elem", "script-src-attr"}


@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_wider_than_the_window(tmp_path: Path, width: int) -> None:
    script = "return [innerWidth, document.documentElement.scrollWidth]"
    assert in_browser(lively_page(), script, tmp_path, width)["value"] == [width, width]
