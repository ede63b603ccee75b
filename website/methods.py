"""Find the methods of the library: the files with a method's class, docstring and equation.

Files are read, not imported: a method that was added as one file is found without a list.
"""

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from website.docstrings import ARXIV, Equation, equations_of

ROOT = Path(__file__).parent.parent

# Folders of which every file is a method or a part that methods share. A file of another folder is
# a method if it has an equation.
FAMILIES = {
    "encodings": "Encodings",
    "networks": "Networks",
    "fields": "Fields",
    "geometry": "Geometry",
    "sampling": "Sampling",
    "losses": "Losses",
}


@dataclasses.dataclass(frozen=True)
class Public:
    """A public class or function of a file.

    Attributes:
      name: its name.
      docstring: its docstring, without indentation.
      is_method: whether a config can name it to be built: a class that is no protocol and no kind
        of variable.
    """

    name: str
    docstring: str
    is_method: bool

    @property
    def equations(self) -> list[Equation]:
        """The equations of its docstring."""
        return equations_of(self.docstring)


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """A file of the library, as far as the site shows it.

    Attributes:
      module: its import path.
      docstring: the docstring of the module.
      public: its public classes and functions, in the order of the file.
    """

    module: str
    docstring: str
    public: tuple[Public, ...]

    @property
    def folder(self) -> str:
        """The folder of nerf/ that it lies in; "" for a file of nerf/ itself."""
        return self.module.split(".")[1] if self.module.count(".") else ""

    @property
    def title(self) -> str:
        """The first sentence of the docstring without its papers."""
        first = self.docstring.split("\n\n")[0].replace("\n", " ")
        return re.sub(r"\s*\([^()]*\d{4}\.\d{5}[^()]*\)", "", first).rstrip(".")

    @property
    def summary(self) -> str:
        """The docstring after its first paragraph."""
        return self.docstring.partition("\n\n")[2]

    @property
    def papers(self) -> list[str]:
        """The arXiv numbers of its docstrings, in their order."""
        texts = [self.docstring, *(each.docstring for each in self.public)]
        return list(dict.fromkeys(ARXIV.findall("\n".join(texts))))

    @property
    def equations(self) -> list[Equation]:
        """The equations of the module and of its public names."""
        own = equations_of(self.docstring)
        return own + [equation for each in self.public for equation in each.equations]

    @property
    def is_method(self) -> bool:
        """Report whether it defines something that a config can name."""
        return any(each.is_method for each in self.public)


def read(path: Path, root: Path = ROOT) -> SourceFile:
    """Read a file of the library that lies under `root`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module = path.relative_to(root).with_suffix("").as_posix().replace("/", ".")
    module = module.removesuffix(".__init__")
    return SourceFile(module, ast.get_docstring(tree) or "", tuple(_public(tree)))


def _public(tree: ast.Module) -> Iterator[Public]:
    """Yield the documented public classes and functions of a module."""
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
            continue
        bases = {ast.unparse(base) for base in getattr(node, "bases", [])}
        is_method = isinstance(node, ast.ClassDef) and not bases & {"Protocol", "nnx.Variable"}
        yield Public(node.name, ast.get_docstring(node) or "", is_method)


def source_files(root: Path = ROOT) -> list[SourceFile]:
    """Return all files of the library, by path."""
    return [read(path, root) for path in sorted((root / "nerf").rglob("*.py"))]


def method_files(files: list[SourceFile]) -> list[SourceFile]:
    """Return the files that have a page of their own among the methods, family by family."""
    chosen = [
        file
        for file in files
        if file.module.count(".") == 2 and (file.folder in FAMILIES or file.equations)
    ]
    order = [*FAMILIES, *sorted({file.folder for file in chosen} - set(FAMILIES))]
    return sorted(chosen, key=lambda file: order.index(file.folder))
