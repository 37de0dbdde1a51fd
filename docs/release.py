"""Raise the version: in ``pipekit/__init__.py`` and in the first section of the changelog, both or neither.

python docs/release.py 0.2.0           # make release VERSION=0.2.0: the open section gets this version and today's date
python docs/release.py 0.3.0 --open    # make next VERSION=0.3.0: a new section, for what comes after a release
"""

from __future__ import annotations

import argparse
import re
from datetime import UTC, date, datetime
from pathlib import Path

from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parents[1]
CODE, CHANGES = "pipekit/__init__.py", "CHANGELOG.md"
OPEN = "not yet released"
_CODE = re.compile(r'^__version__ = "(.*)"$', re.MULTILINE)
_SECTION = re.compile(r"^## (\S+), (.+)$", re.MULTILINE)


def raised(code: str, changes: str, wanted: str, today: date, is_open: bool) -> tuple[str, str]:
    """The texts of both files with the wanted version.

    Args:
        is_open: begin a section for what comes after a release, instead of giving the open one its version and date.

    Raises:
        SystemExit: it is no version, or not a later one; or there is no open section to release, or there is one already.
    """
    try:
        version = Version(wanted)
    except InvalidVersion:
        raise SystemExit(f"{wanted!r} is no version: write one such as 0.2.0 or 1.0.0rc1") from None
    if str(version) != wanted:
        raise SystemExit(f"write {wanted!r} as {version}, as package indexes do")
    sections = list(_SECTION.finditer(changes))
    if not sections or not _CODE.search(code):
        raise SystemExit(f"{CHANGES} has no section such as '## 0.1.0, {OPEN}', or {CODE} no __version__")
    first, released = sections[0], [Version(one[1]) for one in sections if one[2] != OPEN]
    if released and version <= max(released):
        raise SystemExit(f"{version} is no later version than {max(released)}, which is released")
    if is_open:
        if first[2] == OPEN:
            raise SystemExit(f"the section of {first[1]} is {OPEN}: `make release` closes it")
        changes = f"{changes[: first.start()]}## {version}, {OPEN}\n\n{changes[first.start() :]}"
    else:
        if first[2] != OPEN:
            raise SystemExit(f"nothing to release: {first[1]} is from {first[2]}. `make next VERSION=…` begins a section")
        end = sections[1].start() if len(sections) > 1 else len(changes)
        if not changes[first.end() : end].strip():
            raise SystemExit(f"the section of {first[1]} is empty: say what has changed for users")
        changes = f"{changes[: first.start()]}## {version}, {today.isoformat()}{changes[first.end() :]}"
    return _CODE.sub(f'__version__ = "{version}"', code, count=1), changes


def main(words: list[str] | None = None, root: Path = ROOT) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("version")
    parser.add_argument("--open", action="store_true", help="begin the section of what comes after a release")
    given = parser.parse_args(words)
    code, changes = ((root / name).read_text("utf-8") for name in (CODE, CHANGES))
    after = raised(code, changes, given.version, datetime.now(UTC).date(), given.open)
    for name, text in zip((CODE, CHANGES), after, strict=True):
        (root / name).write_text(text, "utf-8")
        print(f"{name}: {given.version}")


if __name__ == "__main__":
    main()
