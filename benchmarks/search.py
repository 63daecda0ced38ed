"""What exact search costs, against scikit-learn, against a NumPy loop, and against reading the points once.

All contestants take turns in this process: the same random descriptors, in memory and (ours) as a memory map on disk,
one query and many. The table shows medians over the rounds and the median of the ratios to ours within a round, so that
a load that comes and goes meets all alike. "product" is the matrix product alone, which ours cannot do without. The
targets are seconds on two quiet cores. Of the NumPy loop two queries are measured, and multiplied.

Run it with `python benchmarks/search.py`; it takes two minutes on two cores. `--approximate` adds faiss, if installed.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from fashionprobe.attributes import approximate_neighbours, neighbours

TARGETS = {1: 0.025, 1000: 2.5}
"""Seconds for so many queries at 44,000 x 1,024 on two quiet cores."""

TOP = 10

Call = Callable[[], Any]


def loop(points: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Search as people write it: a full sort of the distances, a query at a time."""
    return np.stack([np.argsort(np.linalg.norm(points - query, axis=1))[:TOP] for query in queries])


def contestants(points: np.ndarray, mapped: np.ndarray, queries: np.ndarray) -> dict[str, tuple[Call, float]]:
    """Return each contestant as a function, and by how much its time is multiplied."""
    norms = neighbours.squared_norms_of(points)
    brute = NearestNeighbors(n_neighbors=TOP, algorithm="brute").fit(points)
    few = queries[:2]
    return {
        "ours": (lambda: neighbours.nearest(points, queries, TOP, squared_norms=norms)[0], 1),
        "ours, on disk": (lambda: neighbours.nearest(mapped, queries, TOP, squared_norms=norms)[0], 1),
        "product": (lambda: product(points, queries), 1),
        "scikit-learn": (lambda: brute.kneighbors(queries, return_distance=False), 1),
        "NumPy loop": (lambda: loop(points, few), len(queries) / len(few)),
    }


def product(points: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Multiply, in the chunks of the search, and keep the last chunk alone."""
    found, step = np.empty(0), min(neighbours.POINTS, neighbours.SCORES // len(queries))
    for start in range(0, len(points), step):
        found = queries @ points[start : start + step].T
    return found


def measure(calls: dict[str, tuple[Call, float]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each contestant in each round; their order turns round by round."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, (call, factor) in list(calls.items())[:: 1 if number % 2 else -1]:
            start = time.perf_counter()
            call()
            # The first round warms up.
            if number:
                seconds[name].append((time.perf_counter() - start) * factor)
    return seconds


def compare(answers: dict[str, np.ndarray]) -> str:
    """Say what share of the answers of the others is ours."""
    ours = answers.pop("ours")
    return ", ".join(f"{name} {np.mean(ours[: len(rows)] == rows):.4f}" for name, rows in answers.items())


def show_approximate(points: np.ndarray, queries: np.ndarray) -> None:
    """Print build time, time a query and recall of faiss at several efforts."""
    exact = neighbours.nearest(points, queries, TOP)[0]
    for kind in approximate_neighbours.KINDS:
        start = time.perf_counter()
        index = approximate_neighbours.build(points, kind=kind)
        built = time.perf_counter() - start
        for effort in (32, 64, 128):
            start = time.perf_counter()
            rows = approximate_neighbours.nearest(points, queries, TOP, index=index, effort=effort)[0]
            taken = (time.perf_counter() - start) / len(queries) * 1000
            recall = np.mean([len(set(one) & set(other)) / TOP for one, other in zip(rows, exact, strict=True)])
            print(
                f"faiss {kind}, effort {effort:3}: built in {built:.1f} s, {taken:.2f} ms a query, recall {recall:.3f}"
            )


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=44_000, help="points (default: 44000)")
    parser.add_argument("--channels", type=int, default=1024, help="channels (default: 1024)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds (default: 7)")
    parser.add_argument("--descriptors", type=Path, help="block*.npy to search instead of noise, with --approximate")
    parser.add_argument("--approximate", action="store_true", help="measure faiss as well")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    points = random.random((options.points, options.channels), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "points.npy"
        np.save(path, points)
        mapped = np.load(path, mmap_mode="r")
        print(f"{len(points):,} x {options.channels:,} float32, the {TOP} nearest; {os.cpu_count()} cores, ", end="")
        print(f"load {os.getloadavg()[0]:.1f}; medians of {options.rounds} rounds")
        for count, target in TARGETS.items():
            queries = random.random((count, options.channels), dtype=np.float32)
            calls = contestants(points, mapped, queries)
            print(f"\n{count:,} queries, target {target:g} s: share of equal answers: ", end="")
            print(compare({name: call() for name, (call, _) in calls.items() if name != "product"}))
            seconds = measure(calls, options.rounds)
            print(f"{'':16} {'median s':>10} {'best s':>10} {'x ours':>8}")
            for name, taken in seconds.items():
                ratio = statistics.median(one / ours for one, ours in zip(taken, seconds["ours"], strict=True))
                print(f"{name:16} {statistics.median(taken):10.4f} {min(taken):10.4f} {ratio:8.2f}", flush=True)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")
    if options.approximate:
        found = np.load(options.descriptors) if options.descriptors else points
        show_approximate(found[: -min(300, len(found) // 4)], found[-min(300, len(found) // 4) :])


if __name__ == "__main__":
    main()
