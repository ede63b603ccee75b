"""`build` calls what a section names with what it accepts, else says in one line what is wrong."""

import sys
import textwrap

import pytest

from nerf.foundation.instantiate import ConfigError, build, did_you_mean, resolve

PART, WHOLE = "building_example:Part", "building_example:Whole"


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory):
    """A package outside `nerf`, as a user would write one."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "building_example.py").write_text(
        textwrap.dedent("""
            import dataclasses

            @dataclasses.dataclass
            class Part:
                size: int
                seed: int = 0

            @dataclasses.dataclass
            class Whole:
                part: object
                parts: object = ()
                table: object = None

            class Bare:
                pass

            def anything(**options):
                return options

            constant = 5
        """)
    )
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


def make(spec, **context):
    return build(spec, plugins=("building_example",), **context)


def refusal(call, *args, **kwargs) -> str:
    with pytest.raises(ConfigError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nested_sections_are_built_first():
    whole = make({"name": WHOLE, "part": {"name": PART, "size": 3}})
    assert whole.part.size == 3


def test_sections_in_lists_are_built():
    whole = make(
        {"name": WHOLE, "part": 0, "parts": [{"name": PART, "size": n} for n in (1, 2)] + [7]},
        seed=9,
    )
    assert [part.size for part in whole.parts[:2]] == [1, 2] and whole.parts[2] == 7
    assert {part.seed for part in whole.parts[:2]} == {9}


def test_sections_in_a_mapping_are_built():
    whole = make({"name": WHOLE, "part": 0, "table": {"a": {"name": PART, "size": 1}, "b": 2}})
    assert whole.table["a"].size == 1 and whole.table["b"] == 2


def test_a_class_without_arguments_takes_none():
    make({"name": "building_example:Bare"})
    assert "unknown key 'a'" in refusal(make, {"name": "building_example:Bare", "a": 1})


def test_a_mapping_without_a_name_is_passed_as_it_is():
    assert make({"name": WHOLE, "part": 0, "table": {"a": 1}}).table == {"a": 1}


def test_context_goes_only_where_it_is_accepted():
    whole = make({"name": WHOLE, "part": {"name": PART, "size": 3}}, seed=7, unheard_of=1)
    assert whole.part.seed == 7 and not hasattr(whole, "seed")


def test_the_section_wins_over_the_context():
    assert make({"name": PART, "size": 3, "seed": 1}, seed=7).seed == 1


def test_the_context_may_give_a_required_argument():
    assert make({"name": PART}, size=4).size == 4


def test_free_keywords_take_every_key():
    assert make({"name": "building_example:anything", "a": 1}) == {"a": 1}


def test_the_section_is_not_changed():
    spec = {"name": WHOLE, "part": {"name": PART, "size": 3}}
    make(spec, seed=1)
    assert spec == {"name": WHOLE, "part": {"name": PART, "size": 3}}


def test_an_unknown_key_gets_a_hint():
    assert "unknown key 'sise': did you mean 'size'?" in refusal(make, {"name": PART, "sise": 3})


def test_an_unknown_key_deep_inside_names_its_section():
    message = refusal(make, {"name": WHOLE, "part": {"name": PART, "size": 1, "zzz": 3}})
    assert message.startswith(PART) and "known: seed, size" in message


def test_a_hint_does_not_offer_what_the_context_gives():
    assert "known: seed" in refusal(make, {"name": PART, "qqq": 1}, size=3)


def test_a_missing_key_is_named():
    assert "missing size" in refusal(make, {"name": PART})


def test_a_section_without_a_name_is_refused():
    assert "no 'name'" in refusal(make, {"size": 3})


def test_outside_the_package_only_with_a_plugin():
    assert "--plugin=building_example" in refusal(build, {"name": PART, "size": 3})
    assert make({"name": PART, "size": 3}).size == 3


@pytest.mark.parametrize(
    "name", ["os:system", "nerfstudio:x", "nerf_evil.module:x", ".nerf:x", ":x", "builtins:eval"]
)
def test_what_lies_outside_is_never_imported(name):
    before = set(sys.modules)
    assert "outside the package" in refusal(resolve, name)
    assert set(sys.modules) == before


def test_nested_sections_are_held_to_the_package_too():
    assert "os:system" in refusal(
        make, {"name": WHOLE, "part": {"name": "os:system", "command": "true"}}
    )


@pytest.mark.parametrize(
    "name",
    ["nerf.scenes.base:json", "nerf.scenes.base:Path", "nerf.foundation.instantiate:Callable"],
)
def test_what_a_module_merely_imports_cannot_be_called(name):
    """No config of a stranger may run commands.

    Else `from subprocess import run` anywhere in nerf would allow it.
    """
    refusal(build, {"name": name})


def test_a_bad_path_gets_a_hint():
    assert "package.module:attribute" in refusal(resolve, "nerf.foundation.instantiate")
    assert "check the import path" in refusal(resolve, "nerf.no_such_module:x")
    assert "did you mean 'build'?" in refusal(resolve, "nerf.foundation.instantiate:biuld")
    assert "package.module:attribute" in refusal(build, {"name": 5})


@pytest.mark.parametrize(
    "name",
    [
        "nerf..building:build",
        "nerf.foundation.instantiate.:build",
        "nerf.foundation.instantiate:",
        "nerf.a\0b:c",
    ],
)
def test_a_mangled_path_is_refused(name):
    refusal(resolve, name)


def test_what_cannot_be_called_is_refused():
    assert "not a class or function" in refusal(make, {"name": "building_example:constant"})


def test_did_you_mean_offers_the_closest_or_all():
    assert (
        did_you_mean("lerning_rate", ["learning_rate", "seed"]) == "did you mean 'learning_rate'?"
    )
    assert did_you_mean("zzz", ["b", "a"]) == "known: a, b"
    assert did_you_mean("zzz", []) == "known: none"
