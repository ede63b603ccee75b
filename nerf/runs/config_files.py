"""Load configs by name or file and change values by dotted keys."""

import ast
import difflib
import importlib.util
import inspect
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from nerf.foundation.instantiate import CONTEXT, ConfigError, did_you_mean, parameters_of, resolve
from nerf.foundation.resources import configs_folder
from nerf.runs.config_checks import BY_DEVICE, KEYS, SECTIONS

COLOURS = {
    "white": [1.0, 1.0, 1.0],
    "black": [0.0, 0.0, 0.0],
    "grey": [0.5, 0.5, 0.5],
    "gray": [0.5, 0.5, 0.5],
}
TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def config_names() -> list[str]:
    """Return the names of the project's configs, as "systems/siren"."""
    home = configs_folder()
    files = (path.relative_to(home).with_suffix("") for path in home.rglob("*.py"))
    return sorted(path.as_posix() for path in files if path.name != "__init__")


def hint_at_config(text: str) -> str:
    """Return a hint for an unknown config: a similar name, or all."""
    by_stem = {name.rpartition("/")[2]: name for name in config_names()}
    if close := difflib.get_close_matches(Path(text).stem, by_stem, n=1, cutoff=0.65):
        return f"did you mean '{by_stem[close[0]]}'?"
    common = ", ".join(name for name in config_names() if "/" not in name)
    return f"give a name in configs/ ({common}, systems/...), a file, or a run folder"


def find_config(text: str) -> Path | None:
    """Return the file of a config; None if there is none.

    Args:
      text: a name in configs/, a file with or without its suffix, or a run folder.
    """
    path = Path(text).expanduser()
    names = [path, path.with_name(f"{path.name}.py"), path / "config.json"] if path.name else []
    home = configs_folder()
    places = [*names, *(home.parent / name for name in names), *(home / name for name in names)]
    for place in places:
        if place.suffix in (".py", ".json") and place.is_file():
            return place
    return None


def load_config(
    text: str,
    changes: Sequence[str] = (),
    plugins: tuple[str, ...] = (),
    told_as: str = "--config.",
) -> dict[str, Any]:
    """Load a config and change values in it.

    Args:
      text: the name of a config in configs/, the file of one, or a run folder or its config.json.
      changes: "key.of.it=value"; the value has the type of the one that it replaces, or of the
        component's argument. None switches a section off.
      plugins: packages outside `nerf` that the config may name.
      told_as: prefix of a change in messages, as the user wrote it.

    Returns:
      The config as plain data: dictionaries, lists, numbers and strings.

    Raises:
      ConfigError: with one line for each problem.
    """
    file = find_config(text)
    if file is None:
        raise ConfigError(f"--config={text}: no such config: {hint_at_config(text)}")
    config = _read_json(file) if file.suffix == ".json" else _run_module(file)
    problems = []
    # Change names first: the component decides which other keys a section may have.
    for change in sorted(
        changes, key=lambda change: not change.partition("=")[0].endswith(".name")
    ):
        key, _, value = change.partition("=")
        try:
            _change(config, key.strip(), value, text, plugins)
        except ConfigError as error:
            problems.append(f"{told_as}{change}: {error}")
    if problems:
        raise ConfigError("\n".join(problems))
    if "background" in config:
        config["background"] = _colour(config["background"])
    try:
        return json.loads(json.dumps(config, allow_nan=False))
    except (TypeError, ValueError) as error:
        reason = f"holds more than finite numbers, words, lists and sections ({error})"
        raise ConfigError(f"{file}: {reason}") from error


def read_config(name: str) -> ConfigDict:
    """Return a config that comes with the library, for configs that change some of its values.

    Args:
      name: as "ngp" or "systems/siren".
    """
    return ConfigDict(_run_module(configs_folder() / f"{name}.py"))


def _read_json(file: Path) -> dict[str, Any]:
    """Read the config of a run. Raises ConfigError."""
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = f"cannot be read as JSON ({error})"
        raise ConfigError(f"{file}: {reason}: give the config.json of a run") from error
    if not isinstance(config, dict) or "model" not in config:
        raise ConfigError(f"{file}: not a config: give the config.json of a run")
    return config


def _run_module(file: Path) -> dict[str, Any]:
    """Run a Python file and return its config. Raises ConfigError."""
    spec = importlib.util.spec_from_file_location("config_file", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's module may raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(f"{file}: cannot be run as Python ({reason}): fix it") from error
    if not callable(getattr(module, "get_config", None)):
        fix = "write one that returns the config, as configs/ngp.py does"
        raise ConfigError(f"{file}: has no get_config(): {fix}")
    try:
        made = module.get_config()
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(f"{file}: get_config() fails ({reason}): fix it") from error
    config = made.to_dict() if hasattr(made, "to_dict") else made
    if not isinstance(config, dict):
        returned = f"get_config() returns no config but a {type(made).__name__}"
        raise ConfigError(f"{file}: {returned}: return a ConfigDict")
    return config


def _change(
    config: dict[str, Any], key: str, text: str, source: str, plugins: tuple[str, ...]
) -> None:
    """Set the value at a dotted key.

    Raises:
      ConfigError: with the end of a line that begins with the key.
    """
    section, path = config, ""
    *outer, last = key.split(".")
    # Walk down to the section that contains the last key; missing sections are created.
    for name in outer:
        no_section = f"{path}{name} is a value and has no keys: set {path}{name} itself"
        if section.get(name) is None:
            parameter = _known_parameter(section, name, path, source, plugins)
            if _scalar_type(parameter) is not None:
                raise ConfigError(no_section)
            section[name] = {}
        if not isinstance(section[name], dict):
            raise ConfigError(no_section)
        section, path = section[name], f"{path}{name}."
    if isinstance(old := section.get(last), dict):
        if text.strip() != "None":
            off = "" if not path and last in SECTIONS else ", or switch it off with None"
            if not old:
                fix = f"set a key in it, as {key}.KEY{off}"
                raise ConfigError(f"a section, which is empty: {fix}")
            fix = f"set one of them, as {key}.{next(iter(old))}{off}"
            raise ConfigError(f"a section, with keys {', '.join(old)}: {fix}")
        _switch_off(section, last, plugins, top=not path)
    elif old is not None:
        try:
            section[last] = _parse(text, type(old))
        except ConfigError:
            # The config may contain a whole number although the component takes any number.
            wanted = _scalar_type(_find_parameter(section, last, plugins))
            if wanted in (None, type(old)):
                raise
            section[last] = _parse(text, wanted)
    elif last == "name" and not section:
        section[last] = text.strip()  # the name of a section that is switched on
    else:
        parameter = _known_parameter(section, last, path, source, plugins)
        by_device = not path and last in BY_DEVICE
        section[last] = _parse(text, int if by_device else _scalar_type(parameter))


def _find_parameter(
    section: Mapping[str, Any], name: str, plugins: tuple[str, ...]
) -> inspect.Parameter | None:
    """Return the parameter of a section's component by name; None if there is none."""
    if "name" not in section:
        return None
    return parameters_of(resolve(str(section["name"]), plugins)).get(name)


def _known_parameter(
    section: Mapping[str, Any], name: str, path: str, source: str, plugins: tuple[str, ...]
) -> inspect.Parameter | None:
    """Return the component's parameter for a key missing from the config.

    Raises:
      ConfigError: if there is no such key.
    """
    parameter = _find_parameter(section, name, plugins)
    if name in section or parameter is not None or (not path and name in KEYS):
        return parameter
    known, owner = set(section), source
    if "name" in section:
        known |= parameters_of(resolve(str(section["name"]), plugins)).keys() - CONTEXT
        owner = str(section["name"])
    elif not path:
        known |= set(KEYS)
    raise ConfigError(f"unknown key '{name}' of {owner}: {did_you_mean(name, known)}")


def _switch_off(section: dict[str, Any], name: str, plugins: tuple[str, ...], top: bool) -> None:
    """Set a section to None, or remove it. Raises ConfigError if it is needed."""
    if top and name in SECTIONS:
        fix = f"name what to build with {name}.name"
        raise ConfigError(f"cannot be switched off, as every config needs it: {fix}")
    parameter = _find_parameter(section, name, plugins)
    if parameter is None:
        del section[name]  # one of several components, for example a loss
    elif parameter.default is None or type(None) in typing.get_args(parameter.annotation):
        section[name] = None
    else:
        fix = f"set {name}.name to another"
        raise ConfigError(f"cannot be switched off, as {section['name']} needs it: {fix}")


def _scalar_type(parameter: inspect.Parameter | None) -> type | None:
    """Return the type of a parameter: bool, int, float, str or list.

    Returns None if the parameter may have another type.
    """
    if parameter is None:
        return None
    kind = parameter.annotation
    # The types of a union, without None; without an annotation, the type of the default.
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    kinds = [one for one in (typing.get_args(kind) if union else (kind,)) if one is not type(None)]
    if kind is parameter.empty and parameter.default not in (None, parameter.empty):
        kinds = [type(parameter.default)]
    for each in (float, int, str, bool):
        if each in kinds:
            return each
    origins = {typing.get_origin(one) or one for one in kinds}
    return list if origins & {list, tuple, Sequence} else None


def _parse(text: str, kind: type | None) -> Any:
    """Parse a value of a type; None stands for any type. Raises ConfigError."""
    text = text.strip()
    if kind is str:
        return text
    if text == "None":
        return None
    if kind is bool:
        if text.lower() not in TRUTHS:
            raise ConfigError("neither true nor false: give true or false")
        return TRUTHS[text.lower()]
    if kind in (int, float):
        return _parse_number(text, whole=kind is int)
    # Brackets around a list are optional.
    inner = text[1:-1] if text[:1] in "([" and text[-1:] in ")]" and text else text
    is_list = kind in (list, tuple)
    try:
        return list(ast.literal_eval(f"[{inner}]")) if is_list else ast.literal_eval(text)
    except (ValueError, SyntaxError):
        # Text that is no Python literal is a string, or strings between commas.
        return [word.strip() for word in inner.split(",") if word.strip()] if is_list else text


def _parse_number(text: str, whole: bool) -> int | float:
    """Parse a number; whole numbers may be written as 2e3 or 2_000."""
    try:
        number = int(text) if whole and "." not in text and "e" not in text.lower() else float(text)
    except ValueError as error:
        wrong = "not a whole number: give one, as 100"
        if not whole:
            wrong = "not a number: give one, as 0.5"
        raise ConfigError(wrong) from error
    if not math.isfinite(number):
        raise ConfigError("not a finite number: give one, as 100")
    if whole and number != int(number):
        raise ConfigError(f"not a whole number: give {round(number)}")
    return int(number) if whole else number


def _colour(value: Any) -> Any:
    """Convert a colour name or one number to three numbers.

    Anything else is returned unchanged, for `check_config` to report.
    """
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return COLOURS.get(value.lower(), value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [float(value)] * 3
    return value
