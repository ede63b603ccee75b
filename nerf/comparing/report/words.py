"""Describe comparisons in words."""

from nerf.comparing.comparison import FULL_PROGRESS, Comparison
from nerf.comparing.statistics import Difference, best

MAX_NAMED_RIVALS = 3  # configs that a headline names; of more it gives only the number


def pluralize(number: int, noun: str) -> str:
    """Return a number with its noun: "1 seed", "3 seeds"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _level(d: Difference) -> str:
    """Format a confidence level: "95%", with one decimal if a correction changed it."""
    return f"{100 * d.level:.0f}%" if abs(d.level - 0.95) < 1e-9 else f"{100 * d.level:.1f}%"


def _seeds(d: Difference) -> str:
    """Format the number of seeds of a pair."""
    if d.seeds[0] == d.seeds[1]:
        return pluralize(d.seeds[0], "seed")
    return f"{d.seeds[1]} and {d.seeds[0]} seeds"


def describe_difference(d: Difference) -> str:
    """Describe a pair of configs: the better one, or that they are not distinguishable.

    The text includes the difference, its confidence interval and the numbers of views and seeds.
    """
    if d.real:
        winner, loser, sign = (d.second, d.first, 1.0) if d.mean > 0 else (d.first, d.second, -1.0)
        low, high = sorted((sign * d.low, sign * d.high))
        rests = f"{_level(d)} interval {low:.2f} to {high:.2f}; {_sample_sizes(d)}"
        return f"{winner} is better than {loser} by {abs(d.mean):.2f} dB ({rests})"
    apart = f"not distinguishable: {d.second} minus {d.first} is {d.mean:+.2f} dB"
    rests = f"{_level(d)} interval {d.low:+.2f} to {d.high:+.2f}"
    if min(d.seeds) == 1:
        single = "one seed each"
        if d.seeds != (1, 1):
            single = f"the single seed of {_single_seed_config(d)}"
        limits = f"for exactly these runs; {single} says nothing about other seeds: use --seeds=3"
        return f"{apart} ({rests} over {pluralize(d.views, 'view')}, {limits})"
    if d.scenes == 1 and d.views == 1:
        return f"{apart}, on one view, which says nothing about other views"
    return f"{apart} ({rests}; {_sample_sizes(d)}; {_suggestion(d)})"


def _sample_sizes(d: Difference) -> str:
    """Return the sample sizes of a pair: "20 views, 3 seeds"."""
    scenes = f"{d.scenes} scenes, " if d.scenes > 1 else ""
    return f"{scenes}{pluralize(d.views, 'view')}, {_seeds(d)}"


def _single_seed_config(d: Difference) -> str:
    """Return the config that has one seed while the other has more."""
    return d.first if d.seeds[0] == 1 else d.second


def _suggestion(d: Difference) -> str:
    """Return a suggestion that would make a difference of this size detectable."""
    if d.scenes > 1:
        return "more scenes might resolve it"
    if d.needed is None:
        return (
            "more seeds alone would not resolve a difference of this size: "
            "use more held-out views or scenes"
        )
    return f"about {d.needed} seeds each would resolve a difference of this size"


def headline(comparison: Comparison) -> str:
    """Return the verdict of a comparison in one sentence."""
    if comparison.at is None:
        return comparison.missing.capitalize()
    if not comparison.differences:
        (label,) = comparison.scores
        return f"Only {label} has results, so there is nothing to compare it with"
    if len(comparison.differences) == 1:
        line = describe_difference(comparison.differences[0])
        return line[0].upper() + line[1:] if not comparison.differences[0].real else line
    leader = best(comparison.scores, comparison.differences, higher_is_better=True)
    if leader:
        means = {label: score.mean() for label, score in comparison.scores.items()}
        gaps = [means[leader] - mean for label, mean in means.items() if label != leader]
        return f"{leader} is better than every other config, by {min(gaps):.2f} dB or more"
    claimed = sum(d.real for d in comparison.differences)
    ahead = max(comparison.scores, key=lambda label: comparison.scores[label].mean())
    rivals = [d for d in comparison.differences if not d.real and ahead in (d.first, d.second)]
    if not claimed:
        return f"The {len(comparison.scores)} configs are not distinguishable"
    others = ", ".join(d.second if d.first == ahead else d.first for d in rivals)
    if len(rivals) > MAX_NAMED_RIVALS:
        others = f"{len(rivals)} of the {len(comparison.scores) - 1} others"
    return f"{ahead} has the highest mean, but is not distinguishable from {others}"


def scope_note(scene: str) -> str:
    """Return a note that a verdict is about a single scene."""
    return (
        f"This result is for one scene, {scene}. "
        "To test whether it holds on other scenes, give several --scene."
    )


def comparison_title(comparison: Comparison) -> str:
    """Return the heading of a comparison: "At equal time, 60 s of training each"."""
    name = "time" if comparison.axis == "seconds" else "steps"
    if comparison.at is None:
        return f"At equal {name}"
    amount = f"{comparison.at:,.0f} steps"
    if comparison.axis == "seconds":
        amount = f"{comparison.at:.3g} s of training"
    return f"At equal {name}, {amount} each"


def comparison_method(comparison: Comparison) -> str:
    """Describe how the scores of a comparison were obtained, and their limitations."""
    if comparison.at is None:
        return ""
    if comparison.ends:
        return "Scores at the end of every run, after its learning rate decayed as scheduled."
    text = (
        "Scores at the point that the shortest run reached, interpolated linearly "
        "between the evaluations before and after it for each view."
    )
    early = {label: done for label, done in comparison.progress.items() if done < FULL_PROGRESS}
    if early:
        listed = ", ".join(f"{label} at {100 * done:.0f}%" for label, done in early.items())
        strict = "--steps=N" if comparison.axis == "step" else "--budget=SECONDS"
        text += (
            f" Some runs were in the middle of their schedule there ({listed}): "
            "their learning rate was still higher than at the end, which lowers their scores. "
            f"For a comparison without this disadvantage, train with {strict}."
        )
    return text
