"""The English of the code and the documents: phrases to avoid, each with the words to write instead.

The scan reads docstrings, comments and strings of Python files (not names and code), and every line of Markdown and TOML.
"""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

DONE = ("",)
"""Prefixes of the paths that are scanned. To scan all files: ``DONE = ("",)``."""

SCANNED = (
    "pipekit/**/*",
    "plugins/**/*",
    "docs/**/*.md",
    "sample_data/**/*",
    "benchmarks/**/*.py",
    "README.md",
    "CHANGELOG.md",
)
SUFFIXES = (".py", ".md", ".toml")

PHRASES = {
    r"\b(?:hangs?|hung|hanging) (?:less |more |only )?(?:on|upon)\b": "depends on",
    r"\blook(?:s|ed|ing)? at\b": "reads, measures, compares (only people look at things)",
    r"\b(?:is|are|was|were|be) told\b(?! (?:apart|from))": "says, reports, receives",
    r"\b(?:goes|go|went|going) on\b(?! (?:the|a|top)\b)": "continues, resumes",
    r"\bnothing to choose\b": "the difference may be chance",
    r"(?:^|[.!?:] )Of (?:which|two|several|those|the|a|an|each|what|every)\b": "begin with the subject, or 'With two …'",
    r"(?:^|[.!?] )of which\b": "begin with the subject",
    r"\bwhat speaks for\b": "explanation",
    r"\b(?:is|are|can't be|cannot be|can be) had\b(?! to\b)": "is available, can be obtained",
    r"\b(?:no|not|nothing|never|n't)\b[^.;:\n]{0,40}\bany ?more\b": "no longer",
    r"\bso often\b": "number of times, at most N times",
    r"\bfrom so many \w+ on\b": "minimum number of …",
    r"\b(?:^|[.] )So many\b": "number of …, maximum number of …",
    r"\bin (?:its|their) hands\b": "assigned to it, running in it",
    r"\ba \w+ of (?:its|their) own\b": "its own …, a separate …, a custom …",
    r"\bnear cop(?:y|ies)\b": "near duplicate",
    r"\bmade anew\b": "recomputed, rebuilt",
    r"\bthe answers? (?:of|that|which|was|is) the model\b|\bthe model's answers?\b": "the prediction",
    r"\bwithout a word\b": "silently",
}
"""Regular expressions -> what to write instead. Upper and lower case matter only where a sentence begins."""

PEOPLE_LOOK = (
    "a picture large enough to look at",
    "does the model look at",
    "picture to look at",
    "pictures to look at",
    "people look at",
    "look at the images",
    "look at the report",
    "by looking at the image",
)
"""The exact phrases that are allowed, since people (or a network, in the user's question) look there, not the code."""


COMPILED = [
    (re.compile(pattern.replace(" ", " +"), re.NOFLAG if "[.!?" in pattern or "[.]" in pattern else re.IGNORECASE), instead)
    for pattern, instead in PHRASES.items()
]
ALLOWED = re.compile("|".join(PEOPLE_LOOK), re.IGNORECASE)


def phrases_in(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield (line from 0, phrase, replacement) for each phrase to avoid; a line break counts as a space."""
    flat = re.sub(r"\n[ \t#>]*", lambda gap: " " * len(gap[0]), text) if "\n" in text else text
    for pattern, instead in COMPILED:
        for found in pattern.finditer(flat):
            if not any(allowed.start() <= found.start() < allowed.end() for allowed in ALLOWED.finditer(flat)):
                yield text.count("\n", 0, found.start()), " ".join(found[0].split()), instead


def prose_of(file: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of the prose in a file; comments on consecutive lines are one text."""
    if file.suffix != ".py" or "templates" in file.parts:
        yield 1, file.read_text("utf-8")
        return
    comments: list[tuple[int, str]] = []
    with file.open("rb") as source:
        for token in tokenize.tokenize(source.readline):
            if token.type == tokenize.COMMENT:
                comments.append((token.start[0], token.string.lstrip("# ")))
            elif token.type == tokenize.STRING:
                yield token.start[0], re.sub(r"^\w*[\"']+|[\"']+$", "", token.string)
            elif tokenize.tok_name[token.type] == "FSTRING_MIDDLE":  # from Python 3.12; before, an f-string is a STRING
                yield token.start[0], token.string
    yield from _joined(comments)


def _joined(comments: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    block: list[str] = []
    first = 0
    for line, text in comments:
        if block and line == first + len(block):
            block.append(text)
            continue
        if block:
            yield first, "\n".join(block)
        first, block = line, [text]
    if block:
        yield first, "\n".join(block)


def problems_in(file: Path, root: Path = ROOT) -> list[str]:
    """``"path:line: 'phrase': write …"`` for each phrase to avoid in a file."""
    return [
        f"{file.relative_to(root).as_posix()}:{line + below}: {phrase!r}: write {instead}"
        for line, text in prose_of(file)
        for below, phrase, instead in phrases_in(text)
    ]


def scanned_files(root: Path = ROOT) -> list[Path]:
    files = {file for pattern in SCANNED for file in root.glob(pattern) if file.suffix in SUFFIXES and file.is_file()}
    return sorted(file for file in files if file.relative_to(root).as_posix().startswith(DONE) and not _is_output(file, root))


def _is_output(file: Path, root: Path) -> bool:
    """Whether a file is in a run folder, a cache or a test folder of a plugin."""
    parts = file.relative_to(root).parts
    return any(part in ("runs", "build", "dist", "tests", "_generated") or part.startswith(".") for part in parts[:-1])


def test_the_field_s_terms_are_used() -> None:
    problems = [problem for file in scanned_files() for problem in problems_in(file)]
    assert not problems, "\n" + "\n".join(problems)


def test_every_prefix_names_scanned_files() -> None:
    paths = [file.relative_to(ROOT).as_posix() for file in scanned_files()]
    assert [prefix for prefix in DONE if not any(path.startswith(prefix) for path in paths)] == []


@pytest.mark.parametrize(
    ("text", "line", "phrase"),
    [
        ('"""A key hangs on its file."""\n', 1, "hangs on"),
        ("x = 1\n\n# The rest of the run\n# goes on.\n", 4, "goes on"),
        ('def f():\n    """First.\n\n    The loss is not a number\n    any more.\n    """\n', 4, "not a number any more"),
        ('f"{x}: the engine is told of it"\n', 1, "is told"),
        ('"""Of two reports the later one wins."""\n', 1, "Of two"),
        ('"""Checks: this one looks at the pixels."""\n', 1, "looks at"),
    ],
)
def test_a_planted_phrase_is_found(text: str, line: int, phrase: str, tmp_path: Path) -> None:
    file = tmp_path / "planted.py"
    file.write_text(text, encoding="utf-8")
    (problem,) = problems_in(file, tmp_path)
    assert problem.startswith(f"planted.py:{line}: {phrase!r}: write ")


@pytest.mark.parametrize(
    "text",
    [
        "hangs_on = goes(on)\n",  # code is not prose
        '"""One of two files; a process that hangs; the tests are told apart by name."""\n',
        f'"""Run it; it writes {PEOPLE_LOOK[0]}."""\n',
    ],
)
def test_other_words_are_not_reported(text: str, tmp_path: Path) -> None:
    file = tmp_path / "fine.py"
    file.write_text(text, encoding="utf-8")
    assert problems_in(file, tmp_path) == []


def test_markdown_is_scanned_across_lines(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\nThe result hangs\non the seed.\n", encoding="utf-8")
    assert problems_in(page, tmp_path) == ["page.md:3: 'hangs on': write depends on"]
