"""Tooltips as rich text."""

from __future__ import annotations

import html


def tooltip(text: str) -> str:
    """Text for a tool tip, escaped, since Qt reads a tool tip that looks like HTML as HTML."""
    return f'<p style="white-space: pre-wrap">{html.escape(text)}</p>' if text else ""
