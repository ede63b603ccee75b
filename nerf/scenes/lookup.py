"""Find the files that a scene refers to, even if the paths come from another machine.

Paths are relative to the scene folder. A file that exists under its exact name is used. Otherwise a
path is matched as other systems and tools may write it: backslashes instead of slashes, an absolute
path whose last parts exist in the scene folder, different case, accents composed or decomposed (NFC
or NFD), another extension or none. Files outside the scene folder are never opened, and a path that
matches more than one file is an error.
"""

import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from nerf.scenes.decode import AVIF_SUFFIXES, HEIF_SUFFIXES
from nerf.scenes.tally import Tally

PHOTOS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", *HEIF_SUFFIXES, *AVIF_SUFFIXES)
WINDOWS_DRIVE = r"^[A-Za-z]:"
MAX_PARTS = 32  # last parts of a path that are searched for
# Called with (key of the entry, what is wrong with it, how to fix it).
Report = Callable[[str, str, str], None]


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
      endings: extensions of such files, lower-case.
      folders: folders in which tools store them, relative to the scene folder.
    """

    endings: tuple[str, ...]
    folders: tuple[str, ...] = ()


IMAGE = Kind((*PHOTOS, ".exr"), ("images", "input", "image", "rgb", "resized_images"))
MASK = Kind((*PHOTOS, ".exr"), ("masks", "mask"))
DEPTH = Kind((".png", ".exr", ".npy"), ("depth", "depths"))
NUMBERS = Kind((".png", ".npy"), ("labels", "semantics", "instances"))  # of pixels
POINTS = Kind((".ply",))


class Finder:
    """Finds files by name inside one scene folder; caches folder listings.

    Args:
      root: the scene folder.
      tally: counts names that are not found as they are written.
    """

    def __init__(self, root: Path, tally: Tally):
        self.root, self.tally = root, tally
        self._home = root.resolve()
        self._listings: dict[Path, dict[str, list[str]]] = {}

    def locate(
        self, name: Any, report: Report, key: str = "file_path", kind: Kind = IMAGE
    ) -> tuple[str, Path | None]:
        """Return the name and path of a file that an entry refers to.

        Args:
          name: value of the entry.
          report: called for each problem with the entry.
          key: name of the entry, for the report.
          kind: kind of file that the entry refers to.

        Returns:
          The file's name relative to the scene folder (without extension if the entry has none) and
          its path. The file may not exist. The path is None if it must not be opened.
        """
        if not isinstance(name, str) or not name:
            report(key, "missing", "give its path, relative to the scene folder")
            return "", None
        try:
            relative = Path(os.path.relpath(self.root / name, self.root))
            path = self.root / relative
            inside = ".." not in relative.parts and path.resolve().is_relative_to(self._home)
            if inside and path.is_file():
                return relative.as_posix(), path
            exists = os.path.lexists(path)
        except (OSError, ValueError, RuntimeError) as error:
            # The name is too long, contains NUL or a lone surrogate, or links form a loop.
            report(key, f"{name!r} is not a valid path ({error})", "correct the path")
            return name, None
        candidates = self._search(name, kind)
        if len(candidates) > 1:
            shown = ", ".join(candidates[:3])
            reason = f"{name!r} matches {len(candidates)} files ({shown})"
            report(key, reason, "write the exact name of one of them")
            return name, None
        if candidates:
            found = candidates[0]
            inside = (self.root / found).resolve().is_relative_to(self._home)
            shown = self._shown(name, found, ".." in relative.parts)
            relative, path = Path(shown), self.root / found
        elif not exists and PurePosixPath(name).is_absolute():
            # A path of another machine: the caller reports it like any other missing file.
            return name, self.root / PurePosixPath(name).name
        if not inside:
            report(key, f"{name!r} lies outside the scene folder", "move the file into the folder")
            return name, None
        return relative.as_posix(), path

    def _shown(self, name: str, found: str, outside: bool) -> str:
        """Return the name to show for a file, and count it if it differs from the entry.

        A name that differs only in slashes or by a missing extension, which many tools omit, is not
        counted.
        """
        written = "/".join(_parts(name))
        if not outside and (found == written or found.startswith(f"{written}.")):
            return written
        self.tally.add("not found as written, read from the scene folder", f"{name} as {found}")
        return found

    def _search(self, name: str, kind: Kind) -> list[str]:
        """Return the files that match the longest possible tail of a path."""
        parts = _parts(name)[-MAX_PARTS:]
        for start in range(len(parts)):
            if found := self._match("", parts[start:], kind):
                return found
        # A bare file name, or a path of another machine, may be in one of the usual folders.
        absolute = PurePosixPath(name).is_absolute() or re.match(WINDOWS_DRIVE, name)
        elsewhere = len(parts) == 1 or absolute
        for folder in kind.folders if elsewhere else ():
            if parts and (found := self._match("", [folder, parts[-1]], kind)):
                return found
        return []

    def find(self, folder: str, name: str, kind: Kind = IMAGE) -> list[str]:
        """Return the files in one folder of the scene that match a name.

        Args:
          folder: the folder, relative to the scene folder.
          name: the name to match, relative to `folder`.
          kind: kind of file to find.

        Returns:
          Paths relative to the scene folder.
        """
        parts = _parts(name)[-MAX_PARTS:]
        return self._match(f"{folder}/", parts, kind) if parts else []

    def _match(self, folder: str, parts: list[str], kind: Kind) -> list[str]:
        """Return the files in a folder that match the parts of a path.

        `folder` and the results are relative to the scene folder; `folder` is empty or ends in "/".
        """
        first, *rest = parts
        if not rest:
            return [f"{folder}{entry}" for entry in self._files(folder, first, kind)]
        # Prefer the folder with the exact name; otherwise try all that differ in case or accents.
        listing = self._listing(folder).get(_fold(first), [])
        names = [first] if first in listing else listing
        return [found for entry in names for found in self._match(f"{folder}{entry}/", rest, kind)]

    def _files(self, folder: str, name: str, kind: Kind) -> list[str]:
        """Return the best matches for a name in a folder.

        An exact match is best, then one with different case, then one with another extension.
        """
        listing = self._listing(folder)
        folded = _fold(name)
        same = [entry for entry in listing.get(folded, []) if self._is_file(folder, entry)]
        if same:
            return [name] if name in same else same
        # Append each extension of this kind to the name, and then to the name without its own.
        stem, dot, ending = folded.rpartition(".")
        bare = stem if f"{dot}{ending}" in kind.endings else folded
        for start in dict.fromkeys((folded, bare)):
            found = [entry for end in kind.endings for entry in listing.get(f"{start}{end}", [])]
            if found := [entry for entry in found if self._is_file(folder, entry)]:
                return found
        return []

    def _is_file(self, folder: str, name: str) -> bool:
        try:
            return (self.root / folder / name).is_file()
        except OSError:
            return False

    def _listing(self, folder: str) -> dict[str, list[str]]:
        """Return the names in a folder by their folded form.

        The result is empty if the folder does not exist or lies outside the scene folder.
        """
        path = self.root / folder
        if path not in self._listings:
            names: dict[str, list[str]] = {}
            try:
                if path.resolve().is_relative_to(self._home):
                    for entry in sorted(os.listdir(path)):
                        names.setdefault(_fold(entry), []).append(entry)
            except (OSError, RuntimeError):
                names = {}
            self._listings[path] = names
        return self._listings[path]


def plain(name: str) -> str:
    """Return a name in normal form for comparison.

    It has slashes, no image extension, folded case and composed accents.
    """
    path = "/".join(_parts(name))
    stem, dot, ending = path.rpartition(".")
    return _fold(stem if f"{dot}{ending}".lower() in IMAGE.endings else path)


def _parts(name: str) -> list[str]:
    """Split a path of any system into its parts, without a drive and with `.` and `..` resolved."""
    parts: list[str] = []
    for part in re.sub(WINDOWS_DRIVE, "", name).replace("\\", "/").split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return parts


def _fold(name: str) -> str:
    """Return a name with composed accents and folded case."""
    return unicodedata.normalize("NFC", name).casefold()
