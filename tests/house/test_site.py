"""The documentation site takes every page in, refuses what leads nowhere, and loads nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.site import from_code

ROOT = Path(__file__).parents[2]
FRONT = "# Front\n\n{links}\n\n:::{{toctree}}\n:glob:\n\n/docs/*\n:::\n"


def built(tree: Path, links: str) -> tuple[int, str]:
    """Exit code and warnings of a site of two pages, by the Makefile's own command."""
    for name, text in {
        "docs/site/index.md": FRONT.format(links=links),
        "docs/guide.md": "# Guide\n\n## Part\n",
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    [words] = re.findall(r"-m sphinx (.*?) \. build/site$", (ROOT / "Makefile").read_text(), re.DOTALL | re.MULTILINE)
    options = words.replace("\\\n", " ").replace("build/", f"{tree}/build/").split()
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(tree), str(tree / "build/site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_site_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    code, warnings = built(tmp_path, "[a part](../guide.md#part)")
    assert (code, warnings) == (0, "")
    pages = list((tmp_path / "build/site").rglob("*.html"))
    assert len(pages) >= 5
    loaded = [
        found
        for page in pages
        for found in re.findall(
            r"<(?:script|img|link|iframe)\b[^>]*(?:src|href)=\"((?:https?:)?//[^\"]+)", page.read_text()
        )
    ]
    assert loaded == []
    styles = "".join(style.read_text() for style in (tmp_path / "build/site/_static").rglob("*.css"))
    assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", styles)


@pytest.mark.parametrize("link", ["[gone](../gone.md)", "[no such part](../guide.md#parts)", "[no such file](gone.py)"])
def test_a_link_that_leads_nowhere_fails_the_build(link: str, tmp_path: Path) -> None:
    code, warnings = built(tmp_path, link)
    assert (code, "WARNING" in warnings) == (1, True)


def test_a_page_in_no_table_of_contents_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/page.md").write_text("# A page\n")
    code, warnings = built(tmp_path, "")
    assert (code, "elsewhere/page.md: WARNING: document isn't included in any toctree" in warnings) == (1, True)


def test_a_new_guide_finds_its_place_by_itself(tmp_path: Path) -> None:
    (tmp_path / "docs/site").mkdir(parents=True)
    (tmp_path / "docs/site/index.md").write_text("[named](/docs/named.md)\n\n/docs/placed\n")
    for name in ("placed", "named", "another"):
        (tmp_path / f"docs/{name}.md").touch()
    assert from_code.guides(tmp_path).splitlines() == ["/docs/another", "/docs/named"]
