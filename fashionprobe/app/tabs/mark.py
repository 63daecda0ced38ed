"""The tab Mark: the drawing surface, the filters beside it, and the refit below."""

import getpass
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from fashionprobe.app import html
from fashionprobe.app.marking import FIRST_GUESS, MARKED, OUTCOMES, SPLITS, SURE, TRUE_CLASS, Marking
from fashionprobe.app.refit_job import Correcting, RefitRequest
from fashionprobe.app.served_classifier import QUICK, heading
from fashionprobe.app.widgets import QUIET, guarded
from fashionprobe.errors import Busy, UserError, system_error

HERE = Path(__file__).parents[1]
NO_HEATMAP = "none"
LOSS_WORDS = {"pasa": "PASA", "pas": "PAS", "rrr_g": "RRR-G", "rrr": "RRR", "dropout": "Selective dropout"}


def build(page: gr.Blocks, marking: Marking, correcting: Correcting | str, run: str) -> None:
    """Build the tab.

    Args:
        page: The page.
        marking: The images and their masks.
        correcting: The refit, or why there is none.
        run: Name of the run.
    """
    with gr.Row():
        with gr.Column(scale=7, min_width=320):
            surface = gr.HTML(
                html_template=(HERE / "mark.html").read_text(encoding="utf-8"), apply_default_css=False,
                js_on_load=(HERE / "mark.js").read_text(encoding="utf-8"), elem_id="fp-mark",
                server_functions=_functions(marking),
            )  # fmt: skip
        with gr.Column(scale=3, min_width=240, elem_classes="fp-side"):
            split = gr.Radio(list(SPLITS), value="train", label="Split", info="Test is never marked: it measures.")
            label = gr.Dropdown([("all", ""), *_named(marking.classifier.classes)], value="", label="Class")
            outcome = gr.Radio(list(OUTCOMES), value="all", label="The network has it")
            sure = gr.Dropdown(list(SURE), value="all", label="Sure of its first guess")
            marked = gr.Radio(list(MARKED), value="all", label="Masks")
            method = gr.Dropdown(
                [*((heading(name), name) for name in QUICK), (NO_HEATMAP, "")], value=QUICK[0], label="Heatmap"
            )
            target = gr.Dropdown(
                [FIRST_GUESS, TRUE_CLASS, *marking.classifier.classes], value=FIRST_GUESS, label="Heatmap of"
            )
    filters = [split, label, outcome, sure, marked, method, target]

    def choose(split: str, label: str, outcome: str, sure: str, marked: str, method: str, target: str) -> Any:
        found = guarded(lambda: marking.choose(split=split, label=label, outcome=outcome, sure=sure, marked=marked))
        guessed = marking.guessed()
        waits = guessed < 1 and (outcome, sure) != ("all", "all")
        told = f"among the {guessed:.0%} that the network has guessed so far" if waits else ""
        return {**found, "method": method, "target": target, "shelf": _shelf(marking, run), "told": told}

    gr.on(
        [each.change for each in filters], choose, filters, surface, show_progress="hidden", api_visibility="private",
        trigger_mode="always_last",
    )  # fmt: skip
    page.load(choose, filters, surface, show_progress="hidden", api_visibility="private")
    if isinstance(correcting, Correcting):
        _refit(page, correcting)


def _refit(page: gr.Blocks, correcting: Correcting) -> None:
    """Build the part below: a button that starts the refit, how far it is, and what it came to."""
    gr.HTML(
        '<div class="fp-section"><h2>Refit</h2><p>The network continues training and is punished for what it sees '
        "inside your masks. The trained one does not change.</p></div>", js_on_load=None,
    )  # fmt: skip
    with gr.Row(equal_height=True):
        iterations = gr.Slider(
            5, 500, value=100, step=5, label="Iterations", min_width=200, elem_id="fp-iterations"
        )  # fmt: skip
        loss = gr.Dropdown([(words, name) for name, words in LOSS_WORDS.items()], value="pasa", label="Method")
        seeds = gr.Slider(1, 5, value=1, step=1, label="Seeds", min_width=140)
    with gr.Row(equal_height=True):
        with gr.Column(scale=2, min_width=260, elem_classes="fp-checks"):
            rivals = gr.Checkbox(False, label="Compare with all rivals (takes many times as long)", container=False)
            again = gr.Checkbox(False, label="Replace the existing refit", container=False)
        start = gr.Button("Refit with these masks", variant="primary", elem_id="fp-refit", min_width=220, scale=1)
    status = gr.HTML(elem_id="fp-refit-status", js_on_load=None)
    result = gr.HTML(elem_id="fp-refit-result", js_on_load=None)
    clock = gr.Timer(1.0, active=False)

    def begin(iterations: float, loss: str, seeds: float, rivals: bool, again: bool) -> Any:
        request = RefitRequest(int(iterations), loss, int(seeds), rivals, again)
        guarded(lambda: correcting.start(request))
        return html.state(correcting.state), gr.Timer(active=True), gr.Button(interactive=False)

    def tick() -> Any:
        state = correcting.state
        running = state.phase == "running"
        outcome = gr.skip() if running else html.outcome(guarded(correcting.outcome))
        return html.state(state), outcome, gr.Timer(active=running), gr.Button(interactive=not running)

    start.click(begin, [iterations, loss, seeds, rivals, again], [status, clock, start], **QUIET)
    clock.tick(tick, None, [status, result, clock, start], **QUIET)
    page.load(tick, None, [status, result, clock, start], **QUIET)


def _functions(marking: Marking) -> list[Callable[..., Any]]:
    """Return what the page's own code may call."""

    def look(data: dict[str, Any]) -> dict[str, Any]:
        return _answer(lambda: marking.look(data["item"], str(data["method"]), str(data["target"])))

    def kept(data: dict[str, Any]) -> dict[str, Any]:
        return _answer(lambda: marking.kept(data["item"]))

    def save(data: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        author = _user(request)
        return _answer(
            lambda: marking.save(
                data["item"], data["mask"], author=author, note=data["note"], base=data["base"],
                settles=list(data["settles"]),
            )
        )  # fmt: skip

    return [look, kept, save]


def _answer(function: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Call a function for the page; an error becomes words, and whether to try again."""
    try:
        return function()
    except UserError as error:
        return {"error": str(error), "again": isinstance(error, Busy)}
    except OSError as error:
        return {"error": str(system_error(error)), "again": True}
    except (KeyError, TypeError, ValueError) as error:
        return {"error": f"The page asked for something that is not there ({type(error).__name__})."}


def _user(request: Any) -> str:
    """Return who asks: the name that was logged in with, else that of the person who runs the server.

    Args:
        request: What Gradio hands a function that the page's own code calls: the bare request, which does not say who
            it is of; the server's table of log-ins does.
    """
    tokens = getattr(getattr(request, "app", None), "tokens", {})
    cookies = [value for name, value in request.cookies.items() if name.startswith("access-token-")]
    return next((str(tokens[value]) for value in cookies if value in tokens), getpass.getuser())


def _named(classes: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(name, name) for name in classes]


def _shelf(marking: Marking, run: str) -> str:
    """Return the name under which a browser keeps masks that are not saved yet: of this run and record set alone."""
    return f"fashionprobe/{run}/" + hashlib.sha256(marking.pictures.records.fingerprint.encode()).hexdigest()[:12]
