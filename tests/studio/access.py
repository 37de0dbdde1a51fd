"""Whether a page can be used without a mouse, by a screen reader, and in a narrow or enlarged window."""

from __future__ import annotations

from typing import Any

from tests.studio.chromium import Chromium

CONTROLS = frozenset(
    ("button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "slider", "spinbutton", "option", "listbox")
)
FOCUS = """
const one = document.activeElement, box = one.getBoundingClientRect(), style = getComputedStyle(one);
const shown = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
const marked = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
window.order = window.order || new Map();
if (!window.order.has(one)) window.order.set(one, window.order.size);
const name = one.getAttribute('aria-label') || one.textContent.trim().slice(0, 40);
return [one.tagName, name, shown, marked, window.order.get(one)];
"""
BESIDE = """
return [document.documentElement, document.querySelector('main'), ...document.querySelectorAll('main > :not(.unseen)')]
  .filter((one) => one.scrollWidth > one.clientWidth + 1 && one.clientWidth)
  .map((one) => `${one.tagName}.${one.className} ${one.scrollWidth} > ${one.clientWidth}`);
"""


def read_aloud(browser: Chromium, role: str) -> list[tuple[str, dict[str, str]]]:
    """The elements of a role as a screen reader finds them: their names, and their attributes."""
    browser.call("Accessibility.enable")
    found = []
    for node in browser.call("Accessibility.getFullAXTree")["nodes"]:
        if not node["ignored"] and node.get("role", {}).get("value") == role:
            about = browser.call("DOM.describeNode", backendNodeId=node["backendDOMNodeId"])["node"].get("attributes", [])
            found.append((str(node["name"]["value"]), dict(zip(about[::2], about[1::2], strict=True))))
    browser.call("Accessibility.disable")
    return found


def unnamed(browser: Chromium) -> list[str]:
    """Controls and pictures without a name, as a screen reader finds them."""
    browser.call("Accessibility.enable")
    found = []
    for node in browser.call("Accessibility.getFullAXTree")["nodes"]:
        role = node.get("role", {}).get("value", "")
        if not node["ignored"] and role in CONTROLS and not str(node.get("name", {}).get("value", "")).strip():
            about = browser.call("DOM.describeNode", backendNodeId=node["backendDOMNodeId"])["node"]
            found.append(f"{role}: {about['nodeName']} {about.get('attributes')}")
    browser.call("Accessibility.disable")
    return found


def violations(browser: Chromium, script: str) -> list[str]:
    """What axe-core finds wrong in a page: the rule, and an element that breaks it.

    Args:
        script: axe-core's own, which the page runs.
    """
    browser.do(f"{script}; 0")
    found: list[str] = browser.do(
        "const found = await axe.run({resultTypes: ['violations']}); "
        "return found.violations.map(({impact, id, nodes: [first]}) => "
        "`${impact}: ${id}: ${first.html.slice(0, 200)}: ${first.failureSummary}`);"
    )
    return found


def badly_focused(browser: Chromium, most: int = 60) -> list[Any]:
    """Go through a page with Tab, once around: elements that are out of view or not marked when they have the focus."""
    browser.do("document.activeElement.blur(); window.order = undefined;")
    found, count = [], 0
    for _ in range(most):
        browser.press("Tab")
        tag, name, shown, marked, place = browser.do(FOCUS)
        if place < count:
            break
        count += 1
        if tag not in ("BODY", "MAIN") and not (shown and marked):
            found.append([tag, name, shown, marked])
    assert count > 8, f"Tab reaches {count} elements"
    return found


def beside(browser: Chromium, width: int, height: int, **how: Any) -> list[str]:
    """What is wider than its place in a window of a size."""
    browser.size(width, height, **how)
    found: list[str] = browser.do(f"await new Promise((done) => setTimeout(done, 60)); {BESIDE}")
    browser.size(1280, 800)
    return found
