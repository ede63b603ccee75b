"""Every method has an equation and a page, also one that was just added."""

import ast
import re

import pytest

import nerf
from tests.conftest import ROOT
from website import usage
from website.docstrings import MODULE
from website.equations import to_mathml
from website.methods import FAMILIES, method_files, read, source_files
from website.pages import Site, page_of

FILES = {file.module: file for file in method_files(source_files())}
MINE = '''"""Triangle waves (Someone et al., 2401.00001)."""


class Triangle:
    """Triangle waves of x.

    Equation:
      f(x) = |x - floor(x)|
    """
'''


@pytest.fixture(scope="module")
def site():
    return Site()


@pytest.mark.parametrize("module", FILES)
def test_a_method_has_an_equation_and_every_equation_can_be_read(module):
    file = FILES[module]
    assert file.equations or not file.is_method, "add a section `Equation:` to its class"
    for equation in file.equations:
        to_mathml(equation.text)


@pytest.mark.long
def test_every_file_of_a_family_has_a_page_in_the_navigation(site):
    shown = re.findall(r"methods/[\w/]+\.md", str(site.methods))
    for folder in FAMILIES:
        for path in (ROOT / "nerf" / folder).glob("*.py"):
            name = "index" if path.stem == "__init__" else path.stem
            page = f"methods/{folder}/{name}.md"
            assert page in shown and page in site.pages


def test_a_method_added_as_one_file_has_a_page(tmp_path):
    for folder, name, text in [
        ("encodings", "triangle", MINE),
        ("output", "helper", '"""Help."""'),
    ]:
        path = tmp_path / "nerf" / folder / f"{name}.py"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (file,) = method_files(source_files(tmp_path))
    assert page_of(file.module) == "methods/encodings/triangle.md"
    assert (file.title, file.papers) == ("Triangle waves", ["2401.00001"])
    assert [equation.text for equation in file.equations] == ["f(x) = |x - floor(x)|"]


@pytest.mark.long
def test_a_page_names_paper_equation_configs_and_verdict(site):
    text = site.pages["methods/networks/siren.md"]
    assert "https://arxiv.org/abs/2006.09661" in text
    assert "[`systems/siren`](../../configs.md#systems-siren)" in text
    assert "[R3](../../systems.md#R3)" in text and "2 of 2 margins hold" in text
    assert text.index("::: nerf.networks.siren.Siren") < text.index(
        "::: nerf.networks.siren.Sine\n"
    )


def test_configs_are_found_by_import_path_wherever_it_stands():
    wave = read(ROOT / "nerf" / "encodings" / "fourier.py")
    nested = {"model": {"field": {"encoding": {"name": "nerf.encodings.fourier:Fourier"}}}}
    other = {"encoding": {"name": "nerf.encodings.identity:Identity", "note": wave.module}}
    assert usage.configs_that_use(wave, {"a": nested, "b": other}) == ["a"]


def test_a_claim_belongs_to_the_methods_that_its_arms_use_differently(site):
    rows = {module: [claim.row for claim in claims] for module, claims in site.claims.items()}
    assert rows["nerf.encodings.hash_grid"] == ["NGP", "NGP-small"]
    assert rows["nerf.sampling.importance"] == ["R16", "R16-sparse"]
    assert rows["nerf.networks.cppn"] == ["R6"]
    assert rows["nerf.geometry.density"] == [], "all arms use it alike"


def test_every_anchor_of_a_claim_is_a_row_of_the_table(site):
    table = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")
    for claims in site.claims.values():
        for claim in claims:
            assert f"\n| {claim.row} | " in table


@pytest.mark.long
def test_every_module_and_config_is_shown_once(site):
    text = "\n".join(site.pages.values())
    shown = re.findall(r"^::: (nerf[\w.]+)$", text, re.MULTILINE)
    assert len(shown) == len(set(shown))
    for file in source_files():
        anchors = {f"::: {file.module}\n", f"[](){{#{file.module}}}"}
        assert file.module == "nerf.__main__" or any(anchor in text for anchor in anchors)
    for path in (ROOT / "configs").rglob("[a-z]*.py"):
        assert f"## {path.relative_to(ROOT / 'configs').with_suffix('').as_posix()} {{#" in text


@pytest.mark.long
def test_every_name_in_a_docstring_that_is_linked_has_a_place(site):
    places = {"nerf", *(file.module for file in site.files), *(f"nerf.{n}" for n in nerf.__all__)}
    places |= {f"{file.module}.{each.name}" for file in site.files for each in file.public}
    missing = {}
    for path in sorted((ROOT / "nerf").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                for name in MODULE.findall(ast.get_docstring(node) or ""):
                    if name not in places:
                        missing[name] = path.name
    assert not missing, "write the complete import path of a public name, or no code"
