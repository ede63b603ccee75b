"""Find which configs use a method, and which measured claims test it."""

import dataclasses
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.systems.rows import ROWS
from website.methods import SourceFile

IMPORT_PATH = re.compile(r"(nerf(?:\.\w+)+):\w+")


@dataclasses.dataclass(frozen=True)
class Claim:
    """A measured claim of docs/systems.md.

    Attributes:
      row: name of its row in the table.
      text: the claim.
      verdicts: verdict of each check of the row; empty if it was not measured.
    """

    row: str
    text: str
    verdicts: tuple[str, ...]


def load_configs(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the configs of a folder by name, for example "systems/siren"."""
    loaded = {}
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        module = importlib.import_module(f"{folder.name}.{name.replace('/', '.')}")
        if hasattr(module, "get_config"):
            loaded[name] = module.get_config().to_dict()
    return loaded


def sections(config: Any) -> Iterator[tuple[str, str]]:
    """Yield (module, its arguments as JSON) of every section that names a class of the library.

    Arguments that are sections themselves are not part of the JSON.
    """
    if isinstance(config, dict):
        match = IMPORT_PATH.fullmatch(str(config.get("name")))
        if match:
            own = {key: value for key, value in config.items() if not isinstance(value, dict)}
            yield match[1], json.dumps(own, sort_keys=True, default=str)
        for value in config.values():
            yield from sections(value)


def configs_that_use(file: SourceFile, configs: dict[str, dict[str, Any]]) -> list[str]:
    """Return the names of the configs that name something of a file."""
    return [name for name, config in configs.items() if file.module in dict(sections(config))]


def claims_about(file: SourceFile, results: dict[str, Any]) -> list[Claim]:
    """Return the measured claims about a file's method.

    A claim is about a method if the file names the claim's paper, and the arms of the claim use
    the file's classes differently.

    Args:
      file: the file of the method.
      results: the measurements of docs/systems.json.
    """
    text = "\n".join([file.docstring, *(each.docstring for each in file.public)])
    found = []
    for row in ROWS:
        papers = re.findall(r"\(([^()]*\d{4}(?:\.\d{5})?)\)", row.system)
        if not any(paper in text for paper in papers):
            continue
        configs = [arm.resolve(each) for arm in row.arms for each in arm.tries]
        used = [
            frozenset(section for module, section in sections(config) if module == file.module)
            for config in configs
        ]
        if len(set(used)) > 1:
            checks = results.get(row.name, {}).get("checks", [])
            verdicts = tuple(check["verdict"] for check in checks)
            found.append(Claim(row.name, f"{row.system}: {row.claim}", verdicts))
    return found
