"""Sphinx's configuration of the documentation site: `make site`.

The site's source is the whole tree, so that every page stays where its subject is, and its relative links lead to the
same places here and on a git host. A link to a file that is no page becomes a download of it. Any Markdown file of the
tree is a page; one that stands in no table of contents is a warning, and warnings fail the build.
"""

import importlib.metadata
from pathlib import Path
from typing import Any

from docs.site import from_code

project = "inquiry-svc"
release = version = importlib.metadata.version(project)
language = "en"
project_copyright = "the authors of inquiry-svc, Apache-2.0"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click", "sphinx_copybutton"]
root_doc = "docs/site/index"
include_patterns = ["**/*.md", "*.md"]
exclude_patterns = [".*", "build", "dist", "tests", "**/node_modules", "**/.*", "*-data"]
nitpicky = True
highlight_language = "none"  # of blocks that name none
smartquotes = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

default_role = "code"  # docstrings write `code`
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
# Names that Python's own library and others' explain; nobody is asked over the network where.
nitpick_ignore_regex = [("py:.*", r"(?!inquiry_svc).*"), ("py:.*", r".*\.T(_co)?")]

html_theme = "furo"
html_title = "inquiry-svc"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["extra"]


def fill(app: Any, page: str, source: list[str]) -> None:
    """Put what the code says where a page of the site asks for it: `{{ configuration }}`."""
    if not page.startswith("docs/site/"):
        return
    for name, written in from_code.PARTS.items():
        if (mark := f"{{{{ {name} }}}}") in source[0]:
            source[0] = source[0].replace(mark, written(Path(app.srcdir)))


def leave_unnamed_out(app: Any, context: Any, lines: list[str]) -> None:
    """An argument that the help doesn't show isn't shown here either (sphinx-click has no word for it)."""
    if ".. option:: " in lines:
        at = lines.index(".. option:: ")
        del lines[at : at + 3]


def of_a_protocol(app: Any, what: str, name: str, it: Any, options: Any, signature: str | None, returns: Any) -> Any:
    """A protocol is implemented, not called."""
    return ("", returns) if signature == "(*args, **kwargs)" else None


def setup(app: Any) -> None:
    app.connect("source-read", fill)
    app.connect("sphinx-click-process-arguments", leave_unnamed_out)
    app.connect("autodoc-process-signature", of_a_protocol)
