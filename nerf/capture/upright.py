"""Copy photos so that their pixels are stored upright.

Phones store a portrait photo rotated and note the rotation in its EXIF. Poses are estimated for
stored pixels, so a scene of such photos would lie on its side. No poses exist yet for the images
that `nerf capture` writes; therefore this is the only module of the project that rotates pixels.
"""

import os
import shutil
from pathlib import Path

from PIL import ExifTags, Image, ImageOps, features

from nerf.foundation.files import replacing
from nerf.scenes.decode import AVIF_SUFFIXES, FORMATS, HEIF_SUFFIXES, open_image

# With full chroma resolution, encoding again changes pixels by less than half a level on average.
JPEG_QUALITY = 97
PANORAMA_ASPECT = 2.5  # wider pictures were stitched, so they have no single lens
MAX_TIME_DIFFERENCE = 2.0  # seconds; file systems round the times of files
UPRIGHT_ORIENTATION = 1  # EXIF's value for pixels that are stored upright


def can_read_heif() -> bool:
    """Return whether HEIC photos can be read."""
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        return False
    return True


def can_read_avif() -> bool:
    """Return whether AVIF photos can be read."""
    return bool(features.check("avif"))


def read_exif(image: Image.Image) -> Image.Exif:
    """Return the EXIF of an open image, empty if it is missing or damaged."""
    try:
        return image.getexif()
    except Exception:  # the parser raises anything on damaged data
        return Image.Exif()


def is_turned(image: Image.Image) -> bool:
    """Return whether the EXIF says that the pixels are stored rotated or mirrored."""
    return read_exif(image).get(ExifTags.Base.Orientation, UPRIGHT_ORIENTATION) in range(2, 9)


def is_panorama(image: Image.Image) -> bool:
    """Return whether a picture was stitched, judging by its aspect ratio and its XMP."""
    long, short = max(image.size), min(image.size)
    xmp = image.info.get("xmp", b"")
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    return long > PANORAMA_ASPECT * short or b"GPano:ProjectionType" in xmp


def upright_name(name: str) -> str:
    """Return the name of a photo's copy: HEIC and AVIF become JPEG, other types stay."""
    path = Path(name)
    if path.suffix.lower() in (*HEIF_SUFFIXES, *AVIF_SUFFIXES):
        return path.with_suffix(".jpg").as_posix()
    return name


def copy_upright(file: Path, target: Path) -> bool:
    """Copy a photo and turn it upright if its EXIF says so.

    Other photos are copied byte for byte, except types that become JPEG. A copy gets the
    modification time of its original, so a photo that was copied before is not copied again.

    Args:
      file: the photo.
      target: the file to write.

    Returns:
      Whether the photo was turned.
    """
    with open_image(file) as image:
        turned = is_turned(image)
        encoded = turned or image.format not in FORMATS
        if _is_copied(file, target, any_size=encoded):
            return turned
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            if encoded:
                _save_upright(image, temporary)
            else:
                shutil.copyfile(file, temporary)
            times = file.stat()
            os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))
    return turned


def _is_copied(file: Path, target: Path, any_size: bool) -> bool:
    """Return whether `target` is a copy of `file`, by its time and, unless `any_size`, its size."""
    if not target.is_file():
        return False
    old, new = file.stat(), target.stat()
    return abs(old.st_mtime - new.st_mtime) < MAX_TIME_DIFFERENCE and (
        any_size or old.st_size == new.st_size
    )


def _save_upright(image: Image.Image, target: Path) -> None:
    """Write the image upright, with its colour profile and its EXIF (camera and lens)."""
    upright = ImageOps.exif_transpose(image)
    exif = read_exif(upright)
    exif[ExifTags.Base.Orientation] = UPRIGHT_ORIENTATION
    details = exif.get_ifd(ExifTags.IFD.Exif)
    for tag, side in (
        (ExifTags.Base.ExifImageWidth, upright.width),
        (ExifTags.Base.ExifImageHeight, upright.height),
    ):
        if tag in details:
            details[tag] = side
    kept = {"exif": exif.tobytes(), "icc_profile": image.info.get("icc_profile")}
    kind = image.format if image.format in ("PNG", "WEBP") else "JPEG"
    if kind == "JPEG":
        opaque = upright if upright.mode in ("L", "RGB", "CMYK") else upright.convert("RGB")
        opaque.save(target, kind, quality=JPEG_QUALITY, subsampling=0, **kept)
    else:
        upright.save(target, kind, lossless=True, **kept)
