"""The model card of a trained classifier: what it is, how it was made, what it gets right, and its limits."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 10
_ELSEWHERE = ("label", "classes", "backbone", "taps", "size", "preprocessing")
"""Arguments that stand in the text of the card, not in its table of settings."""


def model_card(
    facts: Mapping[str, Any],
    arguments: Mapping[str, Any],
    per_class: "pd.DataFrame",
    pairs: "pd.DataFrame",
    *,
    path: Path,
) -> str:
    """Write the card.

    Args:
        facts: What the stage `train` notes in its manifest.
        arguments: Its resolved arguments.
        per_class: Validation precision, recall and F1 by class.
        pairs: The confused pairs, most images first.
        path: Where the model will be.

    Returns:
        Markdown text.

    Reference:
        Mitchell et al., Model Cards for Model Reporting, FAT* 2019. https://arxiv.org/abs/1810.03993
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fashionprobe.report", "."),
        # The card is Markdown; names of classes go through the filter `plain`.
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["plain"] = _plain
    measured = per_class[per_class["images"] > 0].sort_values("f1", ascending=False, kind="stable")
    return environment.get_template("model_card.md.j2").render(
        facts=facts,
        settings={name: value for name, value in arguments.items() if name not in _ELSEWHERE},
        best=measured.head(_SHOWN).to_dict("records"),
        worst=measured.tail(min(_SHOWN, max(len(measured) - _SHOWN, 0))).to_dict("records"),
        pairs=pairs.head(_SHOWN).to_dict("records"),
        path=path.as_posix(),
    )


def _plain(name: object) -> str:
    """Make a name from outside fit for a cell of a Markdown table."""
    text = " ".join(str(name).split())
    for character in "\\`*_{}[]<>#|":
        text = text.replace(character, f"\\{character}")
    return text
