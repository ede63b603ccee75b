"""Load the templates of the report's pages, and escape values for them."""

import json
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

HERE = Path(__file__).parent  # the folder of the templates, the style sheet and the script


def as_script(data: Any) -> Markup:
    """Return data as JSON that is safe inside a script element."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def breakable(label: str) -> Markup:
    """Return a label that may wrap after punctuation."""
    return Markup("").join(
        part + Markup("<wbr>") * (part in "._=/-") for part in re.split(r"([._=/-])", label) if part
    )


def template(name: str) -> Template:
    """Return a page template that escapes every value and rejects undefined names."""
    loader = FileSystemLoader(HERE)
    options = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=loader, autoescape=True, **options)  # type: ignore[arg-type]
    environment.filters["breakable"] = breakable
    return environment.get_template(name)


def style() -> Markup:
    """Return the style sheet of the pages."""
    return Markup((HERE / "style.css").read_text(encoding="utf-8"))
