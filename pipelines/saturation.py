"""Why masks on images that a network is sure of teach it nothing without a penalty: gradients against certainty.

The argument of the feedback thesis, section 4.6. With z the score of the true class, p its probability, A a value in
the mask M of a feature map of D channels and N cells, and w the weight by which A raises z above the other scores:

    |dCE/dz| = 1 - p                                  |dCE/dA|  = (1 - p) w / N
    Act = |A| in the mask / (D (|M| + 1))             dPAS/dA   = dCE/dA + lambda,              lambda = 1 / (5 N D)
    PASA = CE + Act B^(p / th)                        dPASA/dA  = dCE/dA + B^(p / th) / (D (|M| + 1)) + through p
    dPASA/dz = -(1 - p) (1 - Act p ln(B) / th B^(p / th))

As p goes to 1 nothing is left of the gradient of cross-entropy, while the penalty goes on pushing A itself. The score
of a sure image is moved by neither: 1 - p is a factor of both terms of dPASA/dz. With B = 5 their sum changes sign:
from some p on PASA lowers the score of the true class.

    python pipelines/saturation.py
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fashionprobe.cli import script

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SETTINGS = {"animals, sketches": (0.4, 0.7), "symbols": (0.8, 2.0), "X-rays": (5.0, 0.8)}
"""B and th of PASA in the thesis."""

CELLS, CHANNELS = 14 * 14, 64
"""The last feature map of the network of the animals."""


def of_score(p: np.ndarray, *, act: float = 0.0, b: float = 1.0, th: float = 1.0) -> np.ndarray:
    """Return |d loss / d score of the true class|; without `act` that of cross-entropy.

    Args:
        p: Probability of the true class, in (0, 1).
        act: Act, the mean activation inside the mask.
        b: B of PASA.
        th: th of PASA.
    """
    return (1 - p) * np.abs(1 - act * p * np.log(b) / th * b ** (p / th))


def of_activation(p: np.ndarray, *, weight: float = 1.0) -> np.ndarray:
    """Return |d cross-entropy / d A|, for a value that raises the true class's score by `weight` / cells."""
    return (1 - p) * weight / CELLS


def penalty_of_activation(p: np.ndarray, *, masked: int, b: float, th: float) -> np.ndarray:
    """Return the part of |d PASA / d A| inside the mask that comes from Act itself.

    Args:
        p: Probability of the true class, in (0, 1).
        masked: Cells of the mask.
        b: B of PASA.
        th: th of PASA.
    """
    return b ** (p / th) / (CHANNELS * (masked + 1))


def main(*, act: float = 0.6, masked: int = 40, weight: float = 1.0) -> None:
    """Draw both gradients, and write them as a table.

    Args:
        act: Mean activation inside the mask; 0.6 is the thesis' mean on images without masks.
        masked: Cells of the mask, of the 196 of the feature map.
        weight: How much more the true class's dense weight of a channel is than that of the others.
    """
    from fashionprobe.plots.save import save

    p = 1 - np.geomspace(0.9, 1e-4, 200)
    table = pd.DataFrame({"p": p, "ce_score": of_score(p), "ce_activation": of_activation(p, weight=weight)})
    table["pas_activation"] = 1 / (5 * CELLS * CHANNELS)
    for name, (b, th) in SETTINGS.items():
        table[f"pasa_score {name}"] = of_score(p, act=act, b=b, th=th)
        table[f"pasa_activation {name}"] = penalty_of_activation(p, masked=masked, b=b, th=th)
    folder = Path("runs/saturation")
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "saturation.csv", index=False, float_format="%.8g")
    save(figure(table, act=act, masked=masked), folder / "saturation")
    print(f"Open {folder / 'saturation.png'}")
    for name in SETTINGS:
        over = table[f"pasa_activation {name}"] > table["ce_activation"]
        print(f"PASA, {name}: the penalty on A outweighs cross-entropy from p = {p[over.argmax()]:.3f} on.")


def figure(table: pd.DataFrame, *, act: float, masked: int) -> "Figure":
    """Draw the gradient of the true class's score and that of a value in the mask, against p."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    from fashionprobe.plots import style

    with style.house_style():
        made = Figure(figsize=(13.4, 4.8), layout="constrained")
        left, right = made.subplots(1, 2)
        sure = 1 - table["p"]
        handles = []
        for ax, kind in ((left, "score"), (right, "activation")):
            lines = [ax.plot(sure, table[f"ce_{kind}"], color=style.BLACK, linewidth=3)[0]]
            for name, (color, dash) in zip(
                SETTINGS, ((style.BLUE, "--"), (style.GREEN, "-."), (style.VERMILLION, "-")), strict=True
            ):
                lines += ax.plot(sure, table[f"pasa_{kind} {name}"], color=color, linestyle=dash, linewidth=2)
            ax.set_xscale("log")
            ax.set_yscale("log")
            ax.invert_xaxis()
            ticks = [0.5, 0.1, 0.01, 0.001, 0.0001]
            ax.set_xticks(ticks, [f"{1 - tick:g}" for tick in ticks])
            ax.set_xticks([], minor=True)
            ax.set_xlabel("Probability p of the true class")
            ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            ax.grid(axis="y")
            handles = lines
        pas = right.plot(sure, table["pas_activation"], color=style.PURPLE, linestyle=":", linewidth=2.4)[0]
        left.set_title(f"Score of the true class (Act = {act:g})")
        left.set_ylabel("|d loss / d z|")
        right.set_title(f"A value in a mask of {masked} cells")
        right.set_ylabel("|d loss / d A|, term by term")
        names = ["cross-entropy", *(f"PASA, {name}\n(B = {b:g}, th = {th:g})" for name, (b, th) in SETTINGS.items())]
        style.legend(right, [*handles, pas], [*names, "PAS"])
    return made


if __name__ == "__main__":
    sys.exit(script(main))
