import numpy as np

from fashionprobe.plots.channels import channel_grid, dead_by_depth, kernel_grid


def texts(figure):
    return {text.get_text() for text in figure.findobj(lambda found: hasattr(found, "get_text"))}


def test_the_strongest_channels_are_shown_in_their_own_order():
    maps = np.zeros((3, 3, 100))
    maps[1, 1] = np.random.default_rng(0).permutation(100)
    shown = texts(channel_grid(maps, title="b", most=64))
    strongest = {str(channel) for channel in range(100) if maps[1, 1, channel] >= 36}
    assert {text for text in shown if text.isdigit()} == strongest
    assert "b: the 64 strongest of 100 channels" in shown


def test_kernels_of_any_number_of_colours():
    for colours in (1, 3):
        figure = kernel_grid(np.random.default_rng(0).random((5, 3, 3, colours)))
        assert {"0", "4"} <= texts(figure)


def test_dead_channels_by_depth():
    figure = dead_by_depth(["block 1", "block 2"], np.array([[0.0, 0.5], [0.5, 1.0]]), np.array([0.0, 0.25]))
    ax = figure.axes[0]
    assert ax.get_ylabel() == "Share of channels"
    lines = {tuple(np.round(line.get_ydata(), 6)) for line in ax.lines}
    assert {(0.25, 0.75), (0.0, 0.25)} <= lines
    assert [text.get_text() for text in ax.get_legend().get_texts()][1] == "for all 2 images"
