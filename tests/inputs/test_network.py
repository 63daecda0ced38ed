"""What the stages that look at a network share."""

from types import SimpleNamespace

import pytest

from fashionprobe.inputs.network import LoadedNetwork


@pytest.mark.parametrize("known", ["Sch\u00fcrze", "Schu\u0308rze"])
@pytest.mark.parametrize("asked", ["Sch\u00fcrze", "Schu\u0308rze"])
def test_a_class_is_found_however_its_name_is_spelled(known, asked):
    opened = SimpleNamespace(classes=("Rock", known), model=SimpleNamespace(output_shape=(None, 2)))
    assert LoadedNetwork.class_number(opened, asked) == 1
