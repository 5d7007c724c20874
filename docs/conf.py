"""Sphinx configuration: ``make docs`` builds the pages, with warnings as errors."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_extensions")]
# The reference is read off the code, which imports Airflow, which makes itself a home where it finds none.
os.environ["AIRFLOW_HOME"] = str(ROOT / "docs" / "_build" / "airflow")
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"

from sentinelhub_provider import __version__  # noqa: E402 - found by the line above

project = "airflow-provider-sentinelhub"
author = "The airflow-provider-sentinelhub authors"
copyright = f"2026, {author}"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_argparse_cli",
    "sphinx_design",
    "class_pages",
    "reference_tables",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

# A page for each class and function that the tables of docs/reference/api.md name.
autosummary_generate = True
autosummary_context = {
    "shown_members": {
        "SentinelHubHook": "settings, asettings, get_conn, request, arequest, download, adownload, get_token, "
        "aget_token, token_info, test_connection, aclose",
        "FolderCollection": "id, add, rebuild",
        "Dataset": "check, add, merge",
        "Features": "crs, properties",
    }
}

# Every reference to a name of this package has to lead somewhere. Names of Python and of others are not linked: a build
# needs no network.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!sentinelhub_provider|SentinelHub).*"),
    (
        "py:class",
        r"sentinelhub_provider\..*\._\w+|.*\.RasterRequest|.*\.ConnectionSettings|.*\.Member|SentinelHubSession",
    ),
    ("py:(mod|func)", r"sentinelhub_provider\.api\..*"),
]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# The page lists the parameters of a class with their types: no signature of fifty lines above them.
autodoc_class_signature = "separated"
python_maximum_signature_line_length = 88

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["extra.css"]
html_title = f"Sentinel Hub for Apache Airflow {version}"
html_show_sourcelink = False
