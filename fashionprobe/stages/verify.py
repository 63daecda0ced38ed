"""Stage `verify`: are the files of an artifact still what was written?"""

import logging
from dataclasses import dataclass
from pathlib import Path

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import MANIFEST, Artifact, changed_files, read_manifest
from fashionprobe.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        path: The artifact.
        files: Number of files that are as they were written.
    """

    path: Path
    files: int


@shared.stage
def verify(*, path: str) -> Verification:
    """Check the files of an artifact against its manifest.

    The checksums of its files are computed again.

    Args:
        path: Folder of the artifact, such as tfrecords/colour or runs/colour/extract.

    Returns:
        The number of files that are unchanged.

    Raises:
        UserError: If there is no artifact, or a file is missing or changed.

    Example:
        fashionprobe verify --path runs/colour/extract
    """
    folder = Path(path)
    artifact = Artifact(folder, read_manifest(folder, remedy=_remedy(path)))
    changed = changed_files(artifact)
    if changed:
        raise UserError(
            str(folder), expected="as the stage wrote it", received=f"missing or changed: {', '.join(changed)}",
            remedy=f"Make it again: fashionprobe {artifact.manifest['stage']} with --overwrite.",
        )  # fmt: skip
    log.info("%s: %d files are as they were written", folder, len(artifact.manifest["files"]))
    return Verification(folder, len(artifact.manifest["files"]))


def _remedy(name: str) -> str:
    """Say which folder is meant by the name of a record set or of a run."""
    roots = [Path("tfrecords") / name, *sorted((Path("runs") / name).glob("*/"))]
    there = [str(folder) for folder in roots if (folder / MANIFEST).is_file()]
    return f"Did you mean {' or '.join(there)}?" if there else "Name a folder that a stage wrote, as tfrecords/NAME."
