"""The tab Map: the points of UMAP and the walls; a click shows an image and its neighbours."""

from pathlib import Path
from typing import Any

import gradio as gr

from fashionprobe.app import html
from fashionprobe.app.mapping import Mapping
from fashionprobe.app.tabs.search import TILES
from fashionprobe.app.widgets import QUIET, guarded

CLICKS = (Path(__file__).parents[1] / "map.js").read_text(encoding="utf-8")
NEIGHBOURS = 12
WALL = "Wall of block "


def build(tab: gr.Tab, mapping: Mapping) -> None:
    """Build the tab."""
    names = [*mapping.maps, *(f"{WALL}{block}" for block in mapping.walls)]
    with gr.Row():
        with gr.Column(scale=6, min_width=320):
            shown = gr.Dropdown(names, value=names[0], label="Map", elem_id="fp-which-map")
            canvas = gr.HTML(js_on_load=CLICKS, elem_id="fp-map")
        with gr.Column(scale=4, min_width=300):
            picked = gr.HTML(html.missing("Click a point to see its image."), js_on_load=None, elem_id="fp-map-picked")
            near = gr.HTML(js_on_load=TILES, elem_id="fp-map-near")

    def draw(name: str) -> str:
        if name.startswith(WALL):
            wall = guarded(lambda: mapping.wall(int(name.removeprefix(WALL))))
            return html.wall(wall, guarded(lambda: mapping.pictures_of(wall)))
        return html.scatter(guarded(lambda: mapping.points(name)), guarded(lambda: mapping.rows(name)))

    def pick(event: gr.EventData, name: str) -> Any:
        chosen = str(event.id)
        block = mapping.block_of(name)
        found = guarded(lambda: mapping.neighbours(chosen, block, NEIGHBOURS))
        names = [chosen, *(name for name, _ in found)]
        picture, *small = guarded(lambda: mapping.pictures.thumbnails(names))
        tiles = [
            html.Tile(name, each, mapping.words(name)) for name, each in zip(names[1:], small, strict=True)
        ]  # fmt: skip
        return html.picked(picture, chosen, mapping.words(chosen), block), html.tiles(tiles)

    shown.change(draw, shown, canvas, show_progress_on=canvas, api_visibility="private")
    tab.select(draw, shown, canvas, show_progress_on=canvas, api_visibility="private")
    for place in (canvas, near):
        place.picked(pick, shown, [picked, near], **QUIET)
