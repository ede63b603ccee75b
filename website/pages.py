"""Write the generated pages of the site: methods, configs, reference and the copied documents."""

import json
import posixpath
import re
from pathlib import Path

from benchmarks.systems.judging import HOLDS, UNDECIDED
from website import usage
from website.docstrings import linked, to_markdown
from website.equations import to_mathml
from website.methods import FAMILIES, ROOT, Public, SourceFile, method_files, source_files

# Documents outside docs/, and where they stand in the site.
COPIED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "data/README.md": "data.md",
}

MAX_TITLE = 50  # characters of a name in the navigation

Nav = list[dict[str, "str | Nav"]]


class Site:
    """The generated pages, by path in the site, and their place in the navigation.

    Args:
      root: the repository.

    Attributes:
      pages: Markdown by path.
      methods: navigation of the methods.
      reference: navigation of the reference.
    """

    def __init__(self, root: Path = ROOT):
        self.root, self.files = root, source_files(root)
        self.method_files = method_files(self.files)
        self.configs = usage.load_configs(root / "configs")
        results = json.loads((root / "docs" / "systems.json").read_text(encoding="utf-8"))
        self.claims = {f.module: usage.claims_about(f, results) for f in self.method_files}
        self.pages: dict[str, str] = {}
        self.methods, self.reference = self._add_methods(), self._add_reference()
        self.pages["configs.md"] = self._configs_page()
        for source, page in COPIED.items():
            self.pages[page] = (root / source).read_text(encoding="utf-8")

    def _add_methods(self) -> Nav:
        """Add a page for each method and one for each family."""
        overview = ["# Methods", "", "Every method is one file, with its equation and its test."]
        nav: Nav = []
        for folder in dict.fromkeys(file.folder for file in self.method_files):
            files = [file for file in self.method_files if file.folder == folder]
            title = FAMILIES.get(folder, folder.capitalize())
            entries: Nav = []
            if folder in FAMILIES:
                self.pages[f"methods/{folder}/index.md"] = self._family_page(folder, title, files)
                entries.append({title: f"methods/{folder}/index.md"})
            for file in files:
                self.pages[page_of(file.module)] = self._method_page(file)
                entries.append({short_title(file): page_of(file.module)})
            overview += ["", f"## {title}", "", *_table(files, "methods/index.md")]
            nav.append({title: entries})
        self.pages["methods/index.md"] = "\n".join(overview)
        return [{"Overview": "methods/index.md"}, *nav]

    def _family_page(self, folder: str, title: str, files: list[SourceFile]) -> str:
        """Return the page of a family: its contract, and a table of its methods."""
        package = next(file for file in self.files if file.module == f"nerf.{folder}")
        lines = [f"# {title}", "", _anchor(package.module), "", to_markdown(package.docstring)]
        lines += ["", *_table(files, f"methods/{folder}/index.md"), ""]
        return "\n".join(lines + [_directive(package, each) for each in package.public])

    def _method_page(self, file: SourceFile) -> str:
        """Return the page of a method: paper, configs, verdicts, and the contract of each class."""
        page = page_of(file.module)
        lines = [f"# {file.title}", "", _anchor(file.module), ""]
        facts = [f"**Source:** `{file.module.replace('.', '/')}.py`"]
        if file.papers:
            facts.append(f"**Paper:** {', '.join(map(_paper, file.papers))}")
        if used := usage.configs_that_use(file, self.configs):
            facts.append(f"**Configs:** {self._config_links(used, page)}")
        lines += ["  \n".join(facts), ""]
        for claim in self.claims[file.module]:
            target = f"{_relative('systems.md', page)}#{claim.row}"
            held, undecided = (claim.verdicts.count(word) for word in (HOLDS, UNDECIDED))
            count = f"{held} of {len(claim.verdicts)} margins hold"
            count += f", {undecided} undecided" if undecided else ""
            verdict = count if claim.verdicts else "not measured"
            lines.append(f"- [{claim.row}]({target}): {linked(claim.text)}. **{verdict}.**")
        lines += ["", to_markdown(file.summary), ""]
        # What has an equation comes first, then what it is made of.
        members = sorted(file.public, key=lambda each: not each.equations)
        return "\n".join(lines + [_directive(file, each) for each in members])

    def _config_links(self, names: list[str], page: str) -> str:
        """Return links to configs; for more than half of all, their number."""
        target = _relative("configs.md", page)
        if len(names) > len(self.configs) / 2:
            return f"{len(names)} of the {len(self.configs)} [configs]({target})"
        return ", ".join(f"[`{name}`]({target}#{config_anchor(name)})" for name in names)

    def _add_reference(self) -> Nav:
        """Add the page of the public functions, and one for each folder without methods."""
        self.pages["reference/index.md"] = self._facade_page()
        nav: Nav = [{"nerf": "reference/index.md"}]
        own_page = {file.module for file in self.method_files}
        folders = {file.folder for file in self.files} - {*FAMILIES, "", "api", "__main__"}
        for folder in sorted(folders):
            page = f"reference/{folder}.md"
            package = next(file for file in self.files if file.module == f"nerf.{folder}")
            lines = [f"# {package.module}", "", _anchor(package.module), ""]
            lines += [to_markdown(package.docstring), ""]
            lines += [_directive(package, each) for each in package.public]
            for file in self.files:
                if file.folder == folder and file.module not in {*own_page, package.module}:
                    lines.append(_module_directive(file))
            others = [f for f in self.method_files if f.folder == folder]
            links = [f"[{f.title}]({_relative(page_of(f.module), page)})" for f in others]
            lines += [f"Among the methods: {', '.join(links)}."] if links else []
            self.pages[page] = "\n".join(lines)
            nav.append({f"nerf.{folder}": page})
        return nav

    def _facade_page(self) -> str:
        """Return the page of `import nerf`."""
        package, api = (next(f for f in self.files if f.module == m) for m in ("nerf", "nerf.api"))
        source = (self.root / "nerf" / "__init__.py").read_text(encoding="utf-8")
        names = re.findall(r'^    "(\w+)",$', source, re.MULTILINE)
        own = {each.name: each for each in api.public}
        lines = ["# The library in Python", "", _anchor("nerf"), _anchor("nerf.api"), ""]
        lines += [linked(package.title) + ".", "", to_markdown(api.docstring), ""]
        home = {each.name: file.module for file in self.files for each in file.public}
        lines += ["| name | defined in |", "|---|---|"]
        for name in names:
            place = "nerf.api" if name in own else home[name]
            here = _anchor(f"nerf.{name}")
            lines.append(f"| {here}[`nerf.{name}`][{place}.{name}] | `{place}` |")
        return "\n".join([*lines, "", *(_directive(api, own[n]) for n in names if n in own)])

    def _configs_page(self) -> str:
        """Return the page with the text of every config."""
        lines = ["# Configs", "", "A config is a short Python module."]
        for name in self.configs:
            source = (self.root / "configs" / f"{name}.py").read_text(encoding="utf-8")
            lines += ["", f"## {name} {{#{config_anchor(name)}}}", "", "```python", source, "```"]
        return "\n".join(lines)


def page_of(module: str) -> str:
    """Return the path of a method's page."""
    return f"methods/{'/'.join(module.split('.')[1:])}.md"


def config_anchor(name: str) -> str:
    """Return the anchor of a config in the page of configs."""
    return name.replace("/", "-")


def short_title(file: SourceFile) -> str:
    """Return the name of a method in the navigation."""
    name = re.split("[:,]", file.title)[0]
    return (
        name
        if len(name) <= MAX_TITLE
        else file.module.split(".")[-1].replace("_", " ").capitalize()
    )


def _paper(number: str) -> str:
    return f"[arXiv:{number}](https://arxiv.org/abs/{number})"


def _anchor(name: str) -> str:
    """Return an invisible target for links to a module."""
    return f"[](){{#{name}}}"


def _relative(target: str, page: str) -> str:
    """Return the link from one page to another."""
    return posixpath.relpath(target, posixpath.dirname(page))


def _table(files: list[SourceFile], page: str) -> list[str]:
    """Return a table of methods with their first equation."""
    lines = ["| method | paper | equation |", "|---|---|---|"]
    for file in files:
        link = f"[{linked(short_title(file))}]({_relative(page_of(file.module), page)})"
        papers = ", ".join(map(_paper, file.papers[:1]))
        # A bar would end the cell.
        first = [to_mathml(each.text).replace("|", "&#124;") for each in file.equations[:1]]
        lines.append(f"| {link} | {papers} | {''.join(first)} |")
    return lines


def _directive(file: SourceFile, public: Public) -> str:
    """Return the directive with which mkdocstrings renders one public name."""
    return f"::: {file.module}.{public.name}\n    options:\n      heading_level: 2\n"


def _module_directive(file: SourceFile) -> str:
    """Return the directive with which mkdocstrings renders a module and its public names."""
    return (
        f"::: {file.module}\n    options:\n      heading_level: 2\n"
        "      show_root_full_path: true\n      show_submodules: false\n"
    )
