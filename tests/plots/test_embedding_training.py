import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.training import embedding_training, loss_curves

HISTORY = pd.DataFrame({
    "epoch": [1, 2, 3], "loss": [1.0, 0.5, 0.25], "active": [1.0, 0.6, 0.3], "spread": [0.5, 2.0, 9.0],
    "margin": [1.0, 1.0, 2.0],
})  # fmt: skip


def test_loss_share_and_distances_stand_side_by_side():
    figure = embedding_training(HISTORY, title="by $class$")
    loss, active, distances = figure.axes
    figure.draw_without_rendering()
    assert loss.lines[0].get_xydata().tolist() == [[1, 1], [2, 0.5], [3, 0.25]]
    assert active.lines[0].get_ydata().tolist() == [1, 0.6, 0.3] and active.get_ylim()[0] == 0
    spread, margin = distances.lines
    assert spread.get_ydata().tolist() == [0.5, 2, 9] and margin.get_ydata().tolist() == [1, 1, 2]
    assert distances.get_yscale() == "log"
    numbers = [float(tick.label1.get_text()) for tick in distances.yaxis.get_major_ticks() if tick.label1.get_text()]
    assert {1, 2, 5} <= set(numbers)
    assert [text.get_text() for text in distances.get_legend().get_texts()] == ["mean distance", "margin"]
    assert loss.get_title(loc="left") == "by $class$"


def test_a_soft_margin_is_not_drawn():
    *_, distances = embedding_training(HISTORY.assign(margin=0.0)).axes
    assert len(distances.lines) == 1 and distances.get_yscale() == "linear"


def test_an_empty_history_is_refused():
    with pytest.raises(UserError, match=r"`history` must be a table with one epoch or more"):
        embedding_training(HISTORY.iloc[:0])


LOSSES = pd.DataFrame(
    {"epoch": [1, 1, 2], "batch": [10, 20, 30], "loss": [1.0, 0.1, 0.01], "val_loss": [1.5, 0.3, 0.2]}
)


def test_losses_of_training_and_validation_are_drawn_over_the_batches():
    (ax,) = loss_curves(LOSSES, title="by $class$").axes
    training, validation = ax.lines
    assert training.get_xydata().tolist() == [[10, 1], [20, 0.1], [30, 0.01]]
    assert validation.get_ydata().tolist() == [1.5, 0.3, 0.2]
    assert ax.get_xlabel() == "Batch" and ax.get_yscale() == "log"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training", "validation"]


def test_a_loss_of_0_stands_on_a_linear_axis_and_test_is_called_test():
    table = LOSSES.rename(columns={"val_loss": "test_loss"}).assign(loss=[1.0, 0.5, 0.0])
    (ax,) = loss_curves(table).axes
    assert ax.get_yscale() == "linear" and ax.get_ylim()[0] == 0
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training", "test (val is empty)"]
    with pytest.raises(UserError, match=r"`losses` must be a table with a row or more"):
        loss_curves(LOSSES.iloc[:0])
