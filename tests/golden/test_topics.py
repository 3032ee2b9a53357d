"""Every folder of golden files has its test file, or stands here with the part to come."""

import pytest
from golden_files import HERE, Topic, root

TO_COME = {
    "sirst": "infrared targets: OSCAR, NoCoAP",
}
TOPICS = sorted(p.name for p in root().iterdir() if p.is_dir()) if root().is_dir() else []


def test_there_are_golden_files():
    assert TOPICS, f"no golden files at {root()}; TINYSCOPE_GOLDEN names their folder"


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_tested(topic):
    tested = (HERE / f"test_{topic}.py").is_file()
    if not tested and topic in TO_COME:
        pytest.skip(f"to be built: {TO_COME[topic]}")
    assert tested, f"no tests/golden/test_{topic}.py reads {root() / topic}"
    assert topic not in TO_COME, f"{topic} is tested, so no longer to come"


def test_a_file_that_nothing_reads_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSCOPE_GOLDEN", str(tmp_path))
    for name in ("read.json", "forgotten.json", "later.json", "README.md"):
        path = tmp_path / "topic" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    topic = Topic("topic", pending={"later.json": "a part"})
    topic.json("read.json")
    topic.json("not_in_this_folder.json")
    assert [line.endswith("forgotten.json: no test reads it") for line in topic.unread()] == [True]
    topic.json("later.json")
    assert "no longer pending (a part)" in topic.unread()[1]
