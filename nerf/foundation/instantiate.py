"""Turn a config section into an object: `build(spec, **context)`.

A section is a mapping with a `name`, the import path of a class or function
("package.module:attribute"), and the arguments to call it with. Nested sections are built first, so
a field receives its encoding as an object and never sees a config.
"""

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nerf.foundation.errors import UserError

# Arguments that the library passes to components itself. Hints for config keys do not list them.
CONTEXT = {"rngs", "space", "num_dims", "num_images", "positions", "root", "split", "validation"}
CONTEXT |= {"config", "plugins", "mesh"}  # of a trainer


class ConfigError(UserError, ValueError):
    """A config cannot be used; the message is one line and says how to fix it."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint: the closest known word, or the list of all known words."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.65)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known) or 'none'}"


def resolve(name: str, plugins: tuple[str, ...] = ()) -> Callable[..., Any]:
    """Import the class or function at the import path `name`.

    Only paths inside `nerf` and the packages in `plugins` are imported, so that a run folder from a
    stranger cannot run code. For the same reason objects that a module of `nerf` only imported from
    elsewhere are refused.

    Args:
      name: import path, "package.module:attribute".
      plugins: packages outside `nerf` that may be imported.

    Raises:
      ConfigError: the path is outside these packages, does not exist or is not callable.
    """
    module_name, separator, attribute = name.partition(":")
    if not separator:
        raise ConfigError(f"{name}: not an import path: write it as 'package.module:attribute'")
    package = module_name.partition(".")[0]
    if package not in ("nerf", *plugins):
        raise ConfigError(f"{name}: outside the package: allow it with --plugin={package}")
    try:
        module = importlib.import_module(module_name)
    except (ModuleNotFoundError, ValueError) as error:
        absent = getattr(error, "name", None) or module_name
        if f"{module_name}.".startswith(f"{absent}."):
            raise ConfigError(f"{name}: {error}: check the import path") from error
        raise ConfigError(
            f"{name}: it imports {absent}, which is not installed: install that"
        ) from error
    if not hasattr(module, attribute):
        public = [key for key in vars(module) if not key.startswith("_")]
        raise ConfigError(f"{name}: no such attribute: {did_you_mean(attribute, public)}")
    target = getattr(module, attribute)
    if not callable(target):
        raise ConfigError(f"{name}: not a class or function: name a class or function")
    home = getattr(target, "__module__", None) or "elsewhere"
    if package == "nerf" and home.partition(".")[0] != "nerf":
        raise ConfigError(
            f"{name}: only imported there, from {home}: name a class or function that nerf defines"
        )
    return target


def build(spec: Mapping[str, Any], *, plugins: tuple[str, ...] = (), **context: Any) -> Any:
    """Build the object that a section describes.

    Args:
      spec: the section: `name`, an import path, and the arguments for it.
      plugins: see `resolve`.
      **context: further arguments; those that the component has no parameter for are ignored.

    Returns:
      The result of calling the component.

    Raises:
      ConfigError: a key is unknown or missing, or the component refuses the values; the message
        names the section.
    """
    if "name" not in spec:
        raise ConfigError(f"section {dict(spec)}: no 'name': give the import path of what to build")
    target = resolve(str(spec["name"]), plugins)
    parameters = parameters_of(target)
    inner = {key: value for key, value in spec.items() if key != "name"}
    arguments = {key: build_inside(value, plugins, context) for key, value in inner.items()}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key in arguments:
        if key not in parameters and not takes_any:
            options = [name for name in parameters if name not in context]
            raise ConfigError(f"{spec['name']}: unknown key '{key}': {did_you_mean(key, options)}")
    arguments |= {
        key: value for key, value in context.items() if key in parameters and key not in arguments
    }
    missing = [
        key
        for key, p in parameters.items()
        if p.default is p.empty
        and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        and key not in arguments
    ]
    if missing:
        raise ConfigError(f"{spec['name']}: missing {', '.join(missing)}: add it to the section")
    try:
        return target(**arguments)
    except ArithmeticError as error:  # impossible sizes, e.g. a grid with no levels
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"{spec['name']}: cannot be built with these values ({reason}): "
            f"change {_format_values(inner)}"
        ) from error


def _format_values(section: Mapping[str, Any]) -> str:
    """Format the values of a section and of its nested sections as "key=value, ..."."""
    shown = []
    for key, value in section.items():
        if isinstance(value, Mapping):
            shown.append(
                _format_values(
                    {f"{key}.{name}": inner for name, inner in value.items() if name != "name"}
                )
            )
        else:
            shown.append(f"{key}={value}")
    return ", ".join(part for part in shown if part)


def parameters_of(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a function or of a class's constructor."""
    # `inspect.signature` of an nnx module gives the signature of its metaclass, so ask `__init__`.
    if inspect.isclass(target) and target.__init__ is not object.__init__:
        return dict(list(inspect.signature(target.__init__).parameters.items())[1:])
    return dict(inspect.signature(target).parameters)


def section_problems(value: Any, plugins: tuple[str, ...] = (), path: str = "") -> list[str]:
    """List the sections with a wrong import path or an unknown key.

    Nothing is built, so this is quick. Values that only the component itself can refuse are not
    checked.

    Args:
      value: a config, a section or any value inside one.
      plugins: see `resolve`.
      path: keys that lead to `value`, separated by dots, for the messages.

    Returns:
      One line for each problem.
    """
    if not isinstance(value, Mapping):
        return []
    lines = []
    if "name" in value:
        try:
            parameters = parameters_of(resolve(str(value["name"]), plugins))
        except ConfigError as error:
            return [f"{path}: {error}"]
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        for key in () if takes_any else value.keys() - parameters.keys() - {"name"}:
            hint = did_you_mean(key, parameters.keys() - CONTEXT)
            lines.append(f"{path}: {value['name']}: unknown key '{key}': {hint}")
    for key, inner in value.items():
        lines += section_problems(inner, plugins, f"{path}.{key}" if path else key)
    return lines


def build_inside(value: Any, plugins: tuple[str, ...], context: Mapping[str, Any]) -> Any:
    """Build a section, or all sections in a mapping or list; return other values unchanged.

    Args:
      value: a section, a mapping, a list or tuple, or any other value.
      plugins: see `resolve`.
      context: further arguments for the components, see `build`.
    """
    if isinstance(value, list | tuple):
        return type(value)(build_inside(inner, plugins, context) for inner in value)
    if not isinstance(value, Mapping):
        return value
    if "name" in value:
        return build(value, plugins=plugins, **context)
    return {key: build_inside(inner, plugins, context) for key, inner in value.items()}
