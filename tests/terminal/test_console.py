from __future__ import annotations

import pytest

from mychat.terminal.console import Terminal


@pytest.mark.parametrize(
    ("theme", "says", "light"),
    [
        ("auto", "", False),
        ("auto", "15;0", False),
        ("auto", "0;15", True),
        ("light", "15;0", True),
        ("dark", "0;15", False),
    ],
)
def test_the_theme_fits_the_background(monkeypatch: pytest.MonkeyPatch, theme: str, says: str, light: bool) -> None:
    monkeypatch.setenv("COLORFGBG", says)
    assert ("blue" in str(Terminal(theme).out.get_style("persona"))) == light


def test_no_color_means_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    Terminal().out.print("x", style="persona")
    assert "\x1b[3" not in capsys.readouterr().out
