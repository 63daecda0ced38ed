"""One network with an output for each attribute: a shared trunk, and branches that are added one after another.

Reference:
    Adhikari et al., Progressive attribute training for fashion, 2019, as the attribute thesis describes it (chapter
    3.5, figure 3.18): a network for the first attribute, then a branch for each further one, the rest frozen or trained
    at a lower rate.
"""

import re
from typing import Any

import keras

from fashionprobe.backbones.graph import copy_model, flatten, kept_random_state, origin


def first_output(classifier: keras.Model, label: str) -> keras.Model:
    """Return a classifier of one label as a network of named outputs; the layers are the classifier's own.

    Args:
        classifier: A model from images to class probabilities.
        label: Name of its label.
    """
    return keras.Model(classifier.input, {label: classifier.output}, name="branches")


@kept_random_state()
def with_branch(network: keras.Model, classifier: keras.Model, *, label: str, after: str) -> keras.Model:
    """Return a network with one more output; what it shares with the classifier is computed once.

    Args:
        network: A flat model from images to a dictionary of class probabilities by label.
        classifier: A flat model from the same images to class probabilities. Its layers up to `after` are those of the
            network, with the same names and weights; copies of the others become the branch.
        label: Name of the new output.
        after: The layer that the branch leaves the trunk after.

    Returns:
        A copy. The layers of branch n, from 1, have "branch{n}." before their names.
    """
    number = len(network.output)
    trunk = {each.name for each in keras.Model(classifier.input, classifier.get_layer(after).output).operations}
    # What the branch takes from the trunk: the map of `after`, and those of earlier layers that its head reads.
    taken: dict[int, Any] = {}
    for operation in classifier.operations:
        if operation.name not in trunk:
            sources = keras.tree.flatten(operation.input)
            taken |= {id(tensor): tensor for tensor in sources if origin(tensor).name in trunk}
    branch = copy_model(keras.Model([*taken.values()], classifier.output), rename=lambda name: f"branch{number}.{name}")
    found = {operation.name: operation for operation in network.operations}
    entering = [_twin(tensor, found[origin(tensor).name]) for tensor in taken.values()]
    known: Any = network.output
    outputs = {**known, label: branch(entering)}
    return flatten(keras.Model(network.input, outputs, name="branches"))


def _twin(tensor: Any, operation: Any) -> Any:
    """Return the output of an operation that corresponds to an output of its twin."""
    places = [each is tensor for each in keras.tree.flatten(origin(tensor).output)]
    return keras.tree.flatten(operation.output)[places.index(True)]


@kept_random_state()
def one_output(network: keras.Model, label: str) -> keras.Model:
    """Return the part of a network that gives one label: a copy, its layers named as in a classifier of that label.

    Args:
        network: What `with_branch` or `first_output` returned.
        label: Name of the output.

    Returns:
        A flat model from images to class probabilities.
    """
    outputs: Any = network.output
    part = keras.Model(network.input, outputs[label], name="classifier")
    return copy_model(part, rename=lambda name: re.sub(r"^branch\d+\.", "", name))
