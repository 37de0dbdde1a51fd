"""The import of TensorFlow."""

from __future__ import annotations

import importlib
import socket
import sys

import pytest

from pipekit.learning.keras_backend import without_socket


def test_the_import_opens_no_socket_and_leaves_connections_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """What TensorFlow imports asks for a socket to find out about IPv6; ``strace`` showed it."""
    name = "urllib3.util.connection"
    pytest.importorskip(name)
    asked: list[int] = []

    class Noted(socket.socket):
        def __init__(self, family: int = -1, *rest: int, **more: int) -> None:
            asked.append(family)
            super().__init__(family, *rest, **more)

    monkeypatch.setattr(socket, "socket", Noted)
    monkeypatch.setattr(socket, "has_ipv6", True)
    monkeypatch.delitem(sys.modules, name)
    importlib.import_module(name)
    assert asked == [socket.AF_INET6], "without the guard there is one"
    monkeypatch.delitem(sys.modules, name)
    with without_socket():
        again = importlib.import_module(name)
    assert len(asked) == 1
    assert socket.has_ipv6
    assert again.HAS_IPV6
    again.HAS_IPV6 = False  # as it finds out on a machine without
    with without_socket():
        assert socket.has_ipv6
    assert not again.HAS_IPV6
