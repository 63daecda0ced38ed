"""Weak segmentation: a heatmap says where an object is, the edges of the image say where it ends."""

import numpy as np

from fashionprobe.errors import UserError

BETA = 90.0
"""How hard it is to walk over an edge, the free parameter of the random walker at its author's value."""


def segment(image: np.ndarray, heatmap: np.ndarray, *, inside: float = 0.6, outside: float = 0.15) -> np.ndarray:
    """Cut out what a heatmap points at, by a random walker on the image.

    Seeds of the object are the pixels where the heatmap is at least `inside`, seeds of the ground those where it is at
    most `outside`. A pixel between them is of the object if a walk from there, from neighbour to neighbour with the
    weight exp(-90 d^2 / max d^2), d the distance of their colours, is likelier to end at the object first.

    Args:
        image: uint8 or float (height, width, channels), RGB.
        heatmap: float (height, width) in [0, 1], as `heatmaps.heatmap` returns it.
        inside: The least relevance of the object's seeds, in (outside, 1].
        outside: The greatest relevance of the ground's seeds, in [0, inside).

    Returns:
        bool (height, width): the object. Without seeds of one kind all is of the other.

    Raises:
        UserError: If the two are not one image and one heatmap of its size, or the seeds overlap.

    Reference:
        Grady, Random Walks for Image Segmentation, TPAMI 2006.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import spsolve

    if image.ndim != 3 or heatmap.shape != image.shape[:2]:
        raise UserError(
            "heatmap", expected="one heatmap (height, width) of one image (height, width, 3)",
            received=f"{list(heatmap.shape)} and {list(image.shape)}",
        )  # fmt: skip
    if not 0 <= outside < inside <= 1:
        raise UserError("inside", expected=f"a number in ({outside}, 1], above `outside`", received=inside)
    found, ground = heatmap >= inside, heatmap <= outside
    between = ~(found | ground)
    if not found.any() or not ground.any() or not between.any():
        return found if found.any() and ground.any() else np.full(heatmap.shape, found.any())
    pixels, number = image.astype(np.float64), np.arange(heatmap.size).reshape(heatmap.shape)
    ends = [(number[:, :-1], number[:, 1:]), (number[:-1], number[1:])]
    squares = [((pixels[:, 1:] - pixels[:, :-1]) ** 2).sum(-1), ((pixels[1:] - pixels[:-1]) ** 2).sum(-1)]
    one, other = (np.concatenate([pair[side].ravel() for pair in ends]) for side in (0, 1))
    square = np.concatenate([each.ravel() for each in squares])
    # A trace of weight keeps the system solvable where an edge goes all around.
    weights = np.exp(-BETA * square / max(square.max(), 1e-12)) + 1e-6
    rows, columns = np.concatenate([one, other]), np.concatenate([other, one])
    neighbours = coo_array((np.tile(weights, 2), (rows, columns)), shape=(heatmap.size, heatmap.size)).tocsr()
    free, seeds = between.ravel(), found.ravel()
    laplacian = coo_array(
        (neighbours.sum(axis=1), (np.arange(heatmap.size),) * 2), shape=neighbours.shape
    ).tocsr() - neighbours  # fmt: skip
    chance = spsolve(laplacian[free][:, free].tocsc(), neighbours[free][:, seeds].sum(axis=1))
    result = found.copy()
    result[between] = chance > 0.5
    return result
