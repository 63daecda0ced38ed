import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots import style
from fashionprobe.plots.refit import refit_curves


def iterations(method="PASA", seeds=(4, 5), **columns):
    table = pd.DataFrame([(method, seed, step) for seed in seeds for step in range(11)])
    table.columns = ["method", "seed", "iteration"]
    step = table["iteration"]
    measured = {"val": (0.5 + 0.01 * step + 0.1 * (table["seed"] - 4)).where(step % 5 == 0), "swapped": np.nan}
    return table.assign(cross_entropy=1.0, penalty=0.5, loss=1.5, **measured).assign(**columns)


def masked():
    rows = [
        ("PASA", seed, step, f"image {number}", 0.1 * number + 0.02 * step)
        for seed in (4, 5)
        for step in (0, 5, 10)
        for number in range(3)
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "iteration", "id", "probability"])


def entries(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_each_panel_has_its_lines():
    figure = refit_curves(iterations(swapped=0.3), masked(), method="PASA", title="a $refit$")
    loss, accuracy, images = figure.axes
    assert entries(loss) == ["loss", "cross-entropy", "penalty", "other seeds"]
    assert entries(accuracy) == ["validation images", "masked images, region swapped"]
    assert entries(images) == ["mean", "one of 3 images"]
    assert figure.get_suptitle() == "a $refit$"
    strong = [line.get_ydata()[0] for line in loss.lines if line.get_alpha() == 1]
    assert strong == [1.5, 1.0, 0.5]
    segments = images.collections[0].get_segments()
    np.testing.assert_allclose(segments[2], [[0, 0.2], [5, 0.3], [10, 0.4]])
    mean = max(images.lines, key=lambda line: line.get_linewidth())
    np.testing.assert_allclose(mean.get_xydata(), [[0, 0.1], [5, 0.2], [10, 0.3]])


def test_lines_join_what_was_measured():
    (_, ax) = refit_curves(iterations(), method="PASA").axes
    assert entries(ax) == ["validation images"]
    (strong, pale) = ax.lines
    np.testing.assert_allclose(strong.get_xydata(), [[0, 0.5], [5, 0.55], [10, 0.6]])
    assert (strong.get_alpha(), pale.get_alpha()) == (1, 0.35)


def test_a_seed_can_be_chosen():
    ax = refit_curves(iterations(), masked(), method="PASA", seed=5).axes[1]
    (strong,) = [line for line in ax.lines if line.get_alpha() == 1]
    np.testing.assert_allclose(strong.get_ydata(), [0.6, 0.65, 0.7])


def test_without_a_penalty_the_loss_is_the_cross_entropy_and_empty_panels_are_left_out():
    table = iterations(seeds=(4,), penalty=0.0, loss=1.0, val=np.nan)
    (ax,) = refit_curves(table, masked(), method="PASA").axes[:1]
    assert entries(ax) == ["cross-entropy"]
    other = refit_curves(table.assign(method="Continued"), masked(), method="Continued")
    assert len(other.axes) == 1


@pytest.mark.parametrize(("chosen", "side"), [(5, "left"), (10, "right")])
def test_the_kept_iteration_is_marked_in_every_panel(chosen, side):
    figure = refit_curves(iterations(), masked(), method="PASA", chosen=chosen)
    for ax in figure.axes:
        (line,) = [line for line in ax.lines if line.get_color() == style.PURPLE]
        assert line.get_xdata()[0] == chosen
    (text,) = figure.axes[0].texts
    assert (text.get_text(), text.get_ha()) == (f"kept: iteration {chosen}", side)


def test_nothing_is_cut():
    figure = refit_curves(iterations(swapped=0.3), masked(), method="PASA", chosen=10, title="long title " * 10)
    figure.draw_without_rendering()
    boxes = [box for ax in figure.axes for box in (ax.get_tightbbox(), ax.get_legend().get_window_extent())]
    boxes.append(figure._suptitle.get_window_extent())
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 for box in boxes)


@pytest.mark.parametrize(
    ("table", "options", "text"),
    [
        (iterations().head(0), {}, "no rows"),
        (iterations("PAS"), {}, r"Received: PASA. Did you mean 'PAS'"),
        (iterations(), {"seed": 9}, r"`seed` must be one of: 4, 5. Received: 9."),
        (iterations(), {"chosen": 11}, r"`chosen` must be in 0 to 10, an iteration. Received: 11."),
    ],
)
def test_wrong_arguments_are_refused(table, options, text):
    with pytest.raises(UserError, match=text):
        refit_curves(table, method="PASA", **options)
