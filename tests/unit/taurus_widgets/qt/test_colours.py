"""Texts can be read in both themes: WCAG 2.1, contrast of AA."""

from __future__ import annotations

import pytest

from taurus_widgets.qt.painting import DARK, LIGHT, Colours

TEXT, LARGE_OR_SIGN = 4.5, 3.0
"""Success criteria 1.4.3 and 1.4.11."""


def luminance(colour: str) -> float:
    """The relative luminance of #rrggbb, from 0 to 1, as WCAG defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("shades", [LIGHT, DARK], ids=["light", "dark"])
class TestContrast:
    def test_of_texts(self, shades: Colours) -> None:
        backgrounds = {name: getattr(shades, name) for name in ("field", "pane", "selection", "wrong", "chip")}
        texts = {"text": shades.text, "muted": shades.muted, "problem": shades.problem, "accent": shades.accent}
        low = {
            (text, background): round(contrast(colour, behind), 2)
            for text, colour in texts.items()
            for background, behind in backgrounds.items()
            if contrast(colour, behind) < TEXT
        }
        assert low == {}
        assert contrast(shades.onAccent, shades.accent) >= TEXT

    def test_of_the_focus_and_of_signs(self, shades: Colours) -> None:
        for behind in (shades.field, shades.pane):
            assert contrast(shades.accent, behind) >= LARGE_OR_SIGN
            for status, colour in shades.status.items():
                assert contrast(colour, behind) >= LARGE_OR_SIGN, status
