"""Sphinx settings. ``make docs`` runs ``docs/generate.py`` first, which writes the pages that come from the code."""

from importlib.metadata import version as _version

project = "pipekit"
author = "The pipekit authors"
copyright = "The pipekit authors. Apache License 2.0"
version = release = _version("pipekit-vision")

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}

html_theme = "furo"
html_title = f"pipekit {release}"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
