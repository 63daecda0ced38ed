import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.accuracy_by_block import classifier_name, curves, find


def test_curves_come_in_reading_order_with_ascending_blocks(accuracy):
    found = curves(accuracy)
    assert [curve.name for curve in found] == ["4-NN", "16-NN", "nearest mean, cosine"]
    assert found[2].blocks.tolist() == [1, 2]
    assert found[2].mean.tolist() == [0.4, 0.5]
    assert found[2].std.tolist() == [0.04, 0.05]


def test_euclidean_comes_before_cosine_and_unknown_families_last(accuracy):
    more = [
        accuracy[accuracy["parameter"] == "4"].assign(classifier="logistic", parameter="1"),
        accuracy,
        accuracy[accuracy["parameter"] == "4"].assign(classifier="nearest_mean", parameter="euclidean"),
    ]
    names = [curve.name for curve in curves(pd.concat(more))]
    assert names == ["4-NN", "16-NN", "nearest mean, euclidean", "nearest mean, cosine", "logistic, 1"]


def test_parameters_read_as_numbers_from_a_file_are_found(accuracy):
    table = accuracy[accuracy["classifier"] == "knn"]
    numbers = table.assign(parameter=table["parameter"].astype(int))
    assert find(curves(numbers), "knn", "4").at(2) == (0.75, 0.04)


def test_several_labels_are_refused(accuracy):
    both = pd.concat([accuracy, accuracy.assign(label="pattern")])
    with pytest.raises(UserError, match=r"rows of one label. Received: colour, pattern."):
        curves(both)


def test_no_rows_are_refused(accuracy):
    with pytest.raises(UserError, match="Received: no rows"):
        curves(accuracy.iloc[:0])


def test_two_rows_for_one_block_are_refused(accuracy):
    with pytest.raises(UserError, match=r"one row per block and classifier. Received: two for 1 knn 4."):
        curves(pd.concat([accuracy, accuracy[accuracy["parameter"] == "4"].head(1)]))


def test_unknown_classifier_names_the_known_ones(accuracy):
    with pytest.raises(UserError, match=r"one of: 4-NN, 16-NN, nearest mean, cosine. Received: 3-NN."):
        find(curves(accuracy), "knn", "3")


def test_unknown_block_names_the_known_ones(accuracy):
    with pytest.raises(UserError, match=r"`block` must be one of: 1, 2. Received: 3."):
        curves(accuracy)[0].at(3)


def test_a_classifier_without_parameter_has_a_name():
    assert classifier_name("linear_probe", "") == "linear probe"
