"""What the stages that look at a network share."""

from types import SimpleNamespace

import pytest

from fashionprobe.backbones import imagenet
from fashionprobe.errors import UserError
from fashionprobe.inputs.network import LoadedNetwork, NetworkSpec


@pytest.mark.parametrize("known", ["Sch\u00fcrze", "Schu\u0308rze"])
@pytest.mark.parametrize("asked", ["Sch\u00fcrze", "Schu\u0308rze"])
def test_a_class_is_found_however_its_name_is_spelled(known, asked):
    opened = SimpleNamespace(classes=("Rock", known), model=SimpleNamespace(output_shape=(None, 2)))
    assert LoadedNetwork.class_number(opened, asked) == 1


def imagenet_network():
    return SimpleNamespace(classes=imagenet.class_names(), model=SimpleNamespace(output_shape=(None, 1000)))


@pytest.mark.parametrize(("asked", "number"), [
    ("tiger cat", 282), ("Tiger Cat", 282), ("282", 282), ("mobile home", 660), ("construction crane", 517),
    ("crane bird", 134), ("Cardigan", 264), ("cardigan", 474), ("tank suit", 639),
])  # fmt: skip
def test_a_class_of_imagenet_is_found_by_name_synonym_and_number(asked, number):
    assert LoadedNetwork.class_number(imagenet_network(), asked) == number


@pytest.mark.parametrize(("asked", "message"), [
    ("dasy", r"Did you mean 'daisy' or"),
    ("crane", r"one class\. Received: 'crane', a name of 134 \(crane bird\) and 517 \(construction crane\)\. Pass"),
    ("1000", r"the number of a class, 0 to 999\. Received: 1000"),
    ("-1", r"the number of a class, 0 to 999\. Received: -1"),
])  # fmt: skip
def test_an_unknown_or_ambiguous_class_of_imagenet_is_said(asked, message):
    with pytest.raises(UserError, match=message):
        LoadedNetwork.class_number(imagenet_network(), asked)


def test_names_that_are_not_as_many_as_the_classes_are_refused(tmp_path, model_path):
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\n")
    spec = NetworkSpec(str(model_path), size=(32, 32), class_names=str(names))
    with pytest.raises(UserError, match=r"must be 16 names for tiny.keras. Received: 2, of '.*names.txt'"):
        spec.open()
    with pytest.raises(UserError, match="left out for efficientnet_lite0, which ends in a feature map"):
        NetworkSpec("efficientnet_lite0", "random", class_names=str(names)).open()


def test_a_known_network_has_the_classes_of_imagenet_when_it_is_asked_for_them():
    spec = NetworkSpec("efficientnet_lite0")
    opened = spec.open()
    assert opened.is_classifier and opened.class_name(985) == "daisy"
    assert spec.open(classifier=False).classes is None
