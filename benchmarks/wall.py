"""How well, and how fast, the layouts of a wall put like beside like.

    python benchmarks/wall.py               # groups of points that it draws itself
    python benchmarks/wall.py --path FOLDER # pixels of Fashion-MNIST, a folder with its four IDX files

The seconds are those of the layout, after the projection: medians over rounds, on the clock and of all threads (CPU).
`neighbours` and `dpq` are explained in fashionprobe.attributes.layouts.grid.scores; targets are for Fashion-MNIST.
"""

import argparse
import gzip
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fashionprobe.attributes.layouts import grid
from fashionprobe.attributes.layouts.gridcut import gridcut
from fashionprobe.attributes.layouts.las import las

LAYOUTS: dict[str, Callable[..., np.ndarray]] = {"las": las, "gridcut": gridcut}

TARGETS: dict[int, dict[str, float]] = {
    1024: {"dpq": 0.90, "neighbours": 0.385, "seconds": 2.0},
    4096: {"dpq": 0.89, "seconds": 10.0},
}
"""By number of images: at least this for the scores, at most this for the seconds."""


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", help="folder with the IDX files of Fashion-MNIST, packed (.gz) or not")
    parser.add_argument("--images", type=int, nargs="+", default=sorted(TARGETS), help="images of each wall")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each layout (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw, the projection and the layouts")
    options = parser.parse_args()
    print(
        f"{'images':>6}  {'layout':<8}{'seconds':>8}{'CPU':>8}{'dpq':>8}{'neighbours':>12}{'same class':>12}  targets"
    )
    for images in options.images:
        descriptors, classes = pictures(Path(options.path)) if options.path else groups(images, options.seed)
        drawn = np.sort(np.random.default_rng(options.seed).permutation(len(descriptors))[:images])
        targets = TARGETS.get(len(drawn), {}) if options.path else {}
        measure(descriptors[drawn], classes[drawn], options.rounds, options.seed, targets)


def measure(descriptors: np.ndarray, classes: np.ndarray, rounds: int, seed: int, targets: dict[str, float]) -> None:
    """Lay out one set by each layout, and print a line for each."""
    rows, columns = grid.shape(len(descriptors))
    start = time.perf_counter()
    positions = grid.project(descriptors, seed)
    projection = time.perf_counter() - start
    seconds, processor = {name: [] for name in LAYOUTS}, {name: [] for name in LAYOUTS}
    cells = {}
    for _ in range(rounds):
        # In turns, so that a load that comes and goes meets both alike.
        for name, layout in LAYOUTS.items():
            clock, work = time.perf_counter(), time.process_time()
            cells[name] = layout(descriptors, positions, rows, columns, seed=seed)
            seconds[name].append(time.perf_counter() - clock)
            processor[name].append(time.process_time() - work)
    cells["random"] = np.random.default_rng(seed).permutation(rows * columns)[: len(descriptors)]
    found: Any = grid.scores(descriptors, cells, rows, columns, classes=classes).to_dict("records")
    for row in found:
        name = row["layout"]
        taken = statistics.median(seconds[name]) if name in seconds else float("nan")
        worked = statistics.median(processor[name]) if name in processor else float("nan")
        verdict = "" if name == "random" else _verdict({**row, "seconds": taken}, targets)
        print(
            f"{len(descriptors):>6}  {name:<8}{taken:>8.2f}{worked:>8.2f}{row['dpq']:>8.4f}{row['neighbours']:>12.4f}"
            f"{row['same_class']:>12.3f}  {verdict}"
        )
    print(f"{len(descriptors):>6}  t-SNE took {projection:.1f} s")


def pictures(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the training images of Fashion-MNIST: pixels, float32 (images, 784), and classes."""
    return _idx(folder, "train-images-idx3-ubyte", 16).reshape(-1, 784).astype(np.float32), _idx(
        folder, "train-labels-idx1-ubyte", 8
    )


def groups(images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw points in ten groups, each spread along a few directions of its own, float32 (images, 784), and classes."""
    random = np.random.default_rng(seed)
    classes = random.integers(10, size=images)
    centres, directions = 2 * random.normal(size=(10, 784)), random.normal(size=(10, 8, 784))
    along = random.normal(size=(images, 8))
    points = centres[classes] + np.einsum("ik,ikc->ic", along, directions[classes])
    return (points + 0.5 * random.normal(size=points.shape)).astype(np.float32), classes


def _idx(folder: Path, name: str, header: int) -> np.ndarray:
    packed = folder / f"{name}.gz"
    data = gzip.decompress(packed.read_bytes()) if packed.is_file() else (folder / name).read_bytes()
    return np.frombuffer(data, np.uint8, offset=header)


def _verdict(found: dict[str, float], targets: dict[str, float]) -> str:
    words = []
    for name, target in targets.items():
        reached = found[name] <= target if name == "seconds" else found[name] >= target
        words.append(f"{name} {'<=' if name == 'seconds' else '>='} {target:g} {'reached' if reached else 'MISSED'}")
    return ", ".join(words)


if __name__ == "__main__":
    main()
