import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots import style
from fashionprobe.plots.accuracy_by_reader import accuracy_by_reader, best_by_block

COLUMNS = ["label", "block", "classifier", "parameter", "accuracy_mean", "accuracy_std", "folds"]


def accuracy(shift=0.0):
    """Blocks 2 and 1; 1-NN is best at block 1, 4-NN at block 2, cosine everywhere."""
    means = {
        ("nearest_mean", "euclidean"): (0.30, 0.40), ("nearest_mean", "cosine"): (0.35, 0.45),
        ("knn", "1"): (0.6, 0.5), ("knn", "4"): (0.5, 0.7), ("linear", "nested"): (0.8, 0.9),
    }  # fmt: skip
    rows = [
        ("colour", block, *key, both[block - 1] - shift, 0.01 * block, 5)
        for block in (2, 1)
        for key, both in means.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


LINEAR = pd.DataFrame({"label": "colour", "block": [2, 1], "control_mean": [0.11, 0.12], "control_std": [0.02, 0.03]})


def drawn(figure):
    """Return name, heights and style of every curve of the legend."""
    (ax,) = figure.axes
    legend = ax.get_legend()
    names = [text.get_text() for text in legend.get_texts()]
    lines = [container.lines[0] for container in ax.containers]
    found = {
        name: ([round(float(y), 4) for y in line.get_ydata()], line.get_color(), line.get_linestyle())
        for name, line in zip(names, lines, strict=False)
    }
    return found, names


def test_each_reader_has_its_best_setting_at_each_block():
    rows = best_by_block(accuracy(), "knn")
    assert rows[["block", "parameter", "accuracy_mean"]].to_numpy().tolist() == [[1, "1", 0.6], [2, "4", 0.7]]
    assert rows["accuracy_std"].tolist() == [0.01, 0.02]


def test_of_equal_settings_the_first_stays():
    table = accuracy().assign(accuracy_mean=0.5)
    assert best_by_block(table, "nearest_mean")["parameter"].tolist() == ["euclidean", "euclidean"]


def test_readers_and_control_task_are_drawn():
    found, names = drawn(accuracy_by_reader(accuracy(), LINEAR, chance=0.1, title="colour"))
    assert found == {
        "linear probe": ([0.8, 0.9], style.GREEN, "-"),
        "best k-NN": ([0.6, 0.7], style.BLUE, "-"),
        "nearest mean": ([0.35, 0.45], style.VERMILLION, "-"),
        "linear probe,\nshuffled labels": ([0.12, 0.11], style.BLACK, "-"),
    }
    assert names[-1] == "chance (0.1)"


def test_random_weights_are_dashed_in_the_colours_of_their_readers():
    found, _ = drawn(accuracy_by_reader(accuracy(), LINEAR, control=accuracy(0.2)))
    assert found["random weights:\nlinear probe"] == ([0.6, 0.7], style.GREEN, "--")
    assert found["random weights:\nbest k-NN"] == ([0.4, 0.5], style.BLUE, "--")
    assert found["random weights:\nnearest mean"] == ([0.15, 0.25], style.VERMILLION, "--")
    assert found["linear probe"][2] == "-"


def test_error_bars_are_the_deviation():
    (ax,) = accuracy_by_reader(accuracy(), LINEAR).axes
    (segments,) = (bars.get_segments() for bars in ax.containers[0].lines[2])
    assert [round(float(segment[1, 1] - segment[0, 1]), 4) for segment in segments] == [0.02, 0.04]


@pytest.mark.parametrize("name", ["accuracy", "linear", "control"])
def test_tables_of_several_labels_or_none_are_refused(name):
    for table, received in ((accuracy().head(0), "no rows"), (pd.concat([accuracy(), accuracy().assign(label="x")]),
                                                             "colour, x")):  # fmt: skip
        tables = {"accuracy": accuracy(), "linear": LINEAR, "control": accuracy(), name: table}
        with pytest.raises(
            UserError, match=f"`{name}` must be a table with the rows of one label. Received: {received}"
        ):
            accuracy_by_reader(tables["accuracy"], tables["linear"], control=tables["control"])
