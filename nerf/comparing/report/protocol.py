"""List the config keys that differ between configs, and the protocol of all numbers."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from nerf.comparing.comparison import Groups
from nerf.runs.results import MUST_AGREE, NEUTRAL

MADE_WITH = ("versions", "device", "processor", "commit")  # keys of results.json
HIDDEN_KEYS = ("seed", *NEUTRAL)  # config keys that are not part of the comparison


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a config as a flat mapping from dotted keys to values."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = value
    return out


def differing_keys(groups: Groups) -> list[tuple[str, list[str]]]:
    """Return the keys in which the configs differ, with the value of each config.

    The value is "absent" if a config does not have the key.
    """
    configs = [flat(results[0].config) for results in groups.values()]
    out = []
    for key in sorted(set().union(*configs)):
        values = ["absent" if key not in config else json.dumps(config[key]) for config in configs]
        if len(set(values)) > 1 and key not in HIDDEN_KEYS:
            out.append((key, [value.strip('"') for value in values]))
    return out


def protocol_lines(groups: Groups) -> list[tuple[str, list[str]]]:
    """Return the evaluation protocol and the environment of the runs as (name, values).

    Entries that may differ between runs list every distinct value.
    """
    results = [result for group in groups.values() for result in group]
    protocol = results[0].results["protocol"]
    lines = [(key, [_text(protocol.get(key))]) for key in MUST_AGREE]
    others = dict.fromkeys(
        key for result in results for key in result.results["protocol"] if key not in MUST_AGREE
    )
    lines += [
        (key, _distinct(result.results["protocol"].get(key) for result in results))
        for key in others
    ]
    lines += [(key, _distinct(result.results.get(key) for result in results)) for key in MADE_WITH]
    return lines


def _distinct(values: Iterable[Any]) -> list[str]:
    """Return the distinct values as sorted texts; "not recorded" if there is none."""
    return sorted({_text(value) for value in values if value is not None}) or ["not recorded"]


def _text(value: Any) -> str:
    """Format a value for the page; values in a mapping are shortened."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(inner)[:16]}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
