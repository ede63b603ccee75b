"""Frozen dataclasses that are JAX pytrees."""

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def pytree(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass and register it as a pytree.

    Fields are children, except fields with metadata {"static": True}, which are part of the
    structure. Unlike jax.tree_util.register_dataclass this does not call __init__ when JAX rebuilds
    an object, whose leaves may be placeholders then. Shapes are therefore checked when code creates
    an object, not when JAX flattens and rebuilds it.
    """
    cls = dataclasses.dataclass(frozen=True)(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    data = [field.name for field in fields if not field.metadata.get("static")]
    static = [field.name for field in fields if field.metadata.get("static")]

    def flatten(x: T) -> tuple[list[tuple[Any, Any]], tuple]:
        children = [(jax.tree_util.GetAttrKey(name), getattr(x, name)) for name in data]
        return children, tuple(getattr(x, name) for name in static)

    def unflatten(aux: tuple, children: Any) -> T:
        x = object.__new__(cls)
        for name, value in zip(data + static, (*children, *aux), strict=True):
            object.__setattr__(x, name, value)
        return x

    jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)
    return cls
