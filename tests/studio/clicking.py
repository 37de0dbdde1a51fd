"""What a person does with a mouse and a keyboard: elements are found by what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.studio.chromium import Chromium

PRESSED = """
const wanted = {text}, all = [...document.querySelectorAll({selector})];
const visible = all.filter((one) => one.getClientRects().length && !one.disabled);
const says = (one) => one.textContent.trim();
const found = visible.find((one) => says(one) === wanted) || visible.find((one) => says(one).startsWith(wanted));
document.querySelector('[data-pressed]')?.removeAttribute('data-pressed');
if (found) found.setAttribute('data-pressed', '');
return Boolean(found);
"""


class Keyboard(Chromium):
    """A browser without a mouse: what a test clicks is reached with Tab, and pressed with Enter."""

    def click(self, selector: str) -> None:
        self.focus(selector)
        if not self.do("document.activeElement.matches('input:not([type=checkbox], [type=radio]), select, textarea')"):
            self.press("Enter")

    def focus(self, selector: str) -> None:
        tab_to(self, selector)

    def call(self, method: str, **params: Any) -> Any:
        assert method != "Input.dispatchMouseEvent", "there is no mouse"
        return super().call(method, **params)


def tab_to(browser: Chromium, selector: str, most: int = 400) -> None:
    """Press Tab until an element has the focus, which then is in view."""
    wanted = f"document.activeElement.matches({json.dumps(selector)})"
    for _ in range(most):
        if browser.do(wanted):
            assert browser.do(
                "(box => box.bottom > 0 && box.top < innerHeight)(document.activeElement.getBoundingClientRect())"
            )
            return
        browser.press("Tab")
    raise AssertionError(f"Tab does not reach {selector}")


def press_text(browser: Chromium, text: str, selector: str = "button, a, summary") -> None:
    """Click the visible element that says ``text``, or else the first that begins with it; wait until there is one."""
    script = PRESSED.format(text=json.dumps(text), selector=json.dumps(selector))
    browser.until(script, f"something to click says {text!r}")
    browser.click("[data-pressed]")


def fill_in(browser: Chromium, selector: str, text: str) -> None:
    """Click a field, and type in the place of what it holds."""
    browser.click(selector)
    browser.do(f"document.querySelector({json.dumps(selector)}).select()")
    browser.type(text)


def choose(browser: Chromium, selector: str, value: str) -> None:
    """Choose an option by arrow keys."""
    place = f"document.querySelector({json.dumps(selector)})"
    browser.focus(selector)
    for _ in range(browser.do(f"{place}.length")):
        if browser.do(f"{place}.value") == value:
            return
        browser.press("ArrowDown")
    raise AssertionError(f"{selector} has no option {value!r} below the first one")


def choose_file(browser: Chromium, button: str, file: Path) -> None:
    """Click a button that opens the dialog for files, and choose one."""
    browser.call("Page.setInterceptFileChooserDialog", enabled=True)
    press_text(browser, button)
    found = browser.call("Runtime.evaluate", expression="document.querySelector('input[type=file]')")
    browser.call("DOM.setFileInputFiles", files=[str(file)], objectId=found["result"]["objectId"])
