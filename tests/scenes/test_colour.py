"""Photos, videos and films look as in a colour-managed viewer: sRGB, with the right numbers."""

import json
import struct
import subprocess
import zlib
from types import SimpleNamespace

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, ImageCms, JpegImagePlugin, features

from nerf import scenes
from nerf.capture.mapping import CaptureError
from nerf.capture.video import extract_frames, parse_coding
from nerf.output import video
from nerf.scenes import colour, icc
from nerf.scenes.colour import PRIMARIES, ImageError, from_cicp, to_srgb
from nerf.scenes.decode import Header, check_header, decode, decode_stored
from nerf.scenes.frames import Frame, ReducedFrame
from nerf.scenes.images import undecodable
from nerf.scenes.maps import read_mask
from tests.scenes.test_scenes import matrix, ring

PATCHES = np.array(
    [
        [200, 40, 40],
        [40, 200, 40],
        [40, 40, 200],
        [200, 200, 40],
        [40, 200, 200],
        [200, 40, 200],
        [128, 128, 128],
        [220, 180, 150],
    ],
    np.uint8,
)
# Muted enough to lie in the gamut of every space below, so that a round trip can return them.
MUTED = np.array(
    [[160, 90, 80], [90, 150, 100], [80, 90, 160], [128, 128, 128], [220, 180, 150]], np.uint8
)
PIXELS = PATCHES[None]
HIGH = 40  # side of a patch in a video


def srgb_light(values):
    """sRGB values of 255 to linear light."""
    x = np.asarray(values, np.float64) / 255
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def in_primaries(values, code):
    """Linear light of sRGB values in the primaries of a code of H.273, whose white is D65."""
    return srgb_light(values) @ np.linalg.inv(colour.matrix_to_srgb(PRIMARIES[code])).T


@pytest.mark.parametrize("code", PRIMARIES)
def test_white_stays_white_whatever_the_primaries(code):
    np.testing.assert_allclose(colour.matrix_to_srgb(PRIMARIES[code]).sum(1), 1.0, atol=1e-9)


# ICC profiles, made by hand.


def fixed(*numbers):
    return struct.pack(f">{len(numbers)}i", *[round(n * 65536) for n in numbers])


def curve(*values):
    """A `curv` tag: nothing for the identity, a number for an exponent, else a table."""
    if len(values) == 1:
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(values[0] * 256))
    return (
        b"curv\0\0\0\0"
        + struct.pack(">I", len(values))
        + np.rint(np.array(values) * 65535).astype(">u2").tobytes()
    )


def parametric(kind, *numbers):
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + fixed(*numbers)


SRGB_CURVE = parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def profile(space, tags, name="made by hand"):
    """An ICC profile, version 2.1, with these tags."""
    description = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name.encode() + bytes(79)
    tags = {b"desc": description, b"wtpt": b"XYZ \0\0\0\0" + fixed(*colour.D50), **tags}
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for key, data in tags.items():
        table += struct.pack(">4sII", key, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(
        ">I4sI4s4s4s", start + len(body), b"none", 0x02100000, b"mntr", space, b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + fixed(*colour.D50)
    return head.ljust(128, b"\0") + table + body


def rgb_profile(code, tone, name="made by hand"):
    """A profile of the primaries of a code of H.273 and one curve."""
    colorants = np.linalg.inv(colour.matrix_from_pcs()) @ colour.matrix_to_srgb(PRIMARIES[code])
    tags = {
        key: b"XYZ \0\0\0\0" + fixed(*colorants[:, i])
        for i, key in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))
    }
    return profile(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), tone), name)


P3 = rgb_profile(12, SRGB_CURVE, "Display P3")
IN_P3 = np.rint(255 * colour.linear_to_srgb(in_primaries(PATCHES, 12))).astype(np.uint8)[None]


def save(path, pixels, **options):
    """Save 8-bit pixels so that they come back exactly, or nearly so for formats that lose some."""
    blocks = np.repeat(np.repeat(pixels, 16, 0), 16, 1)
    exact = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(
        path.suffix, {}
    )
    Image.fromarray(blocks).save(path, **exact, **options)
    return path


def read(path):
    """The colours of what `save` wrote, as they are decoded."""
    return decode(path)[8, 8::16].astype(int)


def png(pixels, *chunks):
    """A PNG of 8 or 16 bits, grey or RGB, with these chunks (name, data) before its pixels."""
    pixels = np.atleast_3d(pixels)
    bits, kind = 8 * pixels.dtype.itemsize, {1: 0, 3: 2}[pixels.shape[2]]
    rows = pixels.astype(pixels.dtype.newbyteorder(">"))
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], bits, kind, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts
    )


def iccp(data):
    return b"iCCP", b"name\0\0" + zlib.compress(data)


# Photos.


@pytest.mark.parametrize("suffix, largest", [(".jpg", 6), (".png", 1), (".webp", 1)])
def test_photos_in_display_p3_become_srgb(tmp_path, suffix, largest):
    error = np.abs(read(save(tmp_path / f"a{suffix}", IN_P3, icc_profile=P3)) - PATCHES)
    assert error.max() <= largest and error.mean() <= 1
    assert (
        np.abs(IN_P3.astype(int) - PATCHES).max() > 30
    )  # what a reader that ignores the profile is off by


@pytest.mark.parametrize(
    "tone", [SRGB_CURVE, curve(2.2), curve(*np.linspace(0, 1, 400) ** 1.8), parametric(0, 1.8)]
)
@pytest.mark.parametrize("code", [9, 12])
def test_sixteen_bits_agree_with_little_cms_in_eight(tone, code):
    data = rgb_profile(code, tone)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    with_cms = icc.convert_with_profile(Image.fromarray(pixels), data)
    by_hand = to_srgb(pixels.astype(np.uint16) * 257, icc.from_icc(data)) / 257
    assert np.abs(with_cms - by_hand).max() < 1.2 and np.abs(with_cms - by_hand).mean() < 0.3


@pytest.mark.parametrize(
    "kind, numbers", [(1, (2.0, 0.8, 0.2)), (2, (2.0, 0.7, 0.2, 0.1)), (0, (2.4,))]
)
@pytest.mark.parametrize("from_table", [True, False])
def test_curves_of_icc_are_read_by_their_formulas(kind, numbers, from_table):
    g, a, b, c = (*numbers, 1.0, 0.0, 0.0)[:4] if kind == 0 else (*numbers, 0.0)[:4]
    x = np.linspace(0, 1, 4097)
    expected = (a * x + b) ** g + c
    tag = curve(*expected) if from_table else parametric(kind, *numbers)
    np.testing.assert_allclose(icc._icc_curve(tag)(x), expected, atol=2e-4)
    np.testing.assert_array_equal(icc._icc_curve(curve())(x), x)


SRGB_TONES = [
    SRGB_CURVE,
    *(curve(*colour.srgb_to_linear(np.linspace(0, 1, n))) for n in (26, 1024)),
]


@pytest.mark.parametrize("tone", SRGB_TONES)
def test_pixels_with_a_profile_of_srgb_are_not_touched(tmp_path, tone):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    builtin = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for data in (rgb_profile(1, tone), builtin):
        Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=data)
        np.testing.assert_array_equal(decode(tmp_path / "a.png"), pixels)
    deep = pixels.astype(np.uint16) * 257 + (pixels < 200).astype(np.uint16)
    (tmp_path / "deep.png").write_bytes(png(deep, iccp(rgb_profile(1, tone))))
    np.testing.assert_array_equal(decode(tmp_path / "deep.png"), deep)


def test_pixels_of_sixteen_bits_with_a_profile_become_srgb(tmp_path):
    stored = np.rint(65535 * colour.linear_to_srgb(in_primaries(PATCHES, 12))).astype(np.uint16)[
        None
    ]
    (tmp_path / "a.png").write_bytes(png(stored, iccp(P3)))
    got = decode(tmp_path / "a.png")
    assert got.dtype == np.uint16 and np.abs(got[0] / 257 - PATCHES).max() < 0.1


def test_transparency_stays_as_it_is_and_palettes_and_greys_are_converted(tmp_path):
    alpha = np.array([[0, 1, 60, 128, 200, 254, 255, 255]], np.uint8)
    got = decode(save(tmp_path / "a.png", np.dstack([IN_P3, alpha]), icc_profile=P3))
    np.testing.assert_array_equal(got[8, 8::16, 3], alpha[0])
    assert np.abs(got[8, 8::16, :3].astype(int) - PATCHES).max() <= 1
    blocks = Image.fromarray(np.repeat(np.repeat(IN_P3, 16, 0), 16, 1))
    blocks.quantize(8, dither=Image.Dither.NONE).save(tmp_path / "p.png", icc_profile=P3)
    assert np.abs(read(tmp_path / "p.png") - PATCHES).max() <= 2
    # Grey with an exponent of 1.0 is linear; a profile of RGB leaves grey grey.
    grey = profile(b"GRAY", {b"kTRC": curve()})
    light = np.rint(255 * srgb_light([[90, 128, 200, 255]])).astype(np.uint8)
    got = read(save(tmp_path / "g.png", light, icc_profile=grey))
    assert np.abs(got - np.array([90, 128, 200, 255])[:, None]).max() <= 2
    (tmp_path / "deep.png").write_bytes(
        png(np.rint(65535 * srgb_light([[90, 128]])).astype(np.uint16), iccp(grey))
    )
    assert np.abs(decode(tmp_path / "deep.png")[0] / 257 - [[90] * 3, [128] * 3]).max() < 0.1
    got = read(save(tmp_path / "rgb.png", light, icc_profile=P3))
    np.testing.assert_allclose(got, np.repeat(light.T, 3, 1), atol=1)


def test_a_camera_set_to_adobe_rgb_is_believed(tmp_path):
    """Cameras mark it in EXIF alone."""
    light = srgb_light(PATCHES) @ np.linalg.inv(colour.matrix_to_srgb(colour.ADOBE_RGB)).T
    stored = np.rint(255 * light ** (256 / 563)).astype(np.uint8)[None]
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    assert np.abs(read(save(tmp_path / "a.jpg", stored, exif=exif)) - PATCHES).max() <= 4
    exif.get_ifd(0x8769)[0xA005] = {1: "R98"}  # sRGB
    assert np.abs(read(save(tmp_path / "b.jpg", PIXELS, exif=exif)) - PATCHES).max() <= 3


def chromaticities(code):
    xy = np.array(PRIMARIES[code]).reshape(4, 2)[[3, 0, 1, 2]]
    return b"cHRM", struct.pack(">8I", *np.rint(100000 * xy.ravel()).astype(int))


LINEAR_16 = np.rint(65535 * srgb_light(PIXELS)).astype(np.uint16)
HLG_SIGNAL = 12 * 0.264963 * in_primaries(PATCHES, 9)  # diffuse white at 75 %: scene light 0.264963
HLG_SIGNAL = np.where(
    HLG_SIGNAL <= 1,
    np.sqrt(HLG_SIGNAL) / 2,
    0.17883277 * np.log(np.maximum(HLG_SIGNAL, 1) - 0.28466892) + 0.55991073,
)
PQ_POWER = (203 / 10000 * in_primaries(PATCHES, 9)) ** (2610 / 16384)
PQ_SIGNAL = ((3424 / 4096 + 2413 / 128 * PQ_POWER) / (1 + 2392 / 128 * PQ_POWER)) ** (2523 / 32)


@pytest.mark.parametrize(
    "stored, chunks",
    [
        (LINEAR_16, [(b"gAMA", struct.pack(">I", 100000))]),
        (LINEAR_16, [(b"gAMA", struct.pack(">I", 100000)), chromaticities(1)]),
        (PIXELS, [(b"gAMA", struct.pack(">I", 45455)), chromaticities(1)]),
        (PIXELS, [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100000))]),
        (IN_P3, [chromaticities(12)]),
        (IN_P3, [(b"cICP", bytes([12, 13, 0, 1]))]),
        (IN_P3, [(b"cICP", bytes([12, 13, 0, 1])), iccp(rgb_profile(9, curve(2.2)))]),
        (IN_P3, [iccp(P3), (b"gAMA", struct.pack(">I", 100000))]),
        (np.rint(65535 * HLG_SIGNAL).astype(np.uint16)[None], [(b"cICP", bytes([9, 18, 0, 1]))]),
        (np.rint(65535 * PQ_SIGNAL).astype(np.uint16)[None], [(b"cICP", bytes([9, 16, 0, 1]))]),
    ],
)
def test_chunks_of_a_png_say_what_its_colours_are(tmp_path, stored, chunks):
    (tmp_path / "a.png").write_bytes(png(stored, *chunks))
    got = decode(tmp_path / "a.png")[0].astype(float) / (257 if stored.dtype == np.uint16 else 1)
    assert np.abs(got - PATCHES).max() <= 1.0


def test_exr_with_other_primaries_becomes_srgb(tmp_path):
    import OpenImageIO as oiio

    spec = oiio.ImageSpec(len(PATCHES), 1, 3, "float")
    spec.attribute("chromaticities", oiio.TypeDesc("float[8]"), tuple(PRIMARIES[12]))
    out = oiio.ImageOutput.create(str(tmp_path / "a.exr"))
    assert out.open(str(tmp_path / "a.exr"), spec)
    out.write_image(in_primaries(PATCHES, 12).astype(np.float32)[None])
    out.close()
    np.testing.assert_allclose(255 * decode(tmp_path / "a.exr")[0], PATCHES, atol=0.3)


# Photos whose colours cannot be converted.


CMYK = profile(b"CMYK", {}, "four inks")
BROKEN = {
    "garbage.png": lambda path: save(path, PIXELS, icc_profile=b"no profile" * 40),
    "four inks.png": lambda path: save(path, PIXELS, icc_profile=CMYK),
    "inks.jpg": lambda path: Image.new("CMYK", (8, 6), (9, 99, 0, 3)).save(path),
    "half.webp": lambda path: save(path, PIXELS, icc_profile=P3[:200]),
    "zlib.png": lambda path: path.write_bytes(png(PIXELS, (b"iCCP", b"my camera\0\0no zlib"))),
    "code.png": lambda path: path.write_bytes(png(PIXELS, (b"cICP", bytes([77, 13, 0, 1])))),
    "flat.png": lambda path: path.write_bytes(png(PIXELS, (b"cHRM", bytes(32)))),
    "deep.png": lambda path: path.write_bytes(png(LINEAR_16, iccp(CMYK))),
}


def test_profiles_that_cannot_be_used_are_named_all_at_once(tmp_path):
    for name, write in BROKEN.items():
        write(tmp_path / name)
    whole = save(tmp_path / "parts.jpg", PIXELS, icc_profile=P3).read_bytes()
    place = whole.index(b"ICC_PROFILE\0") + 12
    (tmp_path / "parts.jpg").write_bytes(
        whole[:place] + b"\1\2" + whole[place + 2 :]
    )  # one of two parts
    files = sorted(tmp_path.iterdir())
    said = {problem.file: problem for problem in undecodable(files, tmp_path)}
    assert set(said) == {*BROKEN, "parts.jpg"}
    assert all("sRGB" in problem.fix and "\n" not in str(problem) for problem in said.values())
    assert "CMYK" in said["inks.jpg"].reason
    assert "four inks" in said["four inks.png"].reason and "my camera" in said["zlib.png"].reason
    assert "77" in said["code.png"].reason and "parts" in said["parts.jpg"].reason


def test_masks_are_numbers_and_not_colours(tmp_path):
    """Neither a curve nor a damaged profile means anything for them."""
    mask = np.repeat(np.array([[0, 60, 140, 255]], np.uint8)[..., None], 3, -1)
    linear = (b"gAMA", struct.pack(">I", 100000))
    (tmp_path / "a.png").write_bytes(png(mask, linear))
    (tmp_path / "b.png").write_bytes(png(mask, (b"iCCP", b"x\0\0no zlib")))
    np.testing.assert_array_equal(decode_stored(tmp_path / "a.png"), mask)
    frame = Frame("", tmp_path / "a.png", Header((4, 1), False, np.uint8), *[np.eye(3, 4)] * 3)
    reduced = ReducedFrame(frame, 1, SimpleNamespace(size=(4, 1)), 1.0)
    for name in ("a.png", "b.png"):
        mask = read_mask(tmp_path / name, reduced)
        np.testing.assert_array_equal(mask, [[False, False, True, True]])
    assert (
        decode(tmp_path / "a.png")[0, 1, 0] > 120
    )  # as a photo, 60 of 255 in linear light is brighter


# HEIC and AVIF.

HEIC_START = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)


def test_heic_without_its_package_is_one_line_that_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    (tmp_path / "IMG_1.HEIC").write_bytes(HEIC_START)
    problem = check_header(tmp_path / "IMG_1.HEIC", "IMG_1.HEIC")[1]
    assert "pip install pillow-heif" in problem.fix and "HEIC" in problem.reason


def test_heic_photos_are_a_scene(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    (tmp_path / "images").mkdir()
    blocks = Image.fromarray(np.repeat(np.repeat(IN_P3, 32, 0), 32, 1))
    frames = []
    for i, pose in enumerate(ring(4)):
        blocks.save(tmp_path / f"images/{i}.heic", quality=100, chroma=444, icc_profile=P3)
        frames.append({"file_path": f"images/{i}.heic", "transform_matrix": matrix(pose)})
    lens = {"w": 256, "h": 32, "fl_x": 200.0, "fl_y": 200.0}
    (tmp_path / "transforms.json").write_text(json.dumps({**lens, "frames": frames}))
    image = scenes.load(tmp_path, "train").images[0]
    assert np.abs(image[16, 16::32].astype(int) - PATCHES).max() <= 6


def test_heic_has_the_size_of_the_upright_picture(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(tmp_path / "a.heic", exif=exif.tobytes())
    header, problem = check_header(tmp_path / "a.heic", "a.heic")
    assert (
        problem is None
        and header.size == (64, 96)
        and decode(tmp_path / "a.heic").shape == (96, 64, 3)
    )


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_is_read_with_its_profile_or_its_codes(tmp_path):
    blocks = Image.fromarray(np.repeat(np.repeat(IN_P3, 32, 0), 32, 1))
    blocks.save(tmp_path / "a.avif", quality=100, subsampling="4:4:4", icc_profile=P3)
    blocks.save(tmp_path / "b.avif", quality=100, subsampling="4:4:4")
    data = (tmp_path / "b.avif").read_bytes()
    place = data.index(b"colrnclx") + 8
    (tmp_path / "b.avif").write_bytes(data[:place] + struct.pack(">HH", 12, 13) + data[place + 4 :])
    for name in ("a.avif", "b.avif"):
        error = np.abs(decode(tmp_path / name)[16, 16::32].astype(int) - PATCHES)
        assert error.max() <= 12 and error.mean() <= 1.5, name


# Videos.

# Kr and Kb of the matrices.
WEIGHTS = {
    "bt709": (0.2126, 0.0722),
    "smpte170m": (0.299, 0.114),
    "bt470bg": (0.299, 0.114),
    "bt2020nc": (0.2627, 0.0593),
}


def clip(path, signal, space="bt709", full=False, bits=8, tags=True, side=HIGH, extra=()):
    """Write a video of a row of patches: RGB signals (n, 3) in [0, 1] to YCbCr by definition."""
    kr, kb = WEIGHTS[space]
    y = signal @ [kr, 1 - kr - kb, kb]
    chroma = np.stack([(signal[:, 2] - y) / (2 - 2 * kb), (signal[:, 0] - y) / (2 - 2 * kr)])
    unit, top = 1 << (bits - 8), (1 << bits) - 1
    y = y * top if full else unit * (16 + 219 * y)
    chroma = (top + 1) / 2 + chroma * (top if full else 224 * unit)
    planes = [np.repeat(y, side)[None].repeat(side, 0)]
    planes += [np.repeat(c, side // 2)[None].repeat(side // 2, 0) for c in chroma]
    kind = np.uint8 if bits == 8 else "<u2"
    frame = b"".join(np.rint(np.clip(plane, 0, top)).astype(kind).tobytes() for plane in planes)
    form = [
        "-pix_fmt",
        "yuv420p" if bits == 8 else "yuv420p10le",
        "-s",
        f"{side * len(signal)}x{side}",
    ]
    marks = f"range={'full' if full else 'limited'}"
    marks += f":colorspace={space}" if tags else ""
    marks += "".join(f":{key}={value}" for key, value in dict(extra).items())
    coder = ["-c:v", "libx264", "-crf", "2", "-preset", "ultrafast"]
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-loglevel",
        "error",
        "-y",
        "-f",
        "rawvideo",
        *form,
        "-r",
        "10",
    ]
    subprocess.run(
        [*command, "-i", "-", "-vf", f"setparams={marks}", *coder, str(path)],
        input=frame * 3,
        check=True,
    )
    return path


def extracted(path, side=HIGH):
    """Mean colours of the patches in a frame that `extract_frames` wrote."""
    folder = path.parent / f"{path.stem} images"
    picture = np.asarray(
        Image.open(folder / extract_frames(path, folder, 1)[0]).convert("RGB"), float
    )
    q = side // 4
    return np.stack(
        [picture[q:-q, i + q : i + side - q].mean((0, 1)) for i in range(0, picture.shape[1], side)]
    )


SRGB = PATCHES / 255


@pytest.mark.whole
@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("space", ["bt709", "smpte170m", "bt470bg", "bt2020nc"])
def test_frames_of_a_video_have_its_colours_whatever_its_matrix_and_range(tmp_path, space, full):
    error = np.abs(extracted(clip(tmp_path / "v.mp4", SRGB, space, full)) - PATCHES)
    assert error.max() <= 4 and error.mean() <= 1.0


@pytest.mark.whole
@pytest.mark.parametrize("side, space", [(HIGH, "smpte170m"), (160, "bt709")])
def test_a_video_that_names_no_matrix_has_that_of_its_size(tmp_path, side, space):
    """320x40 is as SD; 1280x160 as HD."""
    path = clip(tmp_path / "v.mp4", SRGB, space, tags=False, side=side)
    error = np.abs(extracted(path, side) - PATCHES)
    assert error.max() <= 4 and error.mean() <= 1.0


@pytest.mark.whole
@pytest.mark.parametrize(
    "code, space, primaries, transfer",
    [
        (12, "bt709", "smpte432", "bt709"),
        (9, "bt2020nc", "bt2020", "bt2020-10"),
        (5, "bt470bg", "bt470bg", "smpte170m"),
        (6, "smpte170m", "smpte170m", "smpte170m"),
    ],
)
def test_primaries_that_a_video_names_are_converted(tmp_path, code, space, primaries, transfer):
    signal = colour.linear_to_srgb(in_primaries(MUTED, code))
    extra = {"color_primaries": primaries, "color_trc": transfer}
    error = np.abs(extracted(clip(tmp_path / "v.mp4", signal, space, extra=extra)) - MUTED)
    assert error.max() <= 4 and error.mean() <= 1.0


@pytest.mark.whole
@pytest.mark.parametrize(
    "signal, transfer", [(HLG_SIGNAL, "arib-std-b67"), (PQ_SIGNAL, "smpte2084")]
)
def test_hdr_videos_keep_the_colours_below_diffuse_white(tmp_path, signal, transfer):
    extra = {"color_primaries": "bt2020", "color_trc": transfer}
    error = np.abs(
        extracted(clip(tmp_path / "v.mp4", signal, "bt2020nc", bits=10, extra=extra)) - PATCHES
    )
    assert error.max() <= 4 and error.mean() <= 1.0


@pytest.mark.parametrize("transfer", [16, 18])
def test_highlights_of_hdr_grow_up_to_white_and_keep_their_hue(transfer):
    signal = np.linspace(0, 1, 512)
    grey = np.repeat(np.rint(65535 * signal).astype(np.uint16)[None, :, None], 3, -1)
    shown = to_srgb(grey, from_cicp(9, transfer))[0].astype(int)
    assert (np.ptp(shown, axis=1) <= 1).all() and (np.diff(shown[:, 0]) >= 0).all()
    assert shown[-1, 0] >= 65530 and shown[0, 0] == 0
    white = {16: 0.5807, 18: 0.75}[transfer]  # the signal of diffuse white (BT.2408)
    assert 248 <= shown[np.searchsorted(signal, white), 0] / 257 <= 254
    orange = to_srgb(
        np.rint(65535 * np.array([[[0.9, 0.8, 0.6]]])).astype(np.uint16), from_cicp(9, transfer)
    )[0, 0]
    assert orange[0] > orange[1] > orange[2]


def said(space="bt709", primaries="bt709", trc="bt709", size="1920x1080", form="yuv420p", more=""):
    return (
        f"{more}\n[Parsed_showinfo_0 @ 0x1] n:   0 pts:      0 fmt:{form} cl:left"
        f" sar:0/1 s:{size} i:P\n"
        f"[Parsed_showinfo_0 @ 0x1] color_range:tv color_space:{space}"
        f" color_primaries:{primaries} color_trc:{trc}\n"
    )


def test_what_a_video_says_of_its_colours_is_understood():
    assert parse_coding("no frame") is None
    assert parse_coding(said()).matrix == "bt709" and parse_coding(said()).space.is_srgb()
    assert parse_coding(said(trc="iec61966-2-1")).space.is_srgb()
    assert parse_coding(said("unknown", "unknown", "unknown", "720x576")).matrix == "bt470"
    assert parse_coding(said("unknown", "unknown", "unknown", "576x1024")).matrix == "bt470"
    assert parse_coding(said("unknown", "unknown", "unknown", "720x1280")).matrix == "bt709"
    assert parse_coding(said("gbr", form="gbrp")).matrix == ""
    assert parse_coding(said("unknown", form="rgb24")).matrix == ""
    dolby = (
        "      DOVI configuration record: version: 1.0, profile: {}, level: 5, rpu flag: 1,"
        " el flag: 0, bl flag: 1"
    )
    iphone = parse_coding(said("bt2020nc", "bt2020", "arib-std-b67", more=dolby.format(8)))
    assert iphone.matrix == "bt2020" and iphone.space.peak > 3
    for refused in (
        said("unknown", more=dolby.format(5)),
        said("ictcp"),
        said("bt2020c"),
        said(trc="smpte428"),
        said(trc="log100"),
        said(primaries="smpte428"),
    ):
        with pytest.raises(ImageError) as caught:
            parse_coding(refused)
        assert "HDR off" in caught.value.fix


@pytest.mark.whole
def test_a_video_that_cannot_be_converted_is_refused_before_it_is_read(tmp_path):
    extra = {"color_primaries": "bt2020", "color_trc": "log100"}
    path = clip(tmp_path / "v.mp4", SRGB, "bt2020nc", extra=extra)
    with pytest.raises(
        CaptureError, match="v.mp4: its colours cannot be converted .*log.*: export it as H.264"
    ) as caught:
        extract_frames(path, tmp_path / "images", 1)
    assert "\n" not in str(caught.value) and not (tmp_path / "images").exists()


@pytest.mark.whole
def test_a_phone_video_that_was_turned_gives_upright_frames(tmp_path):
    path = clip(tmp_path / "v.mp4", SRGB)
    turned = tmp_path / "turned.mp4"
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-loglevel",
        "error",
        "-display_rotation",
        "90",
        "-i",
        str(path),
    ]
    subprocess.run([*command, "-c", "copy", str(turned)], check=True)
    name = extract_frames(turned, tmp_path / "images", 1)[0]
    picture = np.asarray(Image.open(tmp_path / "images" / name), float)
    assert picture.shape == (8 * HIGH, HIGH, 3)
    centres = picture[HIGH // 2 :: HIGH, HIGH // 2]
    assert np.abs(centres[::-1] - PATCHES).max() <= 4


@pytest.mark.whole
def test_frames_become_films_and_films_become_frames_with_the_same_colours(tmp_path):
    row = np.repeat(np.repeat(PATCHES[None], HIGH, 0), HIGH, 1)
    video.encode([row] * 3, tmp_path / "film.mp4", fps=10.0)
    error = np.abs(extracted(tmp_path / "film.mp4") - PATCHES)
    assert error.max() <= 4 and error.mean() <= 1.0


@pytest.mark.whole
def test_frames_keep_colours_in_full_resolution(tmp_path):
    """A video's own halving of its chroma is the only one."""
    name = extract_frames(clip(tmp_path / "v.mp4", SRGB), tmp_path / "images", 1)[0]
    assert JpegImagePlugin.get_sampling(Image.open(tmp_path / "images" / name)) == 0  # 4:4:4


@pytest.mark.whole
def test_a_film_is_marked_as_srgb_in_stream_and_container(tmp_path):
    """H.273: primaries 1 (BT.709), curve 13 (sRGB), matrix 1 (BT.709), limited range."""
    video.encode([np.zeros((48, 64, 3), np.uint8)] * 2, tmp_path / "film.MP4", fps=10.0)
    data = (tmp_path / "film.MP4").read_bytes()
    place = data.index(b"colrnclx") + 8
    assert struct.unpack_from(">HHHB", data, place) == (1, 13, 1, 0)
    video.check_encoder(tmp_path / "film.MP4")
