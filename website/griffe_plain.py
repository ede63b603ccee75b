"""The extension of mkdocstrings that converts docstrings before they are parsed."""

from typing import Any

from griffe import Extension, Object

from website.docstrings import to_markdown


class PlainDocstrings(Extension):
    """Convert the docstring of every object with `website.docstrings`."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Convert the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)
