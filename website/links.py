"""Links between files of the repository, which lead to pages of the site."""

import posixpath
import re
from collections.abc import Set

from website.methods import ROOT
from website.pages import COPIED, config_anchor, page_of

LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def rewrite_links(markdown: str, source: str, path: str, pages: Set[str]) -> str:
    """Turn the links between files of the repository into links between pages.

    A link to a file without a page becomes its text.

    Args:
      markdown: the text of a document.
      source: the file in the repository that contains it.
      path: the page in the site that shows it.
      pages: all pages of the site.
    """
    return LINK.sub(lambda found: _rewrite(found, source, path, pages), markdown)


def _rewrite(link: re.Match, source: str, path: str, pages: Set[str]) -> str:
    """Return one link between files as a link between pages; see `rewrite_links`."""
    text, to, fragment = link.groups()
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), to))
    page = page_in_site(target, pages)
    if page is None:
        return text if (ROOT / target).exists() else link[0]
    page, _, anchor = page.partition("#")
    # The link of a function's name to its file leads to the function.
    if target.startswith("nerf/") and (name := re.fullmatch(r"`(\w+)`", text)):
        anchor = f"{module_of(target)}.{name[1]}"
    fragment = fragment or (f"#{anchor}" if anchor else "")
    return f"[{text}]({posixpath.relpath(page, posixpath.dirname(path))}{fragment})"


def page_in_site(target: str, pages: Set[str]) -> str | None:
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
