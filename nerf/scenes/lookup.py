"""Find the files that a scene's files name, also where the names come from another machine.

Names are relative to the scene folder. A file that is there under exactly its name is taken. Otherwise a name is read
as other systems and tools write it: backslashes for slashes, an absolute path of which the scene folder holds the last
parts, letters in the other case, accents composed or decomposed (NFC, NFD), another extension or none. Nothing outside
the scene folder is ever opened, and what fits more than one file is refused.
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
DRIVE = r"^[A-Za-z]:"
MAX_PARTS = 32  # folders of a path that are looked for
Report = Callable[[str, str, str], None]


class Kind(NamedTuple):
    """Describe what a name stands for: the extensions that such files have, and the folders that tools put them in."""

    endings: tuple[str, ...]
    folders: tuple[str, ...] = ()


IMAGE = Kind((*PHOTOS, ".exr"), ("images", "input", "image", "rgb", "resized_images"))
MASK = Kind((*PHOTOS, ".exr"), ("masks", "mask"))
DEPTH = Kind((".png", ".exr", ".npy"), ("depth", "depths"))
POINTS = Kind((".ply",))


class Finder:
    """Find files by name within one scene folder; folders are listed once.

    Args:
      root: the scene folder.
      tally: told which names were not found as they are written.
    """

    def __init__(self, root: Path, tally: Tally):
        self.root, self.tally = root, tally
        self._home = root.resolve()
        self._listings: dict[Path, dict[str, list[str]]] = {}

    def locate(
        self, name: Any, report: Report, key: str = "file_path", kind: Kind = IMAGE
    ) -> tuple[str, Path | None]:
        """Return a file's name relative to the scene folder, and the file, which may be missing.

        Args:
          name: what the entry `key` of a file of the scene says.
          report: told what is wrong with the entry.
          key: the entry, for the report.
          kind: which files may be meant.

        Returns:
          The name to show, without an extension where the entry has none, and the path; None for a path that may not
          be opened.
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
            there = os.path.lexists(path)
        except (
            OSError,
            ValueError,
            RuntimeError,
        ) as error:  # too long, NUL, a lone surrogate, a loop of links
            report(key, f"{name!r} cannot be a file ({error})", "correct the path")
            return name, None
        candidates = self._search(name, kind)
        if len(candidates) > 1:
            shown = ", ".join(candidates[:3])
            report(
                key,
                f"{name!r} fits {len(candidates)} files ({shown})",
                "write the one that is meant",
            )
            return name, None
        if candidates:
            found = candidates[0]
            inside = (self.root / found).resolve().is_relative_to(self._home)
            relative, path = (
                Path(self._shown(name, found, ".." in relative.parts)),
                self.root / found,
            )
        elif (
            not there and PurePosixPath(name).is_absolute()
        ):  # of another machine, and missing like any other file
            return name, self.root / PurePosixPath(name).name
        if not inside:
            report(key, f"{name!r} lies outside the scene folder", "move the file into the folder")
            return name, None
        return relative.as_posix(), path

    def _shown(self, name: str, found: str, outside: bool) -> str:
        """Return the name of a file that was found under another one, and count it unless it differs in form only."""
        written = "/".join(_parts(name))
        if not outside and (found == written or found.startswith(f"{written}.")):
            return written  # an entry may leave out the extension, as many tools do
        self.tally.add("not found as written, read from the scene folder", f"{name} as {found}")
        return found

    def _search(self, name: str, kind: Kind) -> list[str]:
        """Return the files that the longest possible end of a path fits."""
        parts = _parts(name)[-MAX_PARTS:]
        for start in range(len(parts)):
            if found := self._match("", parts[start:], kind):
                return found
        elsewhere = len(parts) == 1 or PurePosixPath(name).is_absolute() or re.match(DRIVE, name)
        for folder in kind.folders if elsewhere else ():
            if parts and (found := self._match("", [folder, parts[-1]], kind)):
                return found
        return []

    def find(self, folder: str, name: str, kind: Kind = IMAGE) -> list[str]:
        """Return the files within one folder of the scene that a name fits, relative to the scene folder."""
        parts = _parts(name)[-MAX_PARTS:]
        return self._match(f"{folder}/", parts, kind) if parts else []

    def _match(self, folder: str, parts: list[str], kind: Kind) -> list[str]:
        """Return the files in a folder that fit the parts of a path, relative to the scene folder."""
        first, *rest = parts
        if not rest:
            return [f"{folder}{entry}" for entry in self._files(folder, first, kind)]
        listing = self._listing(folder).get(_fold(first), [])
        names = [first] if first in listing else listing
        return [found for entry in names for found in self._match(f"{folder}{entry}/", rest, kind)]

    def _files(self, folder: str, name: str, kind: Kind) -> list[str]:
        """Return the names in a folder that fit best: the same, but for case, or but for the extension."""
        listing = self._listing(folder)
        folded = _fold(name)
        same = [entry for entry in listing.get(folded, []) if self._is_file(folder, entry)]
        if same:
            return [name] if name in same else same
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
        """Return the names in a folder by their folded form; none for a folder that is not there or lies outside."""
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
    """Return a name as it is compared: slashes, without extension, in one case and one form of accents."""
    whole = "/".join(_parts(name))
    stem, dot, ending = whole.rpartition(".")
    return _fold(stem if f"{dot}{ending}".lower() in IMAGE.endings else whole)


def _parts(name: str) -> list[str]:
    """Split a path of any system into its folders and its file, without a drive, `.` and what `..` takes back."""
    parts: list[str] = []
    for part in re.sub(DRIVE, "", name).replace("\\", "/").split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return parts


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
