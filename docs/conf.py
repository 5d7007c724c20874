"""Sphinx configuration: ``make docs`` builds the pages, with warnings as errors."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
# The reference is read off the code, which imports Airflow, which makes itself a home where it finds none.
os.environ["AIRFLOW_HOME"] = str(ROOT / "docs" / "_build" / "airflow")
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"

from sentinelhub_provider import __version__  # noqa: E402 - found by the line above

project = "airflow-provider-sentinelhub"
author = "The airflow-provider-sentinelhub authors"
copyright = f"2026, {author}"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"

html_theme = "furo"
html_title = "Sentinel Hub for Apache Airflow"
html_show_sourcelink = False
