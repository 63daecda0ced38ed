"""The tab Explore: a picture in; prediction, heatmaps side by side, layers and their channels out."""

import random
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from fashionprobe.app import html
from fashionprobe.app.data_uris import jpeg, read_upload
from fashionprobe.app.exploring import Exploring
from fashionprobe.app.marking import FIRST_GUESS
from fashionprobe.app.served_classifier import heading
from fashionprobe.app.tabs.search import TILES
from fashionprobe.app.widgets import QUIET, guarded, upload
from fashionprobe.explain.methods import METHODS

SUGGESTED = 12
CHANNELS = 12
SHOWN = ("grad_cam", "layer_cam", "guided_backpropagation")


def build(tab: gr.Tab, exploring: Exploring) -> None:
    """Build the tab."""
    picture = gr.State(None)
    with gr.Row():
        with gr.Column(scale=3, min_width=280):
            picture_file = upload("A picture of yours", height=230, elem_id="fp-explore-upload")
            with gr.Row(equal_height=True, elem_classes="fp-between"):
                gr.HTML('<p class="fp-label">Or one of the run</p>', js_on_load=None)
                other = gr.Button("Others", size="sm", min_width=80, scale=0)
            tiles = gr.HTML(js_on_load=TILES, elem_id="fp-explore-tiles", elem_classes="fp-small")
        with gr.Column(scale=7, min_width=320):
            said = gr.HTML(html.missing("Choose a picture."), js_on_load=None, elem_id="fp-said")
            with gr.Row(equal_height=True):
                methods = gr.Dropdown(
                    [(heading(name), name) for name in METHODS], value=list(SHOWN), multiselect=True, label="Heatmaps",
                    scale=3, min_width=240,
                )  # fmt: skip
                target = gr.Dropdown(
                    [FIRST_GUESS, *exploring.classifier.classes], value=FIRST_GUESS, label="of", scale=1
                )
            heats = gr.HTML(js_on_load=None, elem_id="fp-heats")
            with gr.Row(equal_height=True):
                layer = gr.Dropdown(
                    list(exploring.layers.items()), value=exploring.classifier.taps[-1],
                    label="Channels that respond most", min_width=240,
                )  # fmt: skip
                count = gr.Slider(4, 48, value=CHANNELS, step=4, label="How many")
            channels = gr.HTML(js_on_load=None, elem_id="fp-channels")
            _gallery(exploring)

    def suggest() -> str:
        ids = exploring.some(SUGGESTED, random.randrange(2**31))
        return html.tiles(
            [html.Tile(*each) for each in zip(ids, guarded(lambda: exploring.pictures.thumbnails(ids)), strict=True)]
        )

    def look(found: np.ndarray | None, methods: list[str], target: str) -> str:
        if found is None:
            return ""
        guess = guarded(lambda: exploring.guesses(found))[0][0]
        name = guess if target == FIRST_GUESS else target
        shown = [("the picture", jpeg(found, side=320), "")]
        for method in methods[:8]:
            try:
                shown.append((heading(method), jpeg(exploring.seen(found, method, name), side=320), f"for {name}"))
            except ValueError as error:
                shown.append((heading(method), "", str(error)))
        return html.figures(shown)

    def answer(found: np.ndarray | None, layer: str, count: float) -> str:
        if found is None:
            return ""
        seen = guarded(lambda: exploring.channels(found, layer, int(count)))
        return html.channels(seen, jpeg(exploring.small(found), side=160))

    def all_of(found: np.ndarray, words: str, methods: list[str], target: str, layer: str, count: float) -> Any:
        guesses = guarded(lambda: exploring.guesses(found))
        return (
            found, html.guesses(jpeg(found, side=360), words, guesses), look(found, methods, target),
            answer(found, layer, count),
        )  # fmt: skip

    def of_upload(path: str | None, *rest: Any) -> Any:
        if path is None:
            return gr.skip()
        name = Path(path).name
        return all_of(guarded(lambda: read_upload(Path(path).read_bytes(), name)), name, *rest)

    def of_tile(event: gr.EventData, *rest: Any) -> Any:
        name = str(event.id)
        found = guarded(lambda: exploring.pictures.picture(name))
        labels = exploring.pictures.items.set_index("id")[exploring.label]
        return all_of(found, f"{name}, true class {labels[name] or 'unknown'}", *rest)

    inputs, outputs = [methods, target, layer, count], [picture, said, heats, channels]
    picture_file.change(of_upload, [picture_file, *inputs], outputs, show_progress_on=said, api_visibility="private")
    tiles.picked(of_tile, inputs, outputs, show_progress_on=said, api_visibility="private")
    other.click(suggest, None, tiles, **QUIET)
    tab.select(suggest, None, tiles, **QUIET)
    gr.on(
        [methods.change, target.change], look, [picture, methods, target], heats, show_progress_on=heats,
        trigger_mode="always_last", api_visibility="private",
    )  # fmt: skip
    gr.on([layer.change, count.release], answer, [picture, layer, count], channels, **QUIET)


def _gallery(exploring: Exploring) -> None:
    """Show the pictures that `maximize` made, or say how to make them."""
    found = exploring.gallery()
    with gr.Accordion("Pictures that channels or classes respond to most", open=False):
        if found:
            shown = [(words, html.file(path), "") for words, path in found]
            gr.HTML(html.figures(shown), js_on_load=None, elem_classes="fp-small")
        else:
            gr.HTML(
                html.missing("Make them with: fashionprobe maximize --run RUN --block 3"), js_on_load=None
            )  # fmt: skip
