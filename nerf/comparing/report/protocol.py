"""List the config keys that differ between configs, and the protocol of all numbers."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from nerf.comparing.comparison import Groups
from nerf.runs.results import MUST_AGREE, NEUTRAL

MADE_WITH = ("versions", "device", "processor", "commit")  # of results.json
HIDDEN_KEYS = ("seed", *NEUTRAL)  # of a config: say nothing about what is compared


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A config by dotted keys."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        out |= (
            flat(value, f"{prefix}{key}.")
            if isinstance(value, Mapping)
            else {f"{prefix}{key}": value}
        )
    return out


def differing_keys(groups: Groups) -> list[tuple[str, list[str]]]:
    """Keys in which the configs differ, with the value of each; "absent" where a config has no such key."""
    configs = [flat(results[0].config) for results in groups.values()]
    out = []
    for key in sorted(set().union(*configs)):
        values = ["absent" if key not in config else json.dumps(config[key]) for config in configs]
        if len(set(values)) > 1 and key not in HIDDEN_KEYS:
            out.append((key, [value.strip('"') for value in values]))
    return out


def protocol_lines(groups: Groups) -> list[tuple[str, list[str]]]:
    """What all numbers share, and what of it differs between devices or versions, as (name, values)."""
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
    return sorted({_text(value) for value in values if value is not None}) or ["not recorded"]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(inner)[:16]}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
