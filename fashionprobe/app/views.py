"""Pieces of the page as HTML; all that comes from outside is escaped."""

import math

from markupsafe import Markup, escape

from fashionprobe.app import encoded
from fashionprobe.app.correcting import Outcome, Pair, State


def state(found: State) -> str:
    """Return how far a refit is: a bar while it runs, a line when it has failed."""
    if found.phase == "running":
        width = Markup("{:.0f}").format(100 * found.share)
        bar = Markup('<span class="fp-track"><span class="fp-done" style="width:{}%"></span></span>').format(width)
        row = Markup('<div class="fp-row fp-soft" role="status">{}<span>{} …{}</span></div>')
        return row.format(bar, found.words, f" {found.share:.0%}" if found.share else "")
    if found.phase == "failed":
        return Markup('<div class="fp-wrong" role="alert">{}</div>').format(found.words)
    return ""


def outcome(found: Outcome | None) -> str:
    """Return what a refit came to: the table of methods, and marked images before and after."""
    if found is None:
        return ""
    best = max(row[1] for row in found.table)
    rows = Markup("").join(_method(row, row[1] == best) for row in found.table)
    head = Markup("").join(
        Markup("<th>{}</th>").format(name)
        for name in ("Method", "Accuracy on test", "Balanced", "Heat inside the masks", "p")
    )
    table = Markup(
        '<div class="fp-scroll"><table class="fp-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
    )
    pairs = Markup('<div class="fp-pairs">{}</div>').format(Markup("").join(map(_pair, found.pairs)))
    words = Markup(
        '<p class="fp-soft">{} with {} mask{}. Base is the network before; p is that of the difference '
        "to it (McNemar).</p>"
    )
    said = words.format(found.method, found.masks, "" if found.masks == 1 else "s")
    return Markup('<div class="fp-outcome">{}{}{}</div>').format(table.format(head, rows), said, pairs)


def _method(row: tuple[str, float, float, float, float], best: bool) -> Markup:
    name, test, balanced, inside, p = row
    cells = [_share(test), _share(balanced), _share(inside), "" if math.isnan(p) else f"{p:.2g}"]
    line = Markup('<tr class="{}"><th scope="row">{}</th>{}</tr>')
    values = Markup("").join(Markup("<td>{}</td>").format(cell) for cell in cells)
    return line.format("fp-best" if best else "", name, values)


def _pair(pair: Pair) -> Markup:
    figures = [
        ("Your mask", pair.picture, ""),
        ("Before", pair.before, f"{_share(pair.sure[0])} sure, {_share(pair.inside[0])} of the heat inside"),
        ("After", pair.after, f"{_share(pair.sure[1])} sure, {_share(pair.inside[1])} of the heat inside"),
    ]
    shown = Markup("").join(
        Markup('<figure><img src="{}" alt="{}, {}"><figcaption><b>{}</b> {}</figcaption></figure>').format(
            encoded.jpeg(image, side=420), pair.id, name, name, words
        )
        for name, image, words in figures
    )
    title = Markup('<h3><span class="fp-chip">{}</span> <span class="fp-soft fp-id">{}</span></h3>')
    return Markup("<section>{}<div>{}</div></section>").format(title.format(pair.label, pair.id), shown)


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f} %" if value < 1 else "100 %"


def missing(words: str) -> str:
    """Return the words of a tab whose artifact is not there."""
    return Markup('<div class="fp-missing">{}</div>').format(escape(words))
