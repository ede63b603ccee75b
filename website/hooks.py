"""Hooks of mkdocs: add the generated pages, and lead links between files to pages of the site."""

import importlib.util
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from website.docstrings import equation_lines, equations_html
from website.links import rewrite_links
from website.pages import COPIED, Site

EQUATION_BLOCK = re.compile(r"^```equation\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FONT = "STIXTwoMath-Regular.ttf"
ROW = re.compile(r"^\| (?!row \|)([A-Za-z][\w-]*) \| ", re.MULTILINE)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the generated pages to the files and to the navigation."""
    site = Site()
    for path, text in site.pages.items():
        files.append(File.generated(config, path, content=text))
    # Few systems have a font for mathematics, so the site brings its own.
    spec = importlib.util.find_spec("ziamath")
    assert spec is not None and spec.origin is not None
    font = Path(spec.origin).parent / "fonts" / FONT
    files.append(File.generated(config, FONT, abs_src_path=str(font)))
    generated: dict[str, Any] = {"Methods": site.methods, "Reference": site.reference}
    config.nav = [
        {title: generated.get(title, entries)}
        for entry in config.nav or []
        for title, entries in entry.items()
    ]
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Render equations, add anchors to the rows of claims, and rewrite links."""
    path = page.file.src_uri
    if path == "systems.md":
        markdown = ROW.sub(r'| <a id="\1"></a>\1 | ', markdown)
    markdown = EQUATION_BLOCK.sub(lambda found: _render(found[1]), markdown)
    source = next((s for s, copy in COPIED.items() if copy == path), f"docs/{path}")
    if path in COPIED.values() or not page.file.generated_by:
        pages = {file.src_uri for file in files}
        markdown = rewrite_links(markdown, source, path, pages)
    return markdown


def _render(block: str) -> str:
    """Return the HTML of a block of equations."""
    return f"\n{equations_html(equation_lines(block.splitlines()))}\n"
