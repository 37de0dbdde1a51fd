"""Values that a costly check has accepted before, as digests in the store: checking them again imports no library.

They only save time. Checking reads them and a run adds to them, so that a dry run writes nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path

NAME = "accepted.txt"


def read_accepted(store_root: Path) -> set[str]:
    """What runs have added so far."""
    try:
        return set((store_root / NAME).read_text(encoding="ascii").split())
    except (OSError, UnicodeDecodeError):
        return set()


def add_accepted(store_root: Path, digests: Collection[str]) -> None:
    """Add what is new. A store that can't be written is no error here."""
    news = set(digests) - read_accepted(store_root)
    if news:
        with contextlib.suppress(OSError):
            store_root.mkdir(parents=True, exist_ok=True)
            with (store_root / NAME).open("a", encoding="ascii") as out:
                out.write("".join(f"{digest}\n" for digest in sorted(news)))
