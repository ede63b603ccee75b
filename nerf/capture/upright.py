"""Copy photos so that their pixels are stored the way they are to be seen.

Phones store a portrait photo lying on its side and note in its EXIF how to turn it. Poses are estimated for stored
pixels, so a scene made of such photos would lie on its side. `capture.py` makes these files, no poses exist for them
yet, and so this is the one place of the project that turns pixels.
"""

import os
import shutil
from pathlib import Path

from PIL import ExifTags, Image, ImageOps, features

from nerf.foundation.files import replacing
from nerf.scenes.decode import AVIF_SUFFIXES, FORMATS, HEIF_SUFFIXES, open_image

JPEG_QUALITY = (
    97  # with full chroma resolution: encoding again costs less than half a level on average
)
PANORAMA_ASPECT = 2.5  # wider pictures were stitched, no single lens takes them
SAME_TIME = 2.0  # seconds by which file systems round the times of files
UPRIGHT = 1  # EXIF's value for pixels that are stored as they are to be seen


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
    """Return the EXIF of an open image, empty where there is none or where it is damaged."""
    try:
        return image.getexif()
    except Exception:  # the parser raises anything on damaged data
        return Image.Exif()


def is_turned(image: Image.Image) -> bool:
    """Return whether the EXIF says that stored pixels must be turned or mirrored to be seen."""
    return read_exif(image).get(ExifTags.Base.Orientation, UPRIGHT) in range(2, 9)


def is_panorama(image: Image.Image) -> bool:
    """Return whether a picture was stitched from several, by its shape or its XMP."""
    long, short = max(image.size), min(image.size)
    xmp = image.info.get("xmp", b"")
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    return long > PANORAMA_ASPECT * short or b"GPano:ProjectionType" in xmp


def upright_name(name: str) -> str:
    """Return the name under which a photo is stored: HEIC and AVIF become JPEG, everything else keeps its type."""
    path = Path(name)
    return (
        path.with_suffix(".jpg").as_posix()
        if path.suffix.lower() in (*HEIF_SUFFIXES, *AVIF_SUFFIXES)
        else name
    )


def copy_upright(file: Path, target: Path) -> bool:
    """Copy a photo to `target`, turned upright where its EXIF asks for it; return whether it was turned.

    Other photos are copied byte for byte. A photo that was copied before is not copied again: a copy has the time of
    its original.
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
    if not target.is_file():
        return False
    old, new = file.stat(), target.stat()
    return abs(old.st_mtime - new.st_mtime) < SAME_TIME and (any_size or old.st_size == new.st_size)


def _save_upright(image: Image.Image, target: Path) -> None:
    """Write the turned pixels; camera and lens in the EXIF and the colour profile are kept."""
    upright = ImageOps.exif_transpose(image)
    exif = read_exif(upright)
    exif[ExifTags.Base.Orientation] = UPRIGHT
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
