"""Who may ask, and what the answers let a browser do."""

from __future__ import annotations

import pytest

from tests.studio.asgi import HOST, Page, ask

COOKIE = {"Cookie": "pipekit-8470=secret"}


def test_a_page_needs_the_token(page: Page) -> None:
    assert ask(page.app, "/", headers={"Host": HOST}).status == 401
    assert ask(page.app, "/", headers={"Host": HOST, "Cookie": "pipekit-8471=secret"}).status == 401
    assert ask(page.app, "/?token=wrong", headers={"Host": HOST}).status == 401


def test_the_token_becomes_a_cookie_named_by_the_port_and_leaves_the_address(page: Page) -> None:
    answer = ask(page.app, "/?q=cat&token=secret", headers={"Host": HOST})
    assert (answer.status, answer.headers["location"]) == (303, "/?q=cat")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("pipekit-8470=secret")
    assert {"httponly", "samesite=strict"} <= {part.strip().lower() for part in cookie.split(";")}


def test_a_path_with_the_token_leads_nowhere_else(page: Page) -> None:
    answer = ask(page.app, "//evil.example/?token=secret", headers={"Host": HOST})
    assert answer.headers["location"] == "/evil.example/"


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1:8471", "127.0.0.1", "", "[::1]:8470", "127.0.0.1:8470.evil.test"])
def test_another_name_is_refused(page: Page, host: str) -> None:
    assert ask(page.app, "/", headers={"Host": host, **COOKIE}).status == 403


@pytest.mark.parametrize("left_out", ["Origin", "X-Pipekit"])
def test_a_change_needs_the_origin_and_the_own_header(page: Page, left_out: str) -> None:
    headers = {name: value for name, value in page.posting.items() if name != left_out}
    assert ask(page.app, "/api/x/undo", "POST", headers, b"{}").status == 403


@pytest.mark.parametrize("origin", ["null", "http://evil.test", "http://127.0.0.1:8471", "https://127.0.0.1:8470", HOST])
def test_a_change_from_elsewhere_is_refused(page: Page, origin: str) -> None:
    assert ask(page.app, "/api/x/undo", "POST", {**page.posting, "Origin": origin}, b"{}").status == 403


def test_every_answer_has_the_policy(page: Page) -> None:
    for answer in (page.get("/"), page.get("/nowhere"), ask(page.app, "/", headers={"Host": "evil.test"})):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_no_page_and_no_answer_holds_the_token(page: Page) -> None:
    for path in ("/", "/static/common.js", "/api/state", "/api/index"):
        assert b"secret" not in page.get(path).body


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_no_way_around(page: Page, method: str) -> None:
    assert ask(page.app, "/api/state", method, {"Host": HOST, **COOKIE}).status == 403
    assert ask(page.app, "/api/state", method, page.posting).status == 405


FORMS = ("../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "....//etc/passwd", "/etc/passwd")
"""A few; `test_traversal.py` has hundreds."""
PLACES = (
    "/{}",
    "/static/{}",
    "/api/{}/columns",
    "/api/x/image/{}",
    "/api/x/facts/{}",
    "/runs/{}/report",
    "/api/jobs/{}/events",
)


def test_no_address_is_a_path(page: Page) -> None:
    for form in (*FORMS, *(form.replace("etc/passwd", "photos/cat/00.png") for form in FORMS)):
        for place in PLACES:
            answer = page.get(place.format(form))
            assert answer.status in (404, 410, 422), (place, form)
            assert b"root:" not in answer.body
            assert b"\x89PNG" not in answer.body
