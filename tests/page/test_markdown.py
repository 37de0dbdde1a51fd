"""Markdown of sections: what needs no parser is the same as what the parser makes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipekit.page.markdown import parser, to_html

LETTERS = st.sampled_from(
    [*"aZ ä\"'.,:;!?()/%1-+=~\t\n\u00a0\u2028{}$^@", "  ", "1. ", "1) ", "- ", "https://a.b/c", "\\", "*", "&"]
)


@given(st.lists(LETTERS, max_size=30).map("".join), st.booleans())
@example("1. a list", False)
@example("1) a list", True)
@example("- a list", False)
@example("    code", False)
@example("two\nlines", False)
@example("-", False)
@example('a "word" - and 3.5, it\'s', False)
def test_a_plain_line_is_what_the_parser_makes_of_it(text: str, inline: bool) -> None:
    made = parser().renderInline(text) if inline else parser().render(text)
    assert to_html(text, inline) == made.rstrip("\n")


@pytest.mark.parametrize(("text", "loads"), [("Nothing wrong was found.", False), ("**Nothing** wrong was found.", True)])
def test_a_plain_line_imports_no_parser(text: str, loads: bool) -> None:
    code = f"import sys; from pipekit.page.markdown import to_html; to_html({text!r}); print('markdown_it' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(loads)
