"""Videos are decoded back; frames on disk know whether they are finished."""

import contextlib
import json
import re
import shlex
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from nerf.foundation import png
from nerf.output import video
from nerf.output.frames import frame_pixels
from nerf.output.video import VideoError

COLOURS = [
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
    (200, 120, 40),
    (16, 128, 235),
]


def solid(colours, width=64, height=48):
    return [np.full((height, width, 3), colour, np.uint8) for colour in colours]


def decode(path):
    """Frames (n, h, w, 3) as ffmpeg converts them by the matrix and range marked in the file."""
    convert = [
        "-vf",
        "scale=flags=accurate_rnd+full_chroma_int",
        "-pix_fmt",
        "rgb24",
        "-f",
        "rawvideo",
        "-",
    ]
    width, height = (int(side) for side in re.search(r" (\d+)x(\d+)[, ]", described(path)).groups())
    return np.frombuffer(ffmpeg("-i", str(path), *convert), np.uint8).reshape(-1, height, width, 3)


def ffmpeg(*arguments):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout


def decode_unmarked(path):
    """Luma and chroma of the first frame's middle as stored, without any conversion."""
    raw = ffmpeg("-i", str(path), "-frames:v", "1", "-f", "rawvideo", "-")
    luma, chroma = 64 * 48, 32 * 24
    return raw[luma // 2], raw[luma + chroma // 2], raw[luma + chroma + chroma // 2]


def described(path):
    """ffmpeg's own description of a file."""
    return subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path)],
        capture_output=True,
        text=True,
    ).stderr


def write_frames(folder, frames, stamp="s", name="frame_{:04d}.png"):
    files = [folder / name.format(i) for i in range(len(frames))]
    for file, frame in zip(files, frames, strict=True):
        png.write_png(file, frame, stamp)
    return files


def only(folder, *names):
    return sorted(p.name for p in folder.iterdir()) == sorted(names)


# Video.


def test_frames_come_back_in_number_size_rate_and_colour(tmp_path):
    frames = solid(COLOURS)
    video.encode(frames, tmp_path / "v.mp4", fps=12.5)
    decoded = decode(tmp_path / "v.mp4")
    assert decoded.shape == (len(COLOURS), 48, 64, 3) and " 12.50 fps," in described(
        tmp_path / "v.mp4"
    )
    np.testing.assert_allclose(decoded.astype(int), np.stack(frames), atol=3)
    assert only(tmp_path, "v.mp4")


@pytest.mark.parametrize(
    "colour, stored",
    [((255, 255, 255), (235, 128, 128)), ((0, 0, 0), (16, 128, 128)), ((0, 255, 0), (173, 42, 26))],
)
def test_colours_are_stored_as_bt709_limited_range(tmp_path, colour, stored):
    """Y = 16 + 219 (0.2126 R + 0.7152 G + 0.0722 B), BT.709 3.2.

    In BT.601 green would be (145, 54, 34).
    """
    video.encode(solid([colour] * 3), tmp_path / "v.mp4", fps=10.0)
    np.testing.assert_allclose(decode_unmarked(tmp_path / "v.mp4"), stored, atol=0)


def test_the_file_is_marked_as_what_it_is(tmp_path):
    video.encode(solid(COLOURS), tmp_path / "v.mp4", fps=10.0)
    stream = next(line for line in described(tmp_path / "v.mp4").split("\n") if "Video:" in line)
    assert "h264" in stream and "yuv420p(tv, bt709" in stream
    assert "bt470" not in stream and "unknown" not in stream
    assert " 64x48" in stream


def test_the_index_stands_before_the_pictures(tmp_path):
    video.encode(solid(COLOURS), tmp_path / "v.mp4", fps=10.0)
    data = (tmp_path / "v.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("width, height", [(63, 48), (64, 47), (63, 47), (17, 33)])
def test_odd_sizes_are_padded_with_the_last_pixels(tmp_path, width, height):
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(40, 200, width)
    picture[..., 1] = np.linspace(200, 60, height)[:, None]
    video.encode([picture] * 3, tmp_path / "v.mp4", fps=10.0, crf=1)
    decoded = decode(tmp_path / "v.mp4")
    padded = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    assert decoded.shape[1:] == padded.shape
    np.testing.assert_allclose(decoded[1].astype(int), padded, atol=14)
    np.testing.assert_allclose(decoded[1].astype(int).mean((0, 1)), padded.mean((0, 1)), atol=1)


def test_crf_trades_size_for_quality(tmp_path):
    noise = list(np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3), np.uint8))
    sizes = []
    for crf in (1, 18, 40):
        video.encode(noise, tmp_path / "v.mp4", fps=10.0, crf=crf)
        sizes.append((tmp_path / "v.mp4").stat().st_size)
    assert sizes[0] > sizes[1] > sizes[2]


def test_frame_files_and_arrays_give_the_same_video(tmp_path):
    rng = np.random.default_rng(1)
    frames = list(rng.integers(0, 255, (4, 47, 63, 3), np.uint8))
    files = write_frames(tmp_path, frames)
    before = [file.read_bytes() for file in files]
    video.encode(frames, tmp_path / "arrays.mp4", fps=10.0)
    video.encode((str(file) for file in files), tmp_path / "files.mp4", fps=10.0)
    assert (tmp_path / "arrays.mp4").read_bytes() == (tmp_path / "files.mp4").read_bytes()
    assert [file.read_bytes() for file in files] == before


def test_the_line_to_encode_by_hand_makes_the_same_video(tmp_path, monkeypatch):
    folder = tmp_path / "100% my frames"
    folder.mkdir()
    frames = list(np.random.default_rng(1).integers(0, 255, (4, 47, 63, 3), np.uint8))
    files = write_frames(folder, frames, name="view2_{:04d}.png")[1:]
    target = tmp_path / "v.mp4"
    video.encode(files, target, fps=10.0)
    expected = decode(target)
    target.unlink()
    no_such_ffmpeg(monkeypatch, tmp_path)
    with pytest.raises(VideoError) as caught:
        video.encode(files, target, fps=10.0)
    line = str(caught.value).partition("encode them by hand: ")[2]
    command = shlex.split(line)
    assert command[0] == "ffmpeg" and command[-1] == str(target)
    monkeypatch.undo()
    ffmpeg(*command[1:])
    np.testing.assert_array_equal(decode(target), expected)


# What goes wrong.


def no_such_ffmpeg(monkeypatch, tmp_path):
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(tmp_path / "no" / "ffmpeg"))


def failing_ffmpeg(monkeypatch, tmp_path):
    """A program that takes nothing and fails with a message of two lines."""
    exe = tmp_path / "bin"
    exe.mkdir()
    script = exe / "ffmpeg"
    script.write_text("#!/bin/sh\necho Unknown encoder libx264 >&2\necho more >&2\nexit 3\n")
    script.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(script))


def no_ffmpeg_at_all(monkeypatch, tmp_path):
    def missing():
        raise RuntimeError("No ffmpeg exe could be found.\nInstall ffmpeg")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", missing)


BROKEN = [no_such_ffmpeg, failing_ffmpeg, no_ffmpeg_at_all]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_encoder_is_found_before_rendering(tmp_path, monkeypatch, broken):
    broken(monkeypatch, tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(VideoError, match="pip install imageio-ffmpeg") as caught:
        video.check_encoder(folder / "v.mp4")
    assert "\n" not in str(caught.value) and only(folder)
    if broken is failing_ffmpeg:
        assert "code 3: Unknown encoder libx264" in str(caught.value)


@pytest.mark.parametrize("broken", BROKEN)
def test_a_failed_encoding_keeps_frames_and_the_old_video(tmp_path, monkeypatch, broken):
    broken(monkeypatch, tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    # More than a pipe holds, so that ffmpeg's end is met while writing.
    files = write_frames(folder, solid(COLOURS, 640, 480))
    (folder / "v.mp4").write_bytes(b"old")
    with pytest.raises(VideoError, match="the frames are kept") as caught:
        video.encode(files, folder / "v.mp4", fps=10.0)
    assert "\n" not in str(caught.value) and str(folder / "v.mp4") in str(caught.value)
    assert only(folder, "v.mp4", *(file.name for file in files))
    assert (folder / "v.mp4").read_bytes() == b"old"
    assert all(png.is_finished(file, "s") for file in files)


def test_a_working_encoder_leaves_nothing(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"old")
    video.check_encoder(tmp_path / "v.mp4")
    assert only(tmp_path, "v.mp4") and (tmp_path / "v.mp4").read_bytes() == b"old"


def test_the_target_is_checked(tmp_path):
    with pytest.raises(VideoError, match="create .*none"):
        video.check_encoder(tmp_path / "none" / "v.mp4")
    with pytest.raises(VideoError, match="ends in .mp4"):
        video.check_encoder(tmp_path / "v.avi")


def test_a_gif_has_every_frame_and_repeats(tmp_path):
    frames = solid(COLOURS, 63, 47)
    video.check_encoder(tmp_path / "v.gif")
    video.encode(write_frames(tmp_path, frames), tmp_path / "v.gif", fps=10.0)
    with Image.open(tmp_path / "v.gif") as gif:
        assert gif.n_frames == len(frames) and gif.size == (63, 47)
        assert gif.info["loop"] == 0 and gif.info["duration"] == 100
        for i, frame in enumerate(frames):
            gif.seek(i)
            assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - frame).max() <= 4


def test_crf_trades_size_for_quality_in_webm_too(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)
    for crf in (5, 45):
        video.encode(list(noise), tmp_path / f"{crf}.webm", fps=10.0, crf=crf)
    assert (tmp_path / "5.webm").stat().st_size > 2 * (tmp_path / "45.webm").stat().st_size


# Transparency.


def decode_alpha(path, width, height):
    # ffmpeg's own decoder of VP9 ignores alpha.
    decoder = ["-c:v", "libvpx-vp9"] if path.suffix == ".webm" else []
    convert = ["-vf", "scale=flags=accurate_rnd+full_chroma_int", "-pix_fmt", "rgba"]
    raw = ffmpeg(*decoder, "-i", str(path), *convert, "-f", "rawvideo", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 4)


@pytest.mark.long
@pytest.mark.parametrize("ending", video.ALPHA_ENDINGS)
def test_alpha_comes_back_straight(tmp_path, ending):
    # Alpha rises from left to right and moves; the colour under it is the same everywhere.
    ramp = np.linspace(0, 255, 64).round().astype(np.uint8)
    frames = [np.full((48, 64, 4), (*colour, 0), np.uint8) for colour in COLOURS]
    for i, frame in enumerate(frames):
        frame[..., 3] = np.roll(ramp, 5 * i)
    file = tmp_path / f"v{ending}"
    video.check_encoder(file)
    video.encode(write_frames(tmp_path, frames), file, fps=10.0)
    found = decode_alpha(file, 64, 48)
    assert found.shape == (len(frames), 48, 64, 4)
    off = np.abs(found.astype(int) - np.stack(frames))
    assert off[..., 3].mean() < 2.0 and off[..., :3].mean() < 4.0


@pytest.mark.long
@pytest.mark.parametrize("ending", video.ALPHA_ENDINGS)
def test_frames_without_alpha_make_an_opaque_video(tmp_path, ending):
    frames = solid(COLOURS, 63, 47)
    video.encode(frames, tmp_path / f"v{ending}", fps=10.0)
    found = decode(tmp_path / f"v{ending}")
    assert found.shape == (len(frames), 48, 64, 3)
    assert np.abs(found[:, :47, :63].astype(int) - np.stack(frames)).mean() < 3.0


def test_straight_alpha_over_a_background_is_the_picture_on_it():
    rng = np.random.default_rng(0)
    opacity = rng.uniform(0.0, 1.0, (20, 30)) * (rng.uniform(size=(20, 30)) < 0.9)
    colour, background = rng.uniform(0.0, 1.0, (2, 20, 30, 3))
    on_black = {"rgb": colour * opacity[..., None], "opacity": opacity}
    rgba = frame_pixels(on_black, "rgb", None, transparent=True) / 255.0
    alpha = rgba[..., 3:]
    np.testing.assert_allclose(alpha[..., 0], opacity, atol=0.5 / 255)
    expected = on_black["rgb"] + (1.0 - opacity[..., None]) * background
    over = alpha * rgba[..., :3] + (1.0 - alpha) * background
    np.testing.assert_allclose(over, expected, atol=1.01 / 255)
    assert (rgba[opacity == 0.0] == 0.0).all()
    assert frame_pixels(on_black, "rgb", None, transparent=False).shape == (20, 30, 3)


def test_frames_that_are_none_are_refused(tmp_path):
    good = solid(COLOURS)
    truncated = tmp_path / "cut.png"
    truncated.write_bytes(write_frames(tmp_path, good)[0].read_bytes()[:80])
    rgba = tmp_path / "rgba.png"
    png.write_png(rgba, np.zeros((48, 64, 4), np.uint8))
    grey = tmp_path / "grey.png"
    png.write_png(grey, np.zeros((48, 64), np.uint8))
    for frames, message in [
        ([], "no frames"),
        ([good[0], good[1][:-2]], "frame 1 is 64x46, not 64x48"),
        ([good[0], grey], "grey.png: not an 8-bit RGB"),
        ([good[0], rgba], "frame 1 is 64x48 with alpha, not 64x48"),
        ([rgba], "no alpha: use a name that ends in .webm or .mov"),
        ([good[0], truncated], "cut.png: cannot be read"),
        ([truncated], "cut.png: cannot be read"),
        ([tmp_path / "none.png"], "none.png: cannot be read"),
    ]:
        with pytest.raises(VideoError, match=message) as caught:
            video.encode(frames, tmp_path / "v.mp4", fps=10.0)
        assert "\n" not in str(caught.value)
        assert not [p for p in tmp_path.iterdir() if "mp4" in p.name]


def test_whatever_is_wrong_with_a_frame_file_is_a_video_error(tmp_path):
    whole = write_frames(tmp_path, [np.zeros((6, 6, 3), np.uint8)])[0].read_bytes()
    file = tmp_path / "damaged.png"
    for i in range(len(whole)):
        file.write_bytes(whole[:i] + bytes([whole[i] ^ 4]) + whole[i + 1 :])
        with contextlib.suppress(VideoError):
            assert video.read_frame(file).ndim == 3


def test_an_interrupted_renderer_leaves_no_video(tmp_path):
    def interrupted():
        yield from solid(COLOURS)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        video.encode(interrupted(), tmp_path / "v.mp4", fps=10.0)
    assert only(tmp_path)


# Frames.


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7, 4), (5, 7)])
def test_a_png_holds_its_pixels_and_its_stamp(tmp_path, shape):
    image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    png.write_png(tmp_path / "f.png", image, "c0ffee")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "f.png")), image)
    assert png.read_stamp(tmp_path / "f.png") == "c0ffee"
    assert png.is_finished(tmp_path / "f.png", "c0ffee")
    assert not png.is_finished(tmp_path / "f.png", "another")
    assert only(tmp_path, "f.png")


def test_a_png_cut_or_damaged_anywhere_is_not_finished(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (6, 6, 3), np.uint8)
    png.write_png(tmp_path / "f.png", image, "c0ffee")
    whole, file = (tmp_path / "f.png").read_bytes(), tmp_path / "g.png"
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert not png.is_finished(file, "c0ffee"), length
        assert png.read_stamp(file) in (None, "c0ffee")
    for i in range(len(whole)):
        file.write_bytes(whole[:i] + bytes([whole[i] ^ 4]) + whole[i + 1 :])
        assert not png.is_finished(file, "c0ffee"), i


def test_what_is_no_stamped_png_has_no_stamp(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "c0ffee")
    Image.new("RGB", (4, 4)).save(tmp_path / "plain.png", pnginfo=text)
    (tmp_path / "text.png").write_text(json.dumps({"nerf-stamp": "c0ffee"}))
    (tmp_path / "folder.png").mkdir()
    for name in ("plain.png", "text.png", "folder.png", "none.png"):
        assert png.read_stamp(tmp_path / name) is None
        assert not png.is_finished(tmp_path / name, "c0ffee")


def test_a_failed_write_keeps_the_old_picture(tmp_path, monkeypatch):
    image = np.zeros((4, 4, 3), np.uint8)
    png.write_png(tmp_path / "f.png", image, "old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(video.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        png.write_png(tmp_path / "f.png", image, "new")
    assert png.is_finished(tmp_path / "f.png", "old") and only(tmp_path, "f.png")
