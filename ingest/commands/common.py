"""What several commands have in common."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

Commands = Any
"""What argparse's `add_subparsers` returns."""


def add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, default=Path("scicow.yaml"), metavar="FILE", help="settings (default: scicow.yaml)"
    )
