"""Pieces of the page as HTML; all that comes from outside is escaped."""

import base64
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from fashionprobe.app import data_uris
from fashionprobe.app.exploring import Channel
from fashionprobe.app.mapping import Wall
from fashionprobe.app.refit_job import Outcome, Pair, State
from fashionprobe.app.searching import Guess
from fashionprobe.feedback.verdicts import Verdict
from fashionprobe.report.points import Points

MARGIN = 16
"""Room around the points of a map, in its own units."""


@dataclass(frozen=True)
class Tile:
    """A picture of a grid.

    Attributes:
        id: What a click on it says.
        picture: Data URI; "" for none.
        caption: What is known of it, shown below it with its id; "" for a picture alone.
    """

    id: str
    picture: str
    caption: str = ""


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
    accuracies = [row[1] for row in found.table]
    best = max(accuracies)
    rows = Markup("").join(_method(row, row[1] == best and accuracies.count(best) == 1) for row in found.table)
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
            data_uris.jpeg(image, side=420), pair.id, name, name, words
        )
        for name, image, words in figures
    )
    title = Markup('<h3><span class="fp-chip">{}</span> <span class="fp-soft fp-id">{}</span></h3>')
    return Markup("<section>{}<div>{}</div></section>").format(title.format(pair.label, pair.id), shown)


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f} %" if value < 1 else "100 %"


def missing(words: str) -> str:
    """Return the words of a tab whose artifact is not there."""
    # The command at the end is code, and what stands in backticks before it.
    place = words.find("fashionprobe ") if "`fashionprobe " not in words else -1
    told, command = (words[:place], words[place:]) if place >= 0 else (words, "")
    shown = Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else part for number, part in enumerate(told.split("`"))
    )
    code = Markup("<code>{}</code>").format(command) if command else ""
    return Markup('<div class="fp-missing">{}{}</div>').format(shown, code)


def tiles(shown: Sequence[Tile], chosen: Collection[str] | None = None, more: str = "") -> str:
    """Return a grid of pictures, each a button.

    Args:
        shown: The pictures.
        chosen: Ids of those that are chosen; None for a grid in which a click picks one instead.
        more: Words of a second button below each picture, which picks it; "" for none.
    """
    return Markup('<div class="fp-tiles">{}</div>').format(Markup("").join(_tile(each, chosen, more) for each in shown))


def _tile(tile: Tile, chosen: Collection[str] | None, more: str) -> Markup:
    image = (
        Markup('<img src="{}" alt="">').format(tile.picture)
        if tile.picture
        else Markup('<span class="fp-none"></span>')
    )
    pressed = "" if chosen is None else Markup(' aria-pressed="{}"').format("true" if tile.id in chosen else "false")
    button = Markup(
        '<button type="button" class="fp-tile" data-id="{0}" data-does="{1}" title="{0}"{2}>{3}{4}</button>'
    ).format(tile.id, "picked" if chosen is None else "chosen", pressed, image, _caption(tile))
    second = Markup('<button type="button" class="fp-more" data-id="{}" data-does="picked">{}</button>')
    return Markup("<div>{}{}</div>").format(button, second.format(tile.id, more) if more else "")


def _caption(tile: Tile) -> Markup:
    """Return the words below a picture: what is known of it, and its id, each on lines of its own."""
    if not tile.caption:
        return Markup("")
    known = tile.caption if tile.caption != tile.id else ""
    return Markup('<span class="fp-known">{}</span><span class="fp-id">{}</span>').format(known, tile.id)


def tags(found: Mapping[str, Sequence[Guess]]) -> str:
    """Return the tags of a picture: per group the class, or none of these, and the next ones with how sure each is."""
    return Markup('<div class="fp-tags">{}</div>').format(
        Markup("").join(_group(group, guesses) for group, guesses in found.items())
    )


def _group(group: str, guesses: Sequence[Guess]) -> Markup:
    first = guesses[0]
    known = first.ratio <= 1
    said = first.name if known else "none of these"
    why = (
        ""
        if known
        else Markup(
            '<p class="fp-soft">The nearest is {}, and the picture is {:.1f} times as far from it '
            "as its own images are.</p>"
        ).format(first.name, first.ratio)
    )
    rows = Markup("").join(map(_guess, guesses))
    head = Markup('<h3>{} <span class="{}">{}</span></h3>')
    return Markup("<section>{}{}{}</section>").format(
        head.format(group, "fp-chip" if known else "fp-chip fp-unsure", said), why, rows
    )


def _guess(guess: Guess) -> Markup:
    bar = Markup('<span class="fp-track"><span class="fp-done" style="width:{:.0f}%"></span></span>')
    shown = "" if guess.sure is None else bar.format(100 * guess.sure)
    sure = f"{guess.ratio:.2f} of its reach" if guess.sure is None else f"{guess.sure:.0%}"
    name = Markup("{}{}").format(guess.name, Markup(' <em class="fp-new">added</em>') if guess.added else "")
    return Markup('<div class="fp-guess"><span>{}</span>{}<span>{}</span></div>').format(name, shown, sure)


def query(picture: str, name: str) -> str:
    """Return the picture that is searched with."""
    return Markup('<figure class="fp-query"><img src="{}" alt=""><figcaption>{}</figcaption></figure>').format(
        picture, name
    )


def file(path: Path) -> str:
    """Return a PNG file of an artifact as a data URI; "" where it is gone."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}" if path.is_file() else ""


def guesses(picture: str, words: str, found: Sequence[tuple[str, float]]) -> str:
    """Return a picture beside the likeliest classes."""
    rows = Markup("").join(
        Markup('<div class="fp-guess"><span>{}</span><span class="fp-track"><span class="fp-done" '
               'style="width:{:.0f}%"></span></span><span>{:.0%}</span></div>').format(name, 100 * sure, sure)
        for name, sure in found
    )  # fmt: skip
    head = Markup('<p class="fp-big">{} <span class="fp-soft">{:.0%}</span></p><p class="fp-soft fp-id">{}</p>')
    told = head.format(found[0][0], found[0][1], words)
    return Markup('<div class="fp-said"><img src="{}" alt=""><div>{}{}</div></div>').format(picture, told, rows)


def verdicts(number: int, said: Sequence[Verdict], judged: int, total: int) -> str:
    """Return what experts say of a filter, the last verdict first, and how many filters have one."""
    words = _said(said[0]) if said else "no verdict yet"
    good = "fp-soft" if not said else "fp-good" if said[0].relevant else "fp-wrong"
    why = f"{said[0].note} " if said else ""
    older = f"before: {', '.join(map(_said, said[1:]))}" if len(said) > 1 else ""
    return Markup(
        '<div class="fp-row"><b>Filter {}</b><span class="{}">{}</span><span class="fp-soft">{}{}</span>'
        '<span class="fp-progress">{} of {} filters</span></div>'
    ).format(number, good, words, why, older, judged, total)


def _said(verdict: Verdict) -> str:
    return f"{'relevant' if verdict.relevant else 'not relevant'} ({verdict.author or 'somebody'})"


def figures(shown: Sequence[tuple[str, str, str]]) -> str:
    """Return pictures side by side, each a title, a data URI and words; words alone where there is no picture."""
    return Markup('<div class="fp-figures">{}</div>').format(Markup("").join(map(_figure, shown)))


def _figure(shown: tuple[str, str, str]) -> Markup:
    name, picture, words = shown
    image = (
        Markup('<img src="{}" alt="{}">').format(picture, name) if picture else Markup('<span class="fp-none"></span>')
    )
    return Markup("<figure>{}<figcaption><b>{}</b> {}</figcaption></figure>").format(image, name, words)


def channels(found: Sequence[Channel], picture: str) -> str:
    """Return channels, each where it is strong in the picture and, where it is known, what it responds to most."""
    return Markup('<div class="fp-channels">{}</div>').format(
        Markup("").join(_channel(channel, picture) for channel in found)
    )


def _channel(channel: Channel, picture: str) -> Markup:
    wanted = file(channel.wanted) if channel.wanted else ""
    second = Markup('<img src="{}" alt="what it responds to most">').format(wanted) if wanted else ""
    heat = Markup('<span class="fp-over"><img src="{}" alt=""><img src="{}" alt=""></span>').format(
        picture, data_uris.png(channel.share)
    )
    words = Markup("<figcaption><b>{}</b> {:.3g}</figcaption>").format(channel.number, channel.peak)
    return Markup('<figure class="{}">{}{}{}</figure>').format("fp-two" if wanted else "", heat, second, words)


def scatter(points: Points, ids: Sequence[str]) -> str:
    """Return a map of points, each of which a click picks; its image is shown where the pointer rests."""
    across = [dot.y for dot in points.dots]
    low, high = max(0.0, min(across) - MARGIN), min(points.height, max(across) + MARGIN)
    shapes = Markup("").join(
        Markup('<path d="{}" fill="{}" transform="translate({} {}) scale({})" data-id="{}" tabindex="-1">'
               "<title>{}, {}</title></path>").format(
            dot.shape, dot.color, dot.x, dot.y, points.scale, name, dot.lines[0], dot.lines[2])
        for dot, name in zip(points.dots, ids, strict=True)
    )  # fmt: skip
    legend = Markup("").join(
        Markup('<li><svg viewBox="-8 -8 16 16" aria-hidden="true"><path d="{}" fill="{}"/></svg>{}</li>').format(*look)
        for look in points.legend
    )
    return Markup(
        '<div class="fp-scatter"><svg viewBox="0 {} {} {}" role="group" aria-label="Map of images">{}</svg>'
        "<ul>{}</ul></div>"
    ).format(low, points.width, high - low, shapes, legend)


def wall(found: Wall, pictures: Sequence[str]) -> str:
    """Return a wall of pictures, each of which a click picks."""
    cells = Markup("").join(
        Markup('<button type="button" data-id="{0}" title="{0}"><img src="{1}" alt="" loading="lazy"></button>').format(
            name, picture
        ) if name else Markup("<span></span>")
        for name, picture in zip(found.cells, pictures, strict=True)
    )  # fmt: skip
    return Markup('<div class="fp-scroll"><div class="fp-wall" style="--columns:{}">{}</div></div>').format(
        found.columns, cells
    )


def picked(picture: str, name: str, words: str, block: int) -> str:
    """Return the image that was picked on a map."""
    told = Markup('<p class="fp-big">{}</p><p class="fp-soft fp-id">{}</p>').format(
        words or name, name if words else ""
    )
    near = Markup('<p class="fp-label">Nearest by the descriptor of block {}</p>').format(block)
    return Markup('<div class="fp-said"><img src="{}" alt=""><div>{}</div></div>{}').format(picture, told, near)
