"""A choice of importer with parameters, as commands take it: ``csv``, ``csv:label=Finding Labels``."""

from __future__ import annotations

import re

from pipekit.errors import UserError

_NEXT = re.compile(r":(?=\w+=)")


def parse_format(text: str) -> tuple[str, dict[str, str]]:
    """The importer's name, which may be qualified (``acme:csv``), and the parameters that follow it.

    Raises:
        UserError: something else than ``PARAMETER=VALUE`` follows the name.

    >>> parse_format("csv:label=Finding Labels:label_values=names")
    ('csv', {'label': 'Finding Labels', 'label_values': 'names'})
    """
    name, *pairs = _NEXT.split(text)
    if name.count(":") > 1 or name.startswith(":") or name.endswith(":"):
        raise UserError(
            f"{text!r} is no choice of an importer", "Expected NAME or NAME:PARAMETER=VALUE, such as csv:label=kind"
        )
    return name, dict(pair.split("=", 1) for pair in pairs)
