"""Claims about classes and objects that are learned from label maps, on the bundled scene."""

from typing import Any

from benchmarks.systems.claims import Arm, Check, Row
from benchmarks.systems.label_measures import LABELLED

SEMANTIC_NERF = "Semantic-NeRF (2103.15875)"
CHANGES = {"steps": 1500, "batch_size": 1024, "steps_per_call": 20, "log_every": 20}


def labelled(name: str, *measures: str, **weak: Any) -> Arm:
    """Return an arm that learns from weak labels of the bundled scene.

    Args:
      name: name of the arm.
      *measures: names of functions in `benchmarks.systems.label_measures`.
      **weak: options of `nerf.scenes.weak_labels`.
    """
    scene = {"name": "nerf.scenes.weak_labels:load", **weak}
    return Arm(name, "labels", CHANGES, scene, LABELLED, measures=("classes", *measures))


def with_objects(name: str, permuted: bool) -> Arm:
    """Return an arm that learns single objects.

    Args:
      name: name of the arm.
      permuted: whether their numbers differ from view to view.
    """
    scene = {"name": "nerf.scenes.permuted_instances:load", "permuted": permuted}
    scene["without"] = ("background", "table")
    return Arm(name, "instances", CHANGES, scene, LABELLED, measures=("objects",))


UNLABELLED = Arm("no labels", "ngp", CHANGES, {"name": "nerf.scenes:load"}, LABELLED)

ROWS = [
    Row(
        "R32-sparse",
        SEMANTIC_NERF,
        "labels of 2 of 100 views are enough for all views, because classes have a place in space;"
        " the colours hardly suffer",
        [labelled("2 views", "classes_in_2d", views=2), UNLABELLED],
        [
            Check("2 views", metric="miou", at_least=0.9, added=True),
            Check("2 views", metric="miou_2d", at_most=0.9, added=True),
            Check("2 views", "no labels", at_least=-0.3, added=True),
        ],
        equal_parameters=False,
    ),
    Row(
        "R32-noise",
        SEMANTIC_NERF,
        "if half of all pixels have a random class, many views together correct them",
        [labelled("half random", "classes_over_given", noise=0.5), UNLABELLED],
        [
            Check("half random", metric="miou_gain", at_least=0.3, added=True),
            Check("half random", "no labels", at_least=-0.3, added=True),
        ],
        equal_parameters=False,
    ),
    Row(
        "R32-clicks",
        SEMANTIC_NERF,
        "one click for each class and view is enough",
        [labelled("clicks", "classes_in_2d", clicks=1)],
        [
            Check("clicks", metric="miou", at_least=0.85, added=True),
            Check("clicks", metric="miou_2d", at_most=0.85, added=True),
        ],
        equal_parameters=False,
    ),
    Row(
        "R32-coarse",
        SEMANTIC_NERF,
        "labels at an eighth of the resolution become fine where views overlap",
        [labelled("an eighth", "classes_over_given", coarse=8)],
        [Check("an eighth", metric="miou_gain", at_least=0.0, added=True)],
        equal_parameters=False,
    ),
    Row(
        "R31",
        "dynamic kernels of SOLOv2 (2003.10152)",
        "kernels on features in space find the objects of a scene, also from masks whose numbers"
        " differ from photo to photo",
        [with_objects("permuted", True), with_objects("same numbers", False), UNLABELLED],
        [
            Check("permuted", metric="objects_iou", at_least=0.8, added=True),
            Check("permuted", "same numbers", "objects_iou", at_least=-0.05, added=True),
            Check("permuted", metric="objects_missing", at_most=0.5, added=True),
            Check("permuted", "no labels", at_least=-0.3, added=True),
        ],
        equal_parameters=False,
    ),
]
