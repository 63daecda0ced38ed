"""Progress bars: shown on a terminal after two seconds, silent everywhere else."""

from tqdm import tqdm


def bar(*, total: int, done: int = 0, unit: str, description: str) -> tqdm:
    """Make a progress bar with rate and time left.

    Args:
        total: Number of units of the whole job.
        done: Units that an earlier, interrupted run has finished; they do not count in the rate.
        unit: What is counted, such as "image".
        description: The stage's name.

    Returns:
        A bar to use as a context manager; call `update(n)` on it.
    """
    return tqdm(
        total=total,
        initial=done,
        unit=unit,
        desc=description,
        disable=None,
        delay=2,
        dynamic_ncols=True,
        smoothing=0.1,
    )
