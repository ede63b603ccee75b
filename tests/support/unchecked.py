"""Run what tests call thousands of times without shape checks, which take most of its time."""

from collections.abc import Iterator
from contextlib import contextmanager

import jaxtyping


@contextmanager
def unchecked() -> Iterator[None]:
    """Do not check shapes in this context, or in the function that it decorates.

    It is for repetitions; something else must call the same functions with their shapes checked.
    """
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
