"""Folders of photos as people have them.

What is taken, what is left out with a note, and which way up it is stored.
"""

import importlib.util
import os
import shutil
import sys

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, features

from nerf.capture import sources, upright
from nerf.capture.mapping import CaptureError
from nerf.capture.photos import gather, lens_groups

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
NEEDS_HEIF = pytest.mark.skipif(
    importlib.util.find_spec("pillow_heif") is None, reason="needs pip install pillow-heif"
)


def save_photo(file, seed=0, size=(40, 30), **details):
    """A photo of some smooth colours, each different."""
    file.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 255, (3, 4, 3), np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(file, **details)
    return file


def phone_exif(orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Phone", "P1"
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.FocalLengthIn35mmFilm] = 26
    details[ExifTags.Base.ExifImageWidth], details[ExifTags.Base.ExifImageHeight] = 40, 30
    return exif


@pytest.fixture
def folder(tmp_path):
    """Four photos."""
    for i in range(4):
        save_photo(tmp_path / "photos" / f"IMG_{i}.jpg", i)
    return tmp_path / "photos"


def take(folder, images=None):
    """The names of what is taken, and all notes as one text."""
    notes = []
    names = gather(folder, images or folder.parent / "scene" / "images", 10, notes.append)
    return names, "\n".join(notes)


FOUR = [f"IMG_{i}.jpg" for i in range(4)]


def test_photos_in_folders_keep_their_paths_and_are_copied_byte_for_byte(folder):
    save_photo(folder / "day 2" / "IMG_0.jpg", 10)
    save_photo(folder / "day 2" / "more" / "IMG_0.JPG", 11)
    names, notes = take(folder)
    assert names == [*FOUR, "day 2/IMG_0.jpg", "day 2/more/IMG_0.JPG"]
    assert notes == "photos: 6 in 3 folders (the folder itself, day 2, day 2/more)"
    for name in names:
        assert (folder.parent / "scene" / "images" / name).read_bytes() == (
            folder / name
        ).read_bytes()


@pytest.mark.parametrize(
    "files, note",
    [
        (["._IMG_0.jpg", "._IMG_1.jpg", ".DS_Store"], "2 hidden files"),
        (
            ["IMG_0.dng", "IMG_1.CR3"],
            "2 raw, HEIC or AVIF files beside a photo of the same name, which is used (IMG_0.dng",
        ),
        (["IMG_9.nef"], "1 raw files without a JPEG: export them as JPEG"),
        (["scan.tif"], "1 pictures of other types: export them as JPEG"),
        (["IMG_0.MOV"], "1 videos beside a photo of the same name (Live Photos)"),
        (["walk.mp4"], "1 videos: give a video by itself"),
        (["IMG_0.heic"], "1 raw, HEIC or AVIF files beside a photo of the same name"),
    ],
)
def test_what_is_no_photo_is_counted_in_one_note(folder, files, note):
    for file in files:
        (folder / file).write_bytes(b"whatever")
    (folder / "IMG_0.AAE").write_bytes(b"what a phone notes of a photo")
    names, notes = take(folder)
    assert names == FOUR
    assert note in notes and len(notes.splitlines()) == 2


def test_thumbnails_reduced_images_and_the_scene_itself_are_no_photos(folder):
    for name in (".trash", "__MACOSX", "@eaDir", "scene/images"):
        save_photo(folder / name / "IMG_7.jpg", 7)
    assert take(folder, folder / "scene" / "images")[0] == FOUR
    shutil.rmtree(folder / "scene")
    (folder.parent / "data").mkdir()
    shutil.move(folder, folder.parent / "data" / "images")
    save_photo(folder.parent / "data" / "images_2" / "IMG_0.jpg", 9, (20, 15))
    assert take(folder.parent / "data")[0] == [f"images/{name}" for name in FOUR]


def test_copies_and_panoramas_are_left_out(folder):
    shutil.copy(folder / "IMG_2.jpg", folder / "IMG_2 (1).jpg")
    save_photo(folder / "wide.jpg", 5, (400, 100))
    save_photo(
        folder / "sphere.jpg", 6, (80, 40), xmp=b"<x GPano:ProjectionType='equirectangular'/>"
    )
    names, notes = take(folder)
    assert names == ["IMG_0.jpg", "IMG_1.jpg", "IMG_2 (1).jpg", "IMG_3.jpg"]
    assert "1 copies of other photos, byte for byte (IMG_2.jpg)" in notes
    assert "2 panoramas" in notes


def test_too_few_photos_say_what_is_there_instead(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "IMG_1.dng").write_bytes(b"raw")
    with pytest.raises(
        CaptureError,
        match="0 photos in it: give 3 or more .*; skipped: 1 raw files .*export them as",
    ):
        take(tmp_path / "photos")
    (tmp_path / "photos" / "walk.MP4").write_bytes(b"film")
    with pytest.raises(
        CaptureError, match=r"no photos in it, but 1 videos: give one of them .*photos/walk.MP4$"
    ):
        take(tmp_path / "photos")


def test_without_pillow_heif_heic_photos_are_left_out_with_the_package_that_reads_them(
    folder, monkeypatch
):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # which makes its import fail
    (folder / "IMG_8.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    names, notes = take(folder)
    assert names == FOUR and "1 HEIC photos: pip install pillow-heif" in notes
    shutil.move(folder / "IMG_8.HEIC", folder / "IMG_8.jpg")
    with pytest.raises(
        CaptureError,
        match="IMG_8.jpg: HEIC is read by a package that is not installed: pip install pillow-heif",
    ):
        take(folder)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_photos_are_stored_as_they_are_to_be_seen(tmp_path, orientation, suffix):
    """EXIF 2.32, tag 274: where row 0 and column 0 of the stored pixels are seen."""
    seen = np.asarray(Image.open(save_photo(tmp_path / "seen.png")).convert("RGB"))
    as_stored = {
        1: seen,
        2: seen[:, ::-1],
        3: seen[::-1, ::-1],
        4: seen[::-1],
        5: seen.transpose(1, 0, 2),
        6: np.rot90(seen, 1),
        7: seen[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(seen, -1),
    }
    file, copy = tmp_path / f"stored.{suffix}", tmp_path / "images" / f"stored.{suffix}"
    lossless = {"jpg": {"quality": 100, "subsampling": 0}, "png": {}, "webp": {"lossless": True}}[
        suffix
    ]
    Image.fromarray(np.ascontiguousarray(as_stored[orientation])).save(
        file, exif=phone_exif(orientation), icc_profile=PROFILE, **lossless
    )
    assert upright.copy_upright(file, copy) == (orientation > 1)
    assert (copy.read_bytes() == file.read_bytes()) == (orientation == 1)
    with Image.open(copy) as image:
        exif = image.getexif()
        assert exif[ExifTags.Base.Orientation] == 1
        assert (exif[ExifTags.Base.Make], exif[ExifTags.Base.Model]) == ("Phone", "P1")
        details = exif.get_ifd(ExifTags.IFD.Exif)
        assert details[ExifTags.Base.FocalLengthIn35mmFilm] == 26
        assert image.info["icc_profile"] == PROFILE
        assert image.size == (40, 30)
        if orientation > 1:
            assert (
                details[ExifTags.Base.ExifImageWidth],
                details[ExifTags.Base.ExifImageHeight],
            ) == (40, 30)
        error = np.abs(np.asarray(image.convert("RGB")).astype(int) - seen)
    assert error.max() <= (6 if suffix == "jpg" else 0) and error.mean() < 1.2


def test_what_was_copied_before_is_not_written_again_unless_it_changed(folder):
    save_photo(folder / "IMG_3.jpg", 3, (30, 40), exif=phone_exif(6))
    images = folder.parent / "scene" / "images"
    take(folder)
    before = {file.name: file.stat().st_ino for file in images.iterdir()}
    take(folder)
    assert {file.name: file.stat().st_ino for file in images.iterdir()} == before
    save_photo(folder / "IMG_1.jpg", 30)
    os.utime(folder / "IMG_1.jpg", (1e9, 1e9))
    take(folder)
    assert {name for name, number in before.items() if (images / name).stat().st_ino != number} == {
        "IMG_1.jpg"
    }
    assert (images / "IMG_1.jpg").read_bytes() == (folder / "IMG_1.jpg").read_bytes()


def test_photos_in_the_scenes_own_folder_stay_as_they_are(folder):
    images = folder.parent / "scene" / "images"
    shutil.copytree(folder, images)
    assert take(images, images)[0] == FOUR
    save_photo(images / "IMG_3.jpg", 3, (30, 40), exif=phone_exif(6))
    before = (images / "IMG_3.jpg").read_bytes()
    with pytest.raises(CaptureError, match="originals are kept"):
        take(images, images)
    assert (images / "IMG_3.jpg").read_bytes() == before


def test_upright_and_lying_photos_of_a_phone_are_two_lenses_of_one_camera(folder):
    for i in range(2):
        save_photo(folder / f"IMG_{i}.jpg", i, exif=phone_exif(6 + 2 * i))
        save_photo(folder / f"IMG_{2 + i}.jpg", 2 + i, exif=phone_exif(1))
    names, notes = take(folder)
    assert "2 of them turned upright as their EXIF says" in notes
    groups = lens_groups(folder.parent / "scene" / "images", names)
    assert sorted(map(sorted, groups)) == [["IMG_0.jpg", "IMG_1.jpg"], ["IMG_2.jpg", "IMG_3.jpg"]]


@NEEDS_HEIF
def test_heic_becomes_jpeg_upright_with_its_camera_and_profile(folder):
    pytest.importorskip("pillow_heif").register_heif_opener()
    shown = np.asarray(
        Image.open(save_photo(folder.parent / "seen.png", 7, (64, 48))).convert("RGB")
    )
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(shown, 1)))
    stored.save(
        folder / "IMG_7.HEIC",
        "HEIF",
        exif=phone_exif(6).tobytes(),
        icc_profile=PROFILE,
        quality=100,
        chroma=444,
    )
    shutil.copy(folder / "IMG_7.HEIC", folder / "IMG_8.jpg")  # as some programs name it
    names, _ = take(folder)
    assert names == [*FOUR, "IMG_7.jpg"]  # the other is a copy
    with Image.open(folder.parent / "scene" / "images" / "IMG_7.jpg", formats=("JPEG",)) as image:
        assert image.size == (64, 48)
        assert image.getexif()[ExifTags.Base.Orientation] == 1
        assert image.getexif()[ExifTags.Base.Model] == "P1"
        assert image.info["icc_profile"] == PROFILE
        assert np.abs(np.asarray(image).astype(int) - shown).mean() < 3


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
@pytest.mark.parametrize("orientation", [1, 6])
def test_avif_becomes_jpeg_upright(folder, orientation):
    shown = np.asarray(
        Image.open(save_photo(folder.parent / "seen.png", 7, (64, 48))).convert("RGB")
    )
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(shown, orientation == 6)))
    stored.save(
        folder / "IMG_7.avif",
        exif=phone_exif(orientation).tobytes(),
        quality=100,
        subsampling="4:4:4",
    )
    shutil.copy(folder / "IMG_7.avif", folder / "IMG_0.avif")  # beside a JPEG
    names, notes = take(folder)
    assert names == [*FOUR, "IMG_7.jpg"]
    assert (
        "1 raw, HEIC or AVIF files beside a photo of the same name, which is used (IMG_0.avif)"
        in notes
    )
    with Image.open(folder.parent / "scene" / "images" / "IMG_7.jpg", formats=("JPEG",)) as image:
        assert image.size == (64, 48) and image.getexif()[ExifTags.Base.Orientation] == 1
        assert np.abs(np.asarray(image).astype(int) - shown).mean() < 3


def test_where_pillow_lacks_avif_such_photos_are_left_out_with_what_reads_them(folder, monkeypatch):
    monkeypatch.setattr(sources, "can_read_avif", lambda: False)
    (folder / "IMG_8.avif").write_bytes(b"\0\0\0\x18ftypavif")
    names, notes = take(folder)
    assert names == FOUR and "1 AVIF photos: pip install --upgrade pillow" in notes
