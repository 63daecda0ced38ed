"""Write docs/reproduction.md: each table and figure of the five documents, its figure and ours, read off artifacts.

    python pipelines/reproduction.py --make                                # first run what is offline; ten minutes
    python pipelines/reproduction.py --make --fashion-mnist FOLDER         # and what needs the files of Fashion-MNIST
    python pipelines/reproduction.py --output /tmp/page.md                 # from the artifacts that are there

Artifacts that are finished are reused. Those of X-rays come from pipelines/correct_xray.py, with and without --thesis.
docs/reproduction.yaml lists the rows.
"""

import shlex
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from fashionprobe import cli
from fashionprobe.cli import script
from fashionprobe.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
HEAD = """# What the five documents report, and what this package gives

Written by `python pipelines/reproduction.py` from artifacts; `docs/reproduction.yaml` holds the rows, and the commands
that repeat them. Ours are means ± standard deviations over folds or seeds, where there are several.
"""
XRAY = """
## X-ray photographs in both directions
Points of each method over the same network before, with the 95 % interval of their mean over {networks} networks.
"""


def main(
    *, make: bool = False, fashion_mnist: str | None = None, runs: str = "runs",
    output: str = str(ROOT / "docs" / "reproduction.md"),
) -> None:  # fmt: skip
    """Write the page.

    Args:
        make: First run the experiments that need no data.
        fashion_mnist: With `make`: folder with the four files of Fashion-MNIST, for the siamese report.
        runs: Folder of the runs.
        output: The page.
    """
    given = yaml.safe_load((ROOT / "docs" / "reproduction.yaml").read_text(encoding="utf-8"))
    if make:
        lines = list(given["make"]["offline"])
        lines += [
            line.format(path=shlex.quote(fashion_mnist)) for line in given["make"]["fashion_mnist"] if fashion_mnist
        ]
        for line in lines:
            words = [word.replace("configs/", f"{ROOT}/configs/", 1) for word in shlex.split(line)]
            if code := cli.main(words):
                raise UserError("make", expected="experiments that run", received=f"exit code {code} of {line}")
    page = [HEAD, *(section(part, given["data"], Path(runs)) for part in given["rows"]), both_directions(Path(runs))]
    Path(output).write_text("\n".join(page), encoding="utf-8")
    print(f"wrote {output}")


def section(part: dict[str, Any], data: dict[str, str], runs: Path) -> str:
    """Return the table of one document in Markdown."""
    lines = ["| where | what | document | ours | data, and why they differ | command |", "|---|---|---|---|---|---|"]
    for row in part["items"]:
        found, why = ours(row.get("ours"), runs), row.get("why", "")
        if row.get("ours"):
            name, _, rest = str(row["data"]).partition(";")
            why = data.get(name, name) + (f";{rest}" if rest else "")
            if found is None:
                found, why = "-", f"Not run on this machine. {why}"
        cells = [row["where"], row["what"], row["theirs"], found or "-", why, f"`{row['command']}`"]
        lines.append("| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |")
    return f"\n## {part['document']}\n" + "\n".join(lines)


def ours(spec: str | None, runs: Path) -> str | None:
    """Return the figures of one row, read off a table; None where the artifact is not there."""
    if spec is None:
        return None
    file, query, value, *spread = (part.strip() for part in spec.split("|"))
    path = runs / file
    if not path.is_file():
        return None
    table = pd.read_csv(path, dtype={"parameter": str})
    rows = table.query(query) if query else table
    if rows.empty:
        raise UserError("ours", expected=f"a query that finds a row of {file}", received=query)
    shown = [number(each) for each in rows[value]]
    if spread and rows[spread[0]].notna().all():
        shown = [f"{mean} ± {number(each)}" for mean, each in zip(shown, rows[spread[0]], strict=True)]
    return ", ".join(shown)


def number(value: float) -> str:
    """Write a figure with three places, and small ones by their power of ten."""
    if value and abs(value) < 5e-4:
        return f"{value:.2e}"
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3f}"


def both_directions(runs: Path) -> str:
    """Return what the methods change on X-rays, from plain to cluttered grounds and the other way round."""
    parts = []
    for name, title in (
        ("xray_drawn", "from plain grounds to cluttered ones (ours)"),
        ("xray_thesis", "from cluttered to alone (the thesis)"),
    ):  # fmt: skip
        path = runs / name / "methods.csv"
        if path.is_file():
            table = pd.read_csv(path)
            lines = [f"\n### {title.capitalize()}", "| method | test | points | 95 % interval |", "|---|---|---|---|"]
            for _, row in table.iterrows():
                interval = f"{row['points_low']:+.1f} to {row['points_high']:+.1f}" if row["points"] else "-"
                test = f"{number(row['test_mean'])} ± {number(row['test_std'])}"
                lines.append(f"| {row['method']} | {test} | {row['points']:+.1f} | {interval} |")
            parts.append(XRAY.format(networks=int(table["seeds"].max())) if not parts else "")
            parts.append("\n".join(lines))
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(script(main))
