"""The tab Filters: the global view of one filter after the other, and two buttons for the verdict."""

import getpass
from collections.abc import Callable
from typing import Any

import gradio as gr

from fashionprobe.app import html
from fashionprobe.app.judging import Judging, Ninth
from fashionprobe.app.widgets import QUIET, guarded
from fashionprobe.errors import UserError


def build(tab: gr.Tab, judging: Judging) -> None:
    """Build the tab."""
    names = [str(number) for number in judging.filters]
    gr.HTML(
        '<div class="fp-section"><p>Left to right: a random image from each ninth of the range of the filter\'s '
        "activation, black where it is not active. Does it look at what matters for the classes?</p></div>",
        js_on_load=None,
    )  # fmt: skip
    view = gr.HTML(js_on_load=None, elem_id="fp-ninths", elem_classes="fp-nine")
    told = gr.HTML(js_on_load=None, elem_id="fp-verdict")
    with gr.Row(equal_height=True):
        which = gr.Dropdown(names, value=names[0], label="Filter", min_width=110, scale=1, elem_id="fp-which-filter")
        note = gr.Textbox(label="Why (optional)", max_lines=1, min_width=220, scale=3, elem_id="fp-verdict-note")
        relevant = gr.Button("Relevant", variant="primary", min_width=130, scale=1, elem_id="fp-relevant")
        irrelevant = gr.Button("Not relevant", min_width=130, scale=1, elem_id="fp-irrelevant")
        skip = gr.Button("Next without a verdict", min_width=130, scale=1, elem_id="fp-next-filter")

    def show(name: str) -> Any:
        number = _number(name)
        return html.figures([_ninth(each) for each in guarded(lambda: judging.ninths(number))]), _told(judging, number)

    def says(relevant: bool) -> Callable[..., Any]:
        # Gradio hands over the request for its annotation.
        def say(name: str, note: str, request: gr.Request) -> Any:
            author, number = request.username or getpass.getuser(), _number(name)
            guarded(lambda: judging.say(number, relevant, note=note or "", author=author))
            return go(name)

        return say

    def go(name: str | None) -> Any:
        number = guarded(lambda: judging.following(None if name is None else _number(name)))
        return gr.Dropdown(value=str(number)), "", *show(str(number))

    outputs = [which, note, view, told]
    options: dict[str, Any] = {"show_progress_on": view, "api_visibility": "private"}
    # `input` is what a person does: the buttons change the filter, too.
    which.input(show, which, [view, told], **options)
    relevant.click(says(True), [which, note], outputs, **options)
    irrelevant.click(says(False), [which, note], outputs, **options)
    skip.click(go, which, outputs, **QUIET)
    tab.select(lambda: go(None), None, outputs, **options)


def _number(name: str) -> int:
    def read() -> int:
        if not str(name).isdecimal():
            raise UserError("filter", expected="the number of a filter", received=name)
        return int(name)

    return guarded(read)


def _ninth(ninth: Ninth) -> tuple[str, str, str]:
    many = f"{ninth.images} image{'' if ninth.images == 1 else 's'}"
    return f"{ninth.low:.3g} to {ninth.high:.3g}", ninth.picture, many


def _told(judging: Judging, number: int) -> str:
    said = guarded(lambda: judging.said(number))
    return html.verdicts(number, said, len(guarded(judging.judged)), len(judging.filters))
