"""Files are known to be writable before anything long."""

import os

import pytest

from nerf.foundation.files import WriteError, check_writable


def test_a_file_that_can_be_written_is_left_alone_and_its_folder_is_made(tmp_path):
    (tmp_path / "a.html").write_text("old")
    check_writable(tmp_path / "a.html")
    check_writable(tmp_path / "new" / "folder" / "b.html")
    assert (tmp_path / "a.html").read_text() == "old"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.html", "folder", "new"]


def test_a_folder_and_a_file_in_the_place_of_a_folder_are_refused_in_one_line(tmp_path):
    (tmp_path / "a.html").mkdir()
    with pytest.raises(WriteError, match=r"a\.html: it is a folder: give the name of a file$"):
        check_writable(tmp_path / "a.html")
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"file/b\.html: cannot be written \("):
        check_writable(tmp_path / "file" / "b.html")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(WriteError, match=r"cannot be written \(Permission denied\)"):
        check_writable(tmp_path / "a.html")
