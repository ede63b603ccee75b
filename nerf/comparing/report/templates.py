"""Load the templates of the report's pages and make values safe to put into them."""

import json
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

HERE = Path(__file__).parent


def as_script(data: Any) -> Markup:
    """JSON that may stand inside a script element whatever it says."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def breakable(label: str) -> Markup:
    """Text whose lines may end after the signs that join the words of a long name."""
    return Markup("").join(
        part + Markup("<wbr>") * (part in "._=/-") for part in re.split(r"([._=/-])", label) if part
    )


def template(name: str) -> Template:
    """Return a page's template, in which every name is escaped and must be given."""
    loader = FileSystemLoader(HERE)
    options = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=loader, autoescape=True, **options)  # type: ignore[arg-type]
    environment.filters["breakable"] = breakable
    return environment.get_template(name)


def style() -> Markup:
    """Return the pages' style sheet."""
    return Markup((HERE / "style.css").read_text(encoding="utf-8"))
