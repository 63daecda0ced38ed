"""The page: one head, five tabs, the look."""

import html
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from fashionprobe.app import html as views
from fashionprobe.app.exploring import Exploring
from fashionprobe.app.judging import Judging
from fashionprobe.app.mapping import Mapping
from fashionprobe.app.marking import Marking
from fashionprobe.app.refit_job import Correcting
from fashionprobe.app.searching import Searching
from fashionprobe.app.tabs import explore, filters, map, mark, search

HERE = Path(__file__).parent
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]


@dataclass(frozen=True)
class Parts:
    """What the run has for each tab; where a tab's part is text, it says which command makes what is missing.

    Attributes:
        run: Name of the run.
        lead: One line about it.
        marking: For the tab Mark.
        correcting: The refit, for the same tab.
        exploring: For the tab Explore.
        searching: For the tab Search.
        mapping: For the tab Map.
        judging: For the tab Filters.
    """

    run: str
    lead: str
    marking: Marking | str
    correcting: Correcting | str
    exploring: Exploring | str
    searching: Searching | str
    mapping: Mapping | str
    judging: Judging | str


def build(parts: Parts) -> gr.Blocks:
    """Build the page."""
    with gr.Blocks(title=f"fashionprobe: {parts.run}", analytics_enabled=False, fill_width=True) as page:
        lead = html.escape(parts.lead)
        gr.HTML(f'<header class="fp-head"><h1>{html.escape(parts.run)}</h1><p>{lead}</p></header>', js_on_load=None)
        with gr.Tabs(selected=_first(parts)):
            with gr.Tab("Mark", id="mark"):
                _tab(parts.marking, lambda marking: mark.build(page, marking, parts.correcting, parts.run))
            with gr.Tab("Explore", id="explore") as tab:
                _tab(parts.exploring, lambda exploring: explore.build(tab, exploring))
            with gr.Tab("Search", id="search"):
                _tab(parts.searching, search.build)
            with gr.Tab("Map", id="map") as tab:
                _tab(parts.mapping, lambda mapping: map.build(tab, mapping))
            with gr.Tab("Filters", id="filters") as tab:
                _tab(parts.judging, lambda judging: filters.build(tab, judging))
    return page


def _first(parts: Parts) -> str:
    """Return the first tab that has something to show."""
    there = {
        "mark": parts.marking, "explore": parts.exploring, "search": parts.searching, "map": parts.mapping,
        "filters": parts.judging,
    }  # fmt: skip
    return next((name for name, part in there.items() if not isinstance(part, str)), "mark")


def look() -> dict[str, Any]:
    """Return theme and style sheet, for `launch`: fonts of the system, so that none is fetched."""
    theme = gr.themes.Base(  # pyright: ignore[reportPrivateImportUsage]
        primary_hue="sky", neutral_hue="slate", font=FONTS, font_mono=["ui-monospace", "monospace"],
        radius_size="md", text_size="md",
    )  # fmt: skip
    return {"theme": theme, "css": (HERE / "page.css").read_text(encoding="utf-8")}


def _tab(part: Any, build: Callable[[Any], object]) -> None:
    if isinstance(part, str):
        gr.HTML(views.missing(part), js_on_load=None)
    else:
        build(part)
