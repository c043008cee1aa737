"""Files of others and of ours: links are not followed, pipes not waited for; requirements are read with their
brackets.
"""

from __future__ import annotations

import os

import pytest

from hsfusion.models.files import continued_file, new_file, open_regular, size_of_own


def test_a_link_at_a_predictable_name_is_not_written_through(tmp_path):
    victim, part = tmp_path / "victim", tmp_path / ".m.part"
    victim.write_text("precious")
    for link in (part.symlink_to, lambda target: os.link(target, part)):
        link(victim)
        assert size_of_own(part) == 0
        with pytest.raises(OSError, match="."):
            continued_file(part).close()
        with new_file(part) as file:
            file.write(b"x")
        assert victim.read_text() == "precious" and size_of_own(part) == 1
        part.unlink()


def test_a_file_of_ours_is_continued(tmp_path):
    part = tmp_path / "part"
    with new_file(part) as file:
        file.write(b"one")
    with continued_file(part) as file:
        file.write(b" two")
        assert file.tell() == 7
    assert part.read_bytes() == b"one two"


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "none"):
        with pytest.raises(OSError, match="."):
            open_regular(path)


def test_requirements_with_extras_markers_and_comments():
    from hsfusion.hsfusion_plugin.backend.environment.pythons import _applies, _listed

    text = 'a = 1\nserve = [ # what\n  "ray[serve,data]>=2.50",\n  \'x>=1; extra == "y"\', # ] "no"\n  "z>=3"]\nother = ["w"]\n'  # noqa: E501
    assert _listed(text, "serve") == ["ray[serve,data]>=2.50", 'x>=1; extra == "y"', "z>=3"]
    assert _listed(text, "other") == ["w"] and _listed(text, "none") == []
    assert [_applies(line) for line in _listed(text, "serve")] == [True, False, True]
