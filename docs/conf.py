"""The documentation, built by `make docs`. Its source folder is the repository, with README and CHANGELOG."""

from __future__ import annotations

import os

import requests

from scifish import __version__

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # autodoc imports the widgets

project = "SciZoo for Sardana and Tango"
author = "The SciZoo team"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.intersphinx"]
root_doc = "docs/index"
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**"]
exclude_patterns = ["docs/pictures/**"]
suppress_warnings = ["myst.header"]  # CHANGELOG's headings
default_role = "code"  # docstrings write names in single backticks, as Markdown does

myst_heading_anchors = 4
autodoc_typehints = "description"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = project

INVENTORIES = {
    "python": "https://docs.python.org/3/",
    "tango": "https://pytango.readthedocs.io/en/stable/",
    "sardana": "https://www.sardana-controls.org/",
    "taurus": "https://taurus-scada.org/",
    "requests": "https://requests.readthedocs.io/en/latest/",
}


def _is_reached(base: str) -> bool:
    try:
        return requests.head(f"{base}objects.inv", timeout=3, allow_redirects=True).ok
    except requests.RequestException:
        return False


# Without a network the pages are built without links to other projects, and not at all wrong.
intersphinx_mapping = {name: (base, None) for name, base in INVENTORIES.items() if _is_reached(base)}
linkcheck_timeout = 15
