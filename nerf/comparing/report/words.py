"""The verdict in words."""

from nerf.comparing.comparison import FULL_PROGRESS, Comparison
from nerf.comparing.statistics import Difference, best

MAX_NAMED_RIVALS = (
    3  # rivals that a headline names; of more it tells the number, and the list of pairs the names
)


def pluralize(number: int, noun: str) -> str:
    """ "1 seed", "3 seeds"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _level(d: Difference) -> str:
    """ "95%", or more digits where a correction asks for more."""
    return f"{100 * d.level:.0f}%" if abs(d.level - 0.95) < 1e-9 else f"{100 * d.level:.1f}%"


def _seeds(d: Difference) -> str:
    if d.seeds[0] == d.seeds[1]:
        return pluralize(d.seeds[0], "seed")
    return f"{d.seeds[1]} and {d.seeds[0]} seeds"


def describe_difference(d: Difference) -> str:
    """Return one pair in words: who is better by how much, or that nobody is, and what the statement rests on."""
    if d.real:
        winner, loser, sign = (d.second, d.first, 1.0) if d.mean > 0 else (d.first, d.second, -1.0)
        low, high = sorted((sign * d.low, sign * d.high))
        rests = f"{_level(d)} interval {low:.2f} to {high:.2f}; {_sample_sizes(d)}"
        return f"{winner} is better than {loser} by {abs(d.mean):.2f} dB ({rests})"
    apart = f"not distinguishable: {d.second} minus {d.first} is {d.mean:+.2f} dB"
    rests = f"{_level(d)} interval {d.low:+.2f} to {d.high:+.2f}"
    if min(d.seeds) == 1:
        single = (
            "one seed each does"
            if d.seeds == (1, 1)
            else f"the one seed of {_single_seed_config(d)} does"
        )
        alone = f"for these very runs alone; {single} not say what other seeds would give, so use --seeds=3"
        return f"{apart} ({rests} over {pluralize(d.views, 'view')}, {alone})"
    if d.scenes == 1 and d.views == 1:
        return f"{apart}, on one view, which does not stand for others"
    return f"{apart} ({rests}; {_sample_sizes(d)}; {_suggestion(d)})"


def _sample_sizes(d: Difference) -> str:
    """Return what a statement rests on: "20 views, 3 seeds"."""
    scenes = f"{d.scenes} scenes, " if d.scenes > 1 else ""
    return f"{scenes}{pluralize(d.views, 'view')}, {_seeds(d)}"


def _single_seed_config(d: Difference) -> str:
    """Return the config that has one seed where the other has more."""
    return d.first if d.seeds[0] == 1 else d.second


def _suggestion(d: Difference) -> str:
    """Return what would make a claim of a difference of this size possible."""
    if d.scenes > 1:
        return "more scenes could tell"
    if d.needed is None:
        return "more seeds alone would not tell a difference of this size: it takes more held-out views or scenes"
    return f"about {d.needed} seeds each would tell a difference of this size"


def headline(answer: Comparison) -> str:
    """The one sentence that comes first."""
    if answer.at is None:
        return answer.missing.capitalize()
    if not answer.differences:
        (label,) = answer.scores
        return f"Only {label} has results, so there is nothing to compare it with"
    if len(answer.differences) == 1:
        line = describe_difference(answer.differences[0])
        return line[0].upper() + line[1:] if not answer.differences[0].real else line
    leader = best(answer.scores, answer.differences, higher_is_better=True)
    if leader:
        mean = answer.scores[leader].mean()
        gaps = [mean - score.mean() for label, score in answer.scores.items() if label != leader]
        return f"{leader} is better than every other config, by {min(gaps):.2f} dB or more"
    claimed = sum(d.real for d in answer.differences)
    ahead = max(answer.scores, key=lambda label: answer.scores[label].mean())
    rivals = [d for d in answer.differences if not d.real and ahead in (d.first, d.second)]
    if not claimed:
        return f"The {len(answer.scores)} configs are not distinguishable"
    others = ", ".join(d.second if d.first == ahead else d.first for d in rivals)
    if len(rivals) > MAX_NAMED_RIVALS:
        others = f"{len(rivals)} of the {len(answer.scores) - 1} others"
    return f"{ahead} has the highest mean, but is not distinguishable from {others}"


def scope_note(scene: str) -> str:
    """Return how far a verdict on a single scene reaches."""
    return f"One scene was asked, {scene}: whether this holds on others, a study with several --scene tells."


def comparison_title(answer: Comparison) -> str:
    """The heading of an answer: "At equal time, 60 s of training each"."""
    name = "time" if answer.axis == "seconds" else "steps"
    if answer.at is None:
        return f"At equal {name}"
    amount = (
        f"{answer.at:.3g} s of training" if answer.axis == "seconds" else f"{answer.at:,.0f} steps"
    )
    return f"At equal {name}, {amount} each"


def comparison_method(answer: Comparison) -> str:
    """How the answer was found, with what weakens it."""
    if answer.at is None:
        return ""
    if answer.ends:
        return "Scores at the end of every run, whose learning rate had then fallen as planned."
    text = "Scores at the place the shortest run reached, straight between the scorings before and after it for each view."
    early = {label: part for label, part in answer.progress.items() if part < FULL_PROGRESS}
    if early:
        parts = ", ".join(f"{label} at {100 * part:.0f}%" for label, part in early.items())
        strict = "--steps=N" if answer.axis == "step" else "--budget=SECONDS"
        text += (
            f" Some were then in the middle of their plan ({parts}): their learning rate was still higher than at an "
            f"end, which costs them quality. For an answer without this handicap, train with {strict}."
        )
    return text
