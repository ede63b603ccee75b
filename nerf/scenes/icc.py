"""Convert pictures to sRGB by their embedded ICC profiles.

The intent is relative colorimetric with black point compensation: colours that sRGB can show are
exact, and the others are clipped. A perceptual table would change all colours, in a way that
depends on the profile.
"""

import functools
import io
import struct

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms

from nerf.scenes.colour import (
    MAX_SRGB_ERROR,
    ColourSpace,
    Curve,
    ImageError,
    gamma,
    matrix_from_pcs,
)

_MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}  # Pillow's mode of a profile's space


def unusable_profile(name: str, reason: object) -> ImageError:
    """Return the error for a profile that cannot be used."""
    reason = str(reason).strip() or "unknown kind"
    fix = "save it as sRGB, or remove the profile (exiftool -icc_profile= FILE)"
    return ImageError(f"its colour profile {name!r} cannot be used ({reason})", fix)


def convert_with_profile(image: Image.Image, profile: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """Convert an 8-bit picture to sRGB by its ICC profile; transparency is ignored.

    Raises:
      ImageError: the profile cannot be used for the picture; the message names it.
    """
    mode, transform, name = _transform(profile)
    stored = {"CMYK": "CMYK", "1": "L", "L": "L", "LA": "L"}.get(image.mode, "RGB")
    # A grey picture may have an RGB profile. Any other mismatch makes its values meaningless.
    if stored != mode and not (stored == "L" and mode == "RGB"):
        raise unusable_profile(
            name, f"made for {mode.replace('L', 'grey')}, but the picture is {stored}"
        )
    if transform is None:
        return np.asarray(image.convert("RGB"))
    return np.asarray(ImageCms.applyTransform(image.convert(mode), transform))


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None, str]:
    """Build the conversion of a profile to sRGB.

    Returns:
      Pillow's mode for the profile, the transform (None for sRGB itself), and the profile's name.

    Raises:
      ImageError: the profile cannot be used.
    """
    name = f"of {len(profile)} bytes"
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = (opened.profile.profile_description or name).strip()
        mode = _MODES[opened.profile.xcolor_space.strip()]
        srgb = ImageCms.createProfile("sRGB")
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        transform = ImageCms.buildTransform(opened, srgb, mode, "RGB", intent, flags)
    except KeyError as error:
        raise unusable_profile(name, f"colour space {error}") from error
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError) as error:
        raise unusable_profile(name, error) from error
    return mode, None if _changes_nothing(transform, mode) else transform, name


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Return whether a transform is that of sRGB itself.

    The test converts sample colours, since programs embed many versions of sRGB's profile.
    """
    if mode == "CMYK":
        return False
    if mode == "L":
        stored = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, -1)
    else:
        steps = np.linspace(0, 255, 18).astype(np.uint8)
        stored = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    converted = ImageCms.applyTransform(Image.fromarray(stored).convert(mode), transform)
    return int(np.abs(np.asarray(converted).astype(int) - stored).max()) <= MAX_SRGB_ERROR


def from_icc(profile: bytes) -> ColourSpace:
    """Return the colour space of an ICC profile of curves and a matrix.

    It is for 16-bit pixels, since Pillow's conversions are limited to 8 bits.

    Raises:
      ImageError: the profile cannot be used; the message names it.
    """
    name = _transform(profile)[2]
    try:
        return _from_tags(_tags(profile))
    except (struct.error, KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise unusable_profile(name, f"{error}; 8 bits per channel may work") from error


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """Return the contents of a profile's tags by name (ICC.1:2022, 7.3)."""
    count = struct.unpack_from(">I", profile, 128)[0]
    entries = [struct.unpack_from(">4sII", profile, 132 + 12 * i) for i in range(count)]
    return {key: profile[start : start + length] for key, start, length in entries}


def _from_tags(tags: dict[bytes, bytes]) -> ColourSpace:
    """Return the colour space of a profile's tags; tables are not supported."""
    if b"kTRC" in tags:
        return ColourSpace((_icc_curve(tags[b"kTRC"]),) * 3, np.eye(3))
    if b"A2B0" in tags or b"rTRC" not in tags:
        raise ValueError("tables instead of curves, for 16 bits")
    curves = (_icc_curve(tags[b"rTRC"]), _icc_curve(tags[b"gTRC"]), _icc_curve(tags[b"bTRC"]))
    colorants = [struct.unpack_from(">3i", tags[key], 8) for key in (b"rXYZ", b"gXYZ", b"bXYZ")]
    # The profile's columns are already adapted to D50.
    return ColourSpace(curves, matrix_from_pcs() @ (np.array(colorants).T / 65536))


def _icc_curve(tag: bytes) -> Curve:
    """Return the curve of a tag of type `curv` or `para` (ICC.1:2022, 10.6 and 10.18)."""
    # `curv`: no value is the identity, one value an exponent, more are a table.
    if tag[:4] == b"curv":
        values = np.frombuffer(tag, ">u2", struct.unpack_from(">I", tag, 8)[0], 12).astype(
            np.float64
        )
        if len(values) == 0:
            return lambda x: x
        if len(values) == 1:
            return gamma(values[0] / 256)
        return lambda x: np.interp(x, np.linspace(0.0, 1.0, len(values)), values / 65535)
    # `para`: a function number and its parameters.
    kind = struct.unpack_from(">H", tag, 8)[0]
    numbers = [n / 65536 for n in struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", tag, 12)]
    if kind == 0:
        return gamma(numbers[0])
    g, a, b, *rest = numbers
    # All other functions are y = (a x + b)^g + e for x >= d, and c x + f below.
    c, d, e, f = {
        1: lambda: (0.0, -b / a, 0.0, 0.0),
        2: lambda: (0.0, -b / a, rest[0], rest[0]),
        3: lambda: (rest[0], rest[1], 0.0, 0.0),
        4: lambda: (rest[0], rest[1], rest[2], rest[3]),
    }[kind]()
    return lambda x: np.where(x >= d, np.maximum(a * x + b, 0.0) ** g + e, c * x + f)
