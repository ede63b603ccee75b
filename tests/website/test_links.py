"""A link that works among the files works in the site."""

import posixpath
import re

import pytest

from tests.conftest import ROOT
from website.links import LINK, page_in_site, rewrite_links
from website.methods import read
from website.pages import COPIED, Site

DOCUMENTS = {path.name: f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
PAGES = {**DOCUMENTS, **{page: source for source, page in COPIED.items()}}


@pytest.fixture(scope="module")
def known():
    docs = ROOT / "docs"
    return {*Site().pages, *(path.relative_to(docs).as_posix() for path in docs.rglob("*"))}


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_document_leads_to_a_page(page, known):
    text = (ROOT / PAGES[page]).read_text(encoding="utf-8")
    for _, target, fragment in LINK.findall(rewrite_links(text, PAGES[page], page, known)):
        assert posixpath.normpath(posixpath.join(posixpath.dirname(page), target)) in known
        module, _, name = fragment.removeprefix("#").rpartition(".")
        if module.startswith("nerf.") and not (ROOT / module.replace(".", "/") / name).is_dir():
            path = ROOT / f"{module.replace('.', '/')}.py"
            names = {each.name for each in read(path).public} if path.exists() else set()
            module_itself = (ROOT / f"{fragment[1:].replace('.', '/')}.py").exists()
            assert name in names or module_itself, fragment


@pytest.mark.long
@pytest.mark.parametrize(
    ("target", "page"),
    [
        ("README.md", "index.md"),
        ("docs/comparing.md", "comparing.md"),
        ("configs", "configs.md"),
        ("configs/systems/siren.py", "configs.md#systems-siren"),
        ("nerf/encodings/hash_grid.py", "methods/encodings/hash_grid.md"),
        ("nerf/encodings/__init__.py", "methods/encodings/index.md"),
        ("nerf/runs/budget.py", "reference/runs.md#nerf.runs.budget"),
        ("LICENSE", None),
    ],
)
def test_where_a_file_stands_in_the_site(target, page, known):
    assert page_in_site(target, known) == page


def test_a_link_is_relative_to_its_page_and_names_the_function(known):
    def shown(text):
        return rewrite_links(text, "docs/a.md", "a.md", known)

    link = shown("[`adam`](../nerf/training/optimizers.py)")
    assert link == "[`adam`](reference/training.md#nerf.training.optimizers.adam)"
    assert shown("[`ngp`](../configs/ngp.py)") == "[`ngp`](configs.md#ngp)"
    assert shown("[the licence](../LICENSE)") == "the licence"
    assert shown("[gone](../gone.py)") == "[gone](../gone.py)", "the build reports it"
    assert shown("[web](https://x.org)") == "[web](https://x.org)"
    assert not re.search(r"\]\(\.\./", shown("[b](../README.md)"))
