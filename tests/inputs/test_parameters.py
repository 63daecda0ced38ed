import inspect
from collections import defaultdict

import pytest

from fashionprobe import stages
from fashionprobe.cli.commands import COMMANDS
from fashionprobe.errors import UserError
from fashionprobe.inputs import arguments, parameters

OWN = {
    "augment": {"refit"},
    "backbone": {
        "attribute add",
        "evaluate",
        "export",
        "faithfulness",
        "index add",
        "masks",
        "predict",
        "relevance",
        "search",
        "serve",
        "tag",
    },
    "batch_size": {"embed"},
    "block": {"branch", "converge", "faithfulness", "masks", "maximize", "see", "train", "wall"},
    "dataset": {"app", "branch", "ingest", "preview", "propose", "refit", "relevance"},
    "fit": {"ingest"},
    "folds": {"choose", "tune"},
    "group": {"attribute list", "evaluate", "tag"},
    "label": {"branch", "embed", "evaluate", "fill", "ingest", "masks", "relevance", "selectivity", "train", "wall"},
    "learning_rate": {"maximize", "refit", "tune"},
    "min_images": {"branch", "embed", "relevance", "train"},
    "normalization": {"retrieve"},
    "overwrite": {"attribute add", "branch", "search"},
    "percentile": {"masks"},
    "run": {"activations", "faithfulness", "maximize", "predict", "report", "see"},
    "samples": {"masks", "relevance", "report"},
    "seed": {"preview", "propose", "reduce", "refit"},
    "size": {"converge", "demo", "ingest", "maximize"},
    "split": {"ingest", "masks", "propose", "relevance"},
    "taps": {"embed"},
    "weights": {"embed"},
}
"""Commands that say something else of a shared parameter, since it means something else or has another default."""

DIFFERENT = set(
    "by channel channels classes count dimension dimensions fillings host id ids image images layer margin masks "
    "method neighbours pairs join path per_class pool replace seeds source steps top what where".split()
)
"""Names that stand for another thing in each command that has them."""


def takers(name):
    return [command for command, stage in COMMANDS.items() if name in inspect.signature(stage).parameters]


def text(command, name):
    """Return what a command says of a parameter, without the sentence about its default."""
    said = parameters.described(COMMANDS[command].__doc__)[name]
    return said.removesuffix(parameters.DEFAULTS.get(name, "\0")).strip()


@pytest.mark.parametrize("name", parameters.TEXTS)
def test_a_shared_parameter_has_one_description(name):
    others = {command for command in takers(name) if text(command, name) != parameters.TEXTS[name]}
    assert others == OWN.get(name, set())
    assert len({*takers(name)} - others) > 1, "shared by none"


def test_a_name_that_several_commands_take_has_one_description():
    texts = defaultdict(set)
    for command, stage in COMMANDS.items():
        for name in inspect.signature(stage).parameters:
            if name not in parameters.TEXTS:
                texts[name].add(text(command, name))
    assert {name for name, said in texts.items() if len(said) > 1} == DIFFERENT


def test_help_in_python_shows_each_parameter_in_its_place():
    names = [*parameters.described(stages.see.__doc__)]
    assert names == [*inspect.signature(stages.see).parameters]
    assert "\n    seed: Seed of all random draws" in stages.see.__doc__
    assert "\n\nReturns:\n    The descriptors" in stages.extract.__doc__


def test_every_range_is_of_a_parameter_that_is_a_number():
    kinds = defaultdict(str)
    for stage in COMMANDS.values():
        for name, parameter in inspect.signature(stage).parameters.items():
            kinds[name] += str(parameter.annotation)
    assert [name for name in parameters.RANGES if "int" not in kinds[name] and "float" not in kinds[name]] == []


@pytest.mark.parametrize(("value", "interval", "kind", "message"), [
    (0, "[1, inf)", int, r"`x` must be an int in the range \[1, inf\). Received: 0"),
    ([5, 1], "[2, inf)", list[int], r"`x` must be an int in the range \[2, inf\). Received: 1"),
    (2**32, "[0, 2**32)", int, r"an int in the range \[0, 2\*\*32\)"),
    (0.0, "(0, 1]", float, r"a number in the range \(0, 1\]. Received: 0.0"),
    (1.0, "[0, 1)", float, "Received: 1.0"),
    (float("nan"), "[0, inf)", float | None, "Received: nan"),
    (float("inf"), "(0, inf)", float, "Received: inf"),
])  # fmt: skip
def test_numbers_outside_a_range(value, interval, kind, message):
    with pytest.raises(UserError, match=message):
        parameters.check("x", value, interval, kind)


@pytest.mark.parametrize(("value", "interval"), [
    (1, "(0, 1]"), (0, "[0, 1)"), (2**32 - 1, "[0, 2**32)"), ([2, 9], "[2, inf)"), (None, "[1, inf)"),
    ("a", "[1, inf)"), (True, "[2, inf)"),
])  # fmt: skip
def test_numbers_within_a_range_and_what_is_not_one(value, interval):
    parameters.check("x", value, interval, int)


def test_a_stage_may_have_a_range_of_its_own_and_checks_before_it_runs():
    ran = []

    @arguments.stage(samples="[0, inf)")
    def sample(*, samples: int, seed: int = 0) -> None:
        """Sample.

        Args:
            samples: How many.

        Returns:
            Nothing.
        """
        ran.append(samples)

    sample(samples=0)
    for wrong in ({"samples": -1}, {"samples": 1, "seed": -1}):
        with pytest.raises(UserError, match="must be an int in the range"):
            sample(**wrong)
    assert ran == [0]
