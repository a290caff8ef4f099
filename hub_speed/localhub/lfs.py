"""Large files: content by sha256, in a folder that all repos share.

Two repos with the same file keep it once. A file is on disk, complete and checked, before a commit can name it.
"""

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from hub_speed.localhub.disk import Scratch, locked
from hub_speed.localhub.errors import bad_request

SHA256 = re.compile(r"[0-9a-f]{64}")


class LargeFiles:
    """The large files of a store."""

    def __init__(self, root: Path, scratch: Scratch):
        self.root = root
        self._lock = root.parent / "lfs.lock"
        self.scratch = scratch

    def path(self, sha256: str) -> Path:
        """The path of an object, whether it is there or not.

        Raises:
            HttpRefusal: 400 when `sha256` is not 64 lower-case hex digits.
        """
        if not SHA256.fullmatch(sha256):
            raise bad_request("Invalid object id: expected the 64 hex digits of a sha256")
        return self.root / sha256[:2] / sha256[2:4] / sha256

    def size(self, sha256: str) -> int | None:
        """The length of an object in bytes; None when it is not there."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def keep(self, sha256: str) -> int | None:
        """The length of an object that a commit is about to name, None when it is not there.

        From now on it counts as new, so that `drop` leaves it alone until the commit is made.
        """
        path = self.path(sha256)
        with locked(self._lock):
            try:
                os.utime(path)
            except FileNotFoundError:
                return None
            return path.stat().st_size

    def drop(self, sha256: str, used_before: float) -> bool:
        """Remove an object, unless it was stored or kept at or after a time; returns whether it was removed."""
        path = self.path(sha256)
        with locked(self._lock):
            if path.stat().st_mtime >= used_before:
                return False
            path.unlink()
            return True

    def delete(self, sha256: str) -> None:
        """Remove an object for good."""
        self.path(sha256).unlink(missing_ok=True)

    def receive(self, sha256: str, size: int, pieces: Iterable[bytes]) -> None:
        """Store an object and check its hash while it arrives.

        Raises:
            HttpRefusal: 400 when the content does not match `sha256` and `size`; nothing is stored then.
        """
        digest, received = hashlib.sha256(), 0
        with self.scratch.replacing(self.path(sha256)) as file:
            for piece in pieces:
                digest.update(piece)
                received += len(piece)
                file.write(piece)
            if (digest.hexdigest(), received) != (sha256, size):
                raise bad_request(
                    f"Upload of {sha256[:12]}: expected {size} bytes with this sha256, "
                    f"got {received} bytes with {digest.hexdigest()[:12]}; upload it again"
                )
