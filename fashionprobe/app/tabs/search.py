"""The tab Search: a picture in, its neighbours and tags out; chosen neighbours become a class."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from fashionprobe.app import html as views
from fashionprobe.app.searching import Query, Searching
from fashionprobe.app.widgets import QUIET, guarded, upload
from fashionprobe.attributes.index import BOTH
from fashionprobe.errors import UserError, missing

TILES = (Path(__file__).parents[1] / "tiles.js").read_text(encoding="utf-8")
SEVERAL = 2
"""Groups between which one slider can weigh."""


def build(searching: Searching) -> None:
    """Build the tab."""
    groups = list(searching.groups)
    query, chosen = gr.State(None), gr.State({})
    with gr.Row():
        with gr.Column(scale=3, min_width=280):
            picture_file = upload("Search with a picture", height=260, elem_id="fp-upload")
            asked = gr.HTML(js_on_load=None, elem_id="fp-asked")
            tags = gr.HTML(js_on_load=None, elem_id="fp-tags")
        with gr.Column(scale=7, min_width=320):
            with gr.Row(equal_height=True):
                by = gr.Radio([*groups, BOTH] if len(groups) > 1 else list(groups), value=_first(groups), label="By")
                weights = _sliders(groups)
                top = gr.Slider(6, 60, value=24, step=6, label="How many")
            where = gr.Textbox(
                label="Only where", max_lines=1, max_length=2000, elem_id="fp-where",
                placeholder=_example(searching.columns()), info=f"Columns: {', '.join(searching.columns())}",
            )  # fmt: skip
            grid = gr.HTML(js_on_load=TILES, elem_id="fp-hits")
    gr.HTML(
        '<div class="fp-section"><h2>Add a class</h2><p>Choose a handful of pictures above that have something in '
        "common, name it, and the tags change at once. Nothing is trained.</p></div>", js_on_load=None,
    )  # fmt: skip
    strip = gr.HTML(_strip({}), js_on_load=TILES, elem_id="fp-chosen")
    with gr.Row(equal_height=True):
        group = gr.Dropdown(list(groups), value=next(iter(groups)), label="Group", min_width=140)
        name = gr.Textbox(label="Name of the class", max_lines=1, elem_id="fp-class-name", min_width=180)
        add = gr.Button("Add class", variant="primary", elem_id="fp-add", min_width=140)
        added = gr.Dropdown([], label="Added classes", min_width=180, elem_id="fp-added")
        remove = gr.Button("Remove", min_width=100)

    def show(
        found: Query | None, by: str, top: float, where: str, chosen: Mapping[str, str], *shares: float
    ) -> tuple[str, str, str]:
        if found is None:
            return "", "", ""
        hits = guarded(lambda: searching.hits(found, by, _weights(groups, shares), int(top), where or ""))
        shown = [views.Tile(hit.id, hit.thumbnail, hit.labels) for hit in hits]
        # A picture of one's own is shown where it was given.
        asked = "" if found.row is None else views.query(found.picture, found.name)
        grid = views.tiles(shown, chosen, "More like this") if shown else views.missing("No other image fits.")
        return asked, views.tags(guarded(lambda: searching.tags(found))), grid

    def of_upload(path: str | None, *rest: Any) -> Any:
        if path is None:
            return gr.skip()
        name = Path(path).name
        found = guarded(lambda: searching.of_upload(Path(path).read_bytes(), name))
        return found, *show(found, *rest)

    def of_tile(event: gr.EventData, *rest: Any) -> Any:
        found = guarded(lambda: searching.of_id(str(event.id)))
        return found, *show(found, *rest)

    def choose(
        event: gr.EventData, found: Query | None, by: str, top: float, where: str, chosen: dict[str, str],
        *shares: float,
    ) -> Any:  # fmt: skip
        picked = str(event.id)
        left = {each: picture for each, picture in chosen.items() if each != picked}
        if picked not in chosen:
            left[picked] = guarded(lambda: searching.of_id(picked)).picture
        return left, _strip(left), show(found, by, top, where, left, *shares)[2]

    def add_class(group: str, name: str, chosen: Mapping[str, str], found: Query | None) -> Any:
        words = " ".join((name or "").split())[:80]

        def made() -> None:
            if not words:
                raise missing("name", "a class needs one")
            if len(chosen) < 2:
                received = f"{len(chosen)} chosen"
                raise UserError("images", expected="two pictures or more, ten are a good number", received=received)
            searching.backing.add(group, words, list(chosen))

        guarded(made)
        gr.Info(html.escape(f"{group} {words} was added from {len(chosen)} pictures."))
        return {}, _strip({}), "", _tags(searching, found), _added(searching)

    def remove_class(added: str | None, found: Query | None) -> Any:
        group, _, name = (added or "").partition(": ")
        if name:
            guarded(lambda: searching.backing.remove(group, name))
        return _tags(searching, found), _added(searching)

    shares = [by, top, where, chosen, *weights]
    outputs = [query, asked, tags, grid]
    picture_file.change(of_upload, [picture_file, *shares], outputs, show_progress_on=grid, api_visibility="private")
    grid.picked(of_tile, shares, outputs, show_progress_on=grid, api_visibility="private")
    gr.on(
        [by.change, top.release, where.submit, where.blur, *(each.release for each in weights)], show,
        [query, *shares], outputs[1:], trigger_mode="always_last", **QUIET,
    )  # fmt: skip
    for tiles in (grid, strip):
        tiles.chosen(choose, [query, *shares], [chosen, strip, grid], **QUIET)
    gr.on(
        [add.click, name.submit], add_class, [group, name, chosen, query], [chosen, strip, name, tags, added], **QUIET
    ).success(show, [query, *shares], outputs[1:], **QUIET)
    remove.click(remove_class, [added, query], [tags, added], **QUIET)


def _example(columns: Sequence[str]) -> str:
    """Return what a filter looks like, with a column that is there."""
    return f"{columns[0]} == 'blue'" if columns else "id != ''"


def _first(groups: Sequence[str]) -> str:
    return BOTH if len(groups) > 1 else groups[0]


def _sliders(groups: Sequence[str]) -> list[gr.Slider]:
    """Return one slider between two groups, or one for each of more."""
    if len(groups) == SEVERAL:
        words = f"{groups[0]} to {groups[1]}"
        return [gr.Slider(0, 100, value=50, step=5, label=f"Both: from {words}", elem_id="fp-weight")]
    return [gr.Slider(0, 100, value=50, step=5, label=f"Weight of {name}") for name in groups if len(groups) > SEVERAL]


def _weights(groups: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    if len(groups) == SEVERAL:
        second = float(values[0]) / 100
        return {groups[0]: 1 - second, groups[1]: second}
    return dict(zip(groups, (float(value) / 100 for value in values), strict=True)) if values else {groups[0]: 1.0}


def _strip(chosen: Mapping[str, str]) -> str:
    if not chosen:
        return views.missing("No picture is chosen yet: click some of the neighbours.")
    return views.tiles([views.Tile(name, picture, name) for name, picture in chosen.items()], list(chosen))


def _tags(searching: Searching, found: Query | None) -> str:
    return views.tags(guarded(lambda: searching.tags(found))) if found else ""


def _added(searching: Searching) -> gr.Dropdown:
    names = [f"{group}: {name}" for group in searching.groups for name in searching.names(group)]
    return gr.Dropdown(names, value=None)
