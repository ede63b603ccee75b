"""The prose of the library: plain words, and parameters that are explained."""

import ast
import re

import pytest

from tests.conftest import ROOT

# Words that a reader stumbles over, with the plain one.
PLAIN = {
    "anew": "again",
    "amidst": "among",
    "hitherto": "so far",
    "lest": "so that ... not",
    "mend": "fix",
    "mends": "fixes",
    "thereof": "of it",
    "whence": "from where",
    "wherein": "in which",
    "wholly": "fully",
    "goes on with": "resumes",
    "go on with": "resume",
    "is left out": "is skipped",
    "are left out": "are skipped",
    "light left": "transmittance",
}
MAX_PARAMETERS = 3  # of a public function that needs no `Args:`
SOURCES = sorted((ROOT / "nerf").rglob("*.py"))
DOCUMENTS = [*SOURCES, *sorted((ROOT / "configs").rglob("*.py")), *sorted(ROOT.glob("*.md"))]
DOCUMENTS += sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS += sorted((ROOT / "examples").glob("*.py"))


def name_of(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_words_are_plain(path):
    text = path.read_text(encoding="utf-8")
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, PLAIN))})\b", re.IGNORECASE)
    found = {match[0]: PLAIN[match[0].lower()] for match in pattern.finditer(text)}
    assert not found, "write the word on the right"


def public_functions(tree):
    """Yield the public functions and methods of a module, with their names."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node, 0
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            methods = [inner for inner in node.body if isinstance(inner, ast.FunctionDef)]
            for method in methods:
                if not method.name.startswith("_"):
                    static = any(
                        getattr(d, "id", "") == "staticmethod" for d in method.decorator_list
                    )
                    yield f"{node.name}.{method.name}", method, 0 if static else 1


def explained_by_package(path):
    """Return the parameters that a Protocol of the package explains, by function."""
    package = path.with_name("__init__.py")
    tree = ast.parse(package.read_text(encoding="utf-8"))
    protocols = [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and "Protocol" in [getattr(b, "id", "") for b in node.bases]
    ]
    methods = {
        name.partition(".")[2]: f for name, f, _ in public_functions(ast.Module(protocols, []))
    }
    return {name: parameters(f) for name, f in methods.items()} if path != package else {}


def parameters(function):
    return [arg.arg for arg in (*function.args.args, *function.args.kwonlyargs)]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_public_functions_with_several_parameters_explain_them(path):
    bare = []
    contract = explained_by_package(path)
    for name, function, bound in public_functions(ast.parse(path.read_text(encoding="utf-8"))):
        text = ast.get_docstring(function) or ""
        own = parameters(function)[bound:]
        if name in contract:
            # The function of a module that implements a Protocol explains what it adds.
            own = [parameter for parameter in own if parameter not in contract[name]]
            bare += [f"{name}: {parameter}" for parameter in own if f"`{parameter}`" not in text]
        # A method without a docstring implements a contract that its class or module explains.
        elif len(own) >= MAX_PARAMETERS and text and "Args:" not in text:
            bare.append(name)
    assert not bare, f"{name_of(path)}: add Args: to {bare}"
