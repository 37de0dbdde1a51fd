"""Sphinx settings. ``make docs`` runs ``docs/generate.py`` first, which writes the pages that come from the code."""

import os
import re
from importlib.metadata import version as _version
from pathlib import Path
from typing import Any, Protocol

project = "pipekit"
author = "The pipekit authors"
copyright = "The pipekit authors. Apache License 2.0"
version = release = _version("pipekit-vision")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}

# The notebooks have no outputs in the repository: each build runs them.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True

# Kernels get a profile of their own: the settings of whoever builds change nothing. Only errors are logged.
_profile = Path(__file__).resolve().parents[1] / "build" / "ipython" / "profile_default"
_profile.mkdir(parents=True, exist_ok=True)
(_profile / "ipython_kernel_config.py").write_text('get_config().IPKernelApp.log_level = "ERROR"\n', encoding="utf-8")
os.environ["IPYTHONDIR"] = str(_profile.parent)

html_theme = "furo"
html_title = f"pipekit {release}"
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["pictures.css"]
html_theme_options = {"navigation_with_keys": True}

# The Python reference (docs/generate.py) shows signatures as they are written. Nothing in it imports TensorFlow.
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
_ALIASES = ("Image", "Matrix", "SizeHw", "Interpolation", "FillMode", "Ops", "Probabilities")
autodoc_type_aliases = {name: name for name in _ALIASES}
napoleon_numpy_docstring = False
napoleon_use_ivar = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types of other libraries, whose documentation is elsewhere


def readable_signature(
    app: Any, what: str, name: str, found: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None] | None:
    """Names of types as they are written; a protocol has no signature, for nobody makes one."""
    if what == "class" and Protocol in getattr(found, "__bases__", ()):
        return "", None
    plain = [part and re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", part) for part in (signature, returned)]
    return plain[0], plain[1]


def setup(app: Any) -> None:
    app.connect("autodoc-process-signature", readable_signature)
