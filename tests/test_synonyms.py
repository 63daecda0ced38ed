import inspect
import re

import pytest

from fashionprobe import synonyms
from fashionprobe.cli.commands import COMMANDS
from fashionprobe.cli.words import OWN_OPTIONS

PARAMETERS = {command: tuple(inspect.signature(stage).parameters) for command, stage in COMMANDS.items()}
KNOWN = {*OWN_OPTIONS, *(name for names in PARAMETERS.values() for name in names)}


def test_each_synonym_leads_to_what_is_there():
    assert {*synonyms.OPTIONS} <= KNOWN
    assert {*synonyms.COMMANDS} - {"--completion", "--help", "--version"} <= {*COMMANDS}
    for table in (synonyms.OPTIONS, synonyms.COMMANDS):
        for words in table.values():
            assert all(re.fullmatch(r"[a-z0-9+-]+", word) for word in words.split())
    # A command is not called by the name of another one.
    assert not {word for words in synonyms.COMMANDS.values() for word in words.split()} & {*COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_suggestion_is_an_option_of_that_command(name, command):
    words = {word for words in synonyms.OPTIONS.values() for word in words.split()}
    for word in words - {each.replace("_", "-") for each in PARAMETERS[name]}:
        code, _, err = command(*name.split(), f"--{word}")
        assert code == 2
        meant = re.search(r"Did you mean '--([\w-]+)'\?", err)
        if meant:
            assert meant[1].replace("-", "_") in (*PARAMETERS[name], *OWN_OPTIONS)


@pytest.mark.parametrize(("name", "typed", "meant"), [
    ("see", "--class", "target"), ("see", "--layer-name", "layer"), ("maximize", "--class", "classes"),
    ("maximize", "--filter_indices", "channels"), ("see", "--filter", "channel"), ("train", "--lr", "learning_rate"),
    ("extract", "--model", "backbone"), ("extract", "--network", "backbone"), ("ingest", "--input", "path"),
    ("extract", "--data", "dataset"), ("ingest", "--dir", "path"), ("ingest", "--output", "dataset"),
    ("extract", "--output", "run"), ("classify", "--k", "neighbours"), ("search", "--k", "top"),
    ("embed", "--n-neighbors", "neighbours"), ("extract", "--batch", "batch_size"), ("see", "--classes", "target"),
    ("train", "--name", "run"), ("train", "--n-epochs", "epochs"), ("refit", "--epochs", "iterations"),
    ("train", "--random-state", "seed"), ("classify", "--cv", "folds"), ("reduce", "--n-components", "dimensions"),
    ("search", "--images", "image"), ("see", "--image", "images"), ("embed", "--alpha", "margin"),
    ("classify", "--force", "overwrite"), ("extract", "-o", "run"), ("classify", "--zzz", None),
])  # fmt: skip
def test_what_people_bring_from_elsewhere(name, typed, meant):
    assert synonyms.option(typed, PARAMETERS[name]) == meant


@pytest.mark.parametrize(("typed", "meant"), [
    ("gradcam", "see"), ("Grad_CAM", "see"), ("heatmap", "see"), ("saliency", "see"), ("explain", "see"),
    ("fit", "train"), ("finetune", "train"), ("umap", "reduce"), ("cluster", "reduce"),
    ("query", "search"), ("dream", "maximize"), ("deepdream", "maximize"), ("visualize", "maximize"),
    ("version", "--version"), ("zzz", None),
])  # fmt: skip
def test_what_people_call_a_command(typed, meant):
    assert synonyms.command(typed) == meant
