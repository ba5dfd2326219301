r"""Simulates two other vendors' programs, each of which writes a measurement like the original.

    python -m deploy.demo.analysers {ses,prodigy} FOLDER NAME

Scienta SES rewrites the text of a sequence after each region; the total number of regions is at its top from the start.
SPECS Prodigy exports into a file of another name, and renames it when it is complete.
"""

from __future__ import annotations

import argparse
import datetime as dt
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PACE = 0.2
"""Seconds from one piece to the next."""


@dataclass(frozen=True)
class SimulatedRegion:
    """A region. Energies are binding energies in eV; `height` is in counts."""

    name: str
    high: float
    low: float
    step: float
    pass_energy: float
    peak: float
    height: float

    @property
    def energies(self) -> list[float]:
        return [self.high - number * self.step for number in range(round((self.high - self.low) / self.step) + 1)]

    def counts(self, energy: float) -> float:
        return 40.0 + self.height / (1.0 + ((energy - self.peak) / 0.6) ** 2) + 3.0 * math.sin(7.0 * energy)


REGIONS = (
    SimulatedRegion("C1s", 292.0, 280.0, 0.1, 50.0, 284.8, 900.0),
    SimulatedRegion("O1s", 540.0, 526.0, 0.1, 50.0, 532.9, 1400.0),
)
SURVEY = SimulatedRegion("Survey", 1200.0, 0.0, 1.0, 100.0, 532.9, 15_000.0)


def write_ses(folder: Path, name: str, regions: Sequence[SimulatedRegion] = REGIONS, pace: float = PACE) -> Path:
    """Write a measurement in the manner of SES.

    Returns the file, which exists after the first region. Creates `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.txt"
    started = dt.datetime.now()
    for done in range(1, len(regions) + 1):
        time.sleep(pace)
        with file.open("w", encoding="latin-1", newline="\r\n") as out:
            out.write(f"[Info]\nNumber of Regions={len(regions):04}\nVersion=1.3.1\n\n")
            for number, region in enumerate(regions[:done], start=1):
                out.write(_ses_region(region, number, file, started))
                out.flush()
                time.sleep(pace)
    return file


def _ses_region(region: SimulatedRegion, number: int, file: Path, started: dt.datetime) -> str:
    energies = region.energies
    header = {
        "Region Name": region.name,
        "Lens Mode": "Transmission",
        "Pass Energy": f"{region.pass_energy:g}",
        "Number of Sweeps": "2",
        "Excitation Energy": "1486.6",
        "Energy Scale": "Binding",
        "Acquisition Mode": "Swept",
        "Energy Unit": "Binding",
        "Center Energy": f"{(region.high + region.low) / 2:g}",
        "Low Energy": f"{region.low:g}",
        "High Energy": f"{region.high:g}",
        "Energy Step": f"{region.step:g}",
        "Step Time": "203",
        "Number of Slices": "1",
        "File": f"Z:\\XPS_data\\{file.name}",
        "Spectrum Name": f"{file.stem}_{number:03}",
        "Instrument": "R3000-6MS014",
        "Location": "Scienta",
        "User": "astlin",
        "Sample": "fibre",
        "Comments": "",
        "Date": f"{started:%Y-%m-%d}",
        "Time": f"{started:%H:%M:%S}",
    }
    lines = [
        f"[Region {number}]",
        f"Region Name={region.name}",
        "Dimension 1 name=Binding Energy [eV]",
        f"Dimension 1 size={len(energies)}",
        f"Dimension 1 scale={' '.join(f'{energy:g}' for energy in energies)}",
        "",
        f"[Info {number}]",
        *(f"{key}={value}" for key, value in header.items()),
        f"[Run Mode Information {number}]",
        "",
        f"[Data {number}]",
        *(f" {energy:.14E}  {region.counts(energy):.14E}" for energy in energies),
        "",
    ]
    return "\n".join(lines) + "\n"


def write_prodigy(folder: Path, name: str, region: SimulatedRegion = SURVEY, pace: float = PACE) -> Path:
    """Write a measurement in the manner of Prodigy.

    Returns the file, which exists when it is complete. Creates `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, partial = folder / f"{name}.xy", folder / f"~{name}.tmp"
    started = f"{dt.datetime.now(dt.UTC):%m/%d/%y %H:%M:%S} UTC"
    head = {
        "Region": region.name,
        "Spectrum ID": "20",
        "Acquisition Date": started,
        "Analysis Method": "XPS",
        "Analyzer": "Phoibos",
        "Analyzer Lens": "LargeArea:1.5kV",
        "Analyzer Slit": "4:7x20c\\C:mesh",
        "Scan Mode": "FixedAnalyzerTransmission",
        "Curves/Scan": "1",
        "Values/Curve": str(len(region.energies)),
        "Dwell Time": "0.001",
        "Excitation Energy": "1486.61",
        "Binding Energy": f"{region.high:g}",
        "Pass Energy": f"{region.pass_energy:g}",
        "Detector Voltage": "1600",
        "Eff. Workfunction": "4.1082",
        "Source": "XR 50",
        "Comment": "",
    }
    export = {"Comment Prefix": "#", "Output Meta Data": "yes", "Energy Axis": "Binding Energy"}
    export |= {"Count Rate": "Counts per Second", "Separate Scan Data": "yes", "Time Zone Format": "UTC"}
    with partial.open("w", encoding="utf-8") as out:
        out.write(
            "# Created by:        SpecsLab Prodigy, Version 4.100.1-r111001 \n#\n# XY-Serializer Export Settings:\n"
        )
        out.writelines(f"#   {f'{key}:':<25} {value}\n" for key, value in export.items())
        out.write("#\n# Group:                        1 as-loaded\n#\n")
        out.writelines(f"# {f'{key}:':<29} {value}\n" for key, value in head.items())
        out.write("\n# Cycle: 0\n#\n# Number of Scans: 1\n\n# Cycle: 0, Curve: 0, Scan: 0\n#\n")
        out.write(f"# Acquisition Date:             {started}\n# ColumnLabels:                 energy counts/s\n#\n")
        for number, energy in enumerate(region.energies):
            out.write(f"{energy:g}  {region.counts(energy):.3f}\n")
            if number % 400 == 0:
                out.flush()
                time.sleep(pace)
    os.replace(partial, file)
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", choices=["ses", "prodigy"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    options = parser.parse_args()
    write = write_ses if options.program == "ses" else write_prodigy
    print(write(options.folder, options.name), flush=True)


if __name__ == "__main__":
    main()
