"""Sphinx configuration of the documentation. ``make docs`` builds it; nothing is fetched from the network."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # cells run `kronoscope`
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["COLUMNS"] = "100"

from cell_cache import cache_folder  # noqa: E402

import kronoscope  # noqa: E402

project = "kronoscope"
author = "The kronoscope authors"
copyright = "the kronoscope authors"
release = version = kronoscope.__version__
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "api_pages",
    "links",
    "notebooks",
    "streams",
    "studies",
]

exclude_patterns = ["_build", "_ext", "_static", "**.ipynb_checkpoints"]

# Text
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_fence_as_directive = ["math"]  # GitHub renders ```math, too
myst_heading_anchors = 3
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"options": {"enableMenu": False}}  # the menu loads files that are not vendored

# Cells: executed once for each state of their source and of the library
nb_execution_mode = "cache"
nb_execution_cache_path = str(cache_folder(HERE))
nb_execution_raise_on_error = True
nb_execution_timeout = 900  # a cell: the machine may be busy
nb_merge_streams = True
nb_execution_show_tb = True
nb_execution_in_temp = True

# API
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autosummary_generate = False
napoleon_numpy_docstring = False
napoleon_use_rtype = False
suppress_warnings = ["ref.python"]  # words in the shapes of jaxtyping are taken for names
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = "kronoscope"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
