"""The tables of docs/complexity.md are those that its script writes."""

import runpy
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "complexity.md"


@pytest.mark.slow
def test_the_tables_are_up_to_date():
    script = runpy.run_path(str(PAGE.with_suffix(".py")))
    text = PAGE.read_text(encoding="utf-8")
    assert script["filled"](text, script["tables"]()) == text, "run python docs/complexity.py"
