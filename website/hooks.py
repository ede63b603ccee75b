"""Hooks of mkdocs: add the generated pages, and lead links between files to pages of the site."""

import importlib.util
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from website.docstrings import equation_lines, equations_html
from website.pages import COPIED, Site, config_anchor, page_of

LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")
EQUATION_BLOCK = re.compile(r"^```equation\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FONT = "STIXTwoMath-Regular.ttf"
ROW = re.compile(r"^\| ([A-Z][\w-]*) \| ", re.MULTILINE)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the generated pages to the files and to the navigation."""
    site = Site()
    for path, text in site.pages.items():
        files.append(File.generated(config, path, content=text))
    # Few systems have a font for mathematics, so the site brings its own.
    font = Path(importlib.util.find_spec("ziamath").origin).parent / "fonts" / FONT
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
        markdown = LINK.sub(lambda found: _rewrite(found, source, path, pages), markdown)
    return markdown


def _render(block: str) -> str:
    """Return the HTML of a block of equations."""
    return f"\n{equations_html(equation_lines(block.splitlines()))}\n"


def _rewrite(link: re.Match, source: str, path: str, pages: set[str]) -> str:
    """Return a link between files of the repository as a link between pages.

    Args:
      link: a match of LINK.
      source: the file in the repository that contains the link.
      path: the page in the site that contains the link.
      pages: all pages of the site.
    """
    text, to, fragment = link.groups()
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), to))
    page = page_in_site(target, pages)
    if page is None:
        return link[0]
    page, _, anchor = page.partition("#")
    # The link of a function's name to its file leads to the function.
    if target.endswith(".py") and (name := re.fullmatch(r"`(\w+)`", text)):
        anchor = f"{module_of(target)}.{name[1]}"
    fragment = fragment or (f"#{anchor}" if anchor else "")
    return f"[{text}]({posixpath.relpath(page, posixpath.dirname(path))}{fragment})"


def page_in_site(target: str, pages: set[str]) -> str | None:
    """Return the page, with an anchor, that shows a file of the repository; None if none does."""
    if target in COPIED:
        return COPIED[target]
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    if target.startswith("configs"):
        name = target.removeprefix("configs").strip("/").removesuffix(".py")
        known = name not in ("", "systems")
        return f"configs.md#{config_anchor(name)}" if known else "configs.md"
    if target == "data":
        return COPIED["data/README.md"]
    if target.startswith("nerf/") and target.endswith(".py"):
        module = module_of(target)
        own = {page_of(module), page_of(f"{module}.index")} & pages
        return own.pop() if own else f"reference/{module.split('.')[1]}.md#{module}"
    return None


def module_of(path: str) -> str:
    """Return the import path of a file of the library."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
