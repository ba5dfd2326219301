"""Small files as Scienta SES, Igor and SPECS Prodigy write them."""

from __future__ import annotations

import io
import sqlite3
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

ENERGIES = [382.0, 381.5, 381.0, 380.5]

INFO = """Region Name={name}
Lens Mode=Angular30
Pass Energy=50
Number of Sweeps=2
Excitation Energy=520
Energy Scale=Binding
Acquisition Mode=Swept
Energy Unit=Kinetic
Low Energy=138
High Energy=156
Energy Step=0,05
Step Time=203
Detector First X-Channel=43
Number of Slices=1
File=Z:\\XPS\\Ag_0001.txt,.pxt,.ibw
Spectrum Name={name}_001
Instrument=R3000-6MS014
Location=MAX IV
User=AN
Sample=Ag
Comments=;
Date=2023-03-08
Time=15:24:{second:02d}
Time per Spectrum Channel=45.066
DetectorMode=ADC
"""


def info(name: str = "Ag3d", second: int = 35) -> str:
    return INFO.format(name=name, second=second)


def ses_text(
    names: Sequence[str] = ("Ag3d",),
    *,
    announced: int | None = None,
    run_mode: str = "Name=Normal\n",
    more: str = "",
    slices: int = 1,
    blocks: int = 1,
) -> str:
    """With `slices` it has a second dimension, with `blocks` a third."""
    text = f"[Info]\nNumber of Regions={len(names) if announced is None else announced:04d}\nVersion=1.3.1\n\n"
    for number, name in enumerate(names, start=1):
        scale = " ".join(f"{energy:g}" for energy in ENERGIES)
        text += f"[Region {number}]\nRegion Name={name}\n"
        text += f"Dimension 1 name=Binding Energy [eV]\nDimension 1 size={len(ENERGIES)}\nDimension 1 scale={scale}\n"
        if slices > 1:
            angles = " ".join(f"{angle}" for angle in range(slices))
            text += f"Dimension 2 name=Y-Scale [deg]\nDimension 2 size={slices}\nDimension 2 scale={angles}\n"
        if blocks > 1:
            text += f"Dimension 3 name=Photon Energy [eV]\nDimension 3 size={blocks}\nDimension 3 scale=570 571\n"
        text += f"\n[Info {number}]\n{info(name, second=number)}"
        text += f"[Run Mode Information {number}]\n{run_mode}\n{more.replace('#', str(number))}"
        for block in range(1, blocks + 1):
            text += f"\n[Data {number}:{block}]\n" if blocks > 1 else f"\n[Data {number}]\n"
            text += "".join(f" {energy:.14E}" + "  1.57E+0001" * slices + "\n" for energy in ENERGIES)
    return text


def wave(
    note: str = "",
    *,
    shape: Sequence[int] = (4,),
    units: Sequence[str] = ("Binding Energy [eV]",),
    name: str = "Ag3d_001",
    order: str = "<",
    version: int = 5,
    data: bytes | None = None,
) -> bytes:
    """An Igor binary wave of doubles (TN003). Its points are 382, 381.5, ..."""
    said = note.replace("\n", "\r").encode("latin-1")
    count = 1
    for size in shape:
        count *= size
    numbers = bytes(8 * count) if data is None else data
    if version != 5:
        header = struct.pack(f"{order}hi20shhi4s4sih", 4, 0, name.encode(), 0, 0, 0, b"", b"eV", count, 0)
        header += struct.pack(f"{order}ddhhhddccii", -0.5, 382.0, 0, 0, 0, 0.0, 0.0, b"\0", b"\0", 0, 0)
        header += struct.pack(f"{order}I2xIi", 0, 0, 0)
        size = len(header) + len(numbers) + 16
        head = struct.pack(f"{order}hiiih", 2, size, len(said), 0, 0)
        return head + header + numbers + bytes(16) + said
    dims = [*shape, 0, 0, 0, 0][:4]
    own = [unit.encode() for unit in [*units, "", "", "", ""][:4]]
    header = struct.pack(f"{order}iIIihh6sh32sii", 0, 0, 0, count, 4, 0, b"", 1, name.encode(), 0, 0)
    header += struct.pack(f"{order}4i4d4d4s16s", *dims, -0.5, 1, 1, 1, 382.0, 0, 0, 0, b"", b"")
    header += bytes(320 - len(header))
    sizes = [len(unit) for unit in own]
    signal = b"Counts [a.u.]"
    head = struct.pack(
        f"{order}hhiiii4i4iiii", 5, 0, 320 + len(numbers), 0, len(said), len(signal), *sizes, 0, 0, 0, 0, 0, 0, 0
    )
    return head + header + numbers + said + signal + b"".join(own)


def ses_wave(name: str = "Ag3d", second: int = 1, **more: object) -> bytes:
    note = f"[SES]\nVersion=1.2.5\n{info(name, second=second)}[Run Mode Information]\n"
    return wave(note, name=f"{name}_001", **more)  # type: ignore[arg-type]


def packed(waves: Sequence[bytes], order: str = "<") -> bytes:
    """A packed experiment (PTN003): variables, then waves."""
    found = struct.pack(f"{order}Hhi", 1, 1, 8) + bytes(8)
    for each in waves:
        found += struct.pack(f"{order}Hhi", 3, 0, len(each)) + each
    return found


def ses_zip(names: Sequence[str] = ("map1",), *, viewer: bool = False) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for second, name in enumerate(names, start=1):
            note = f"[SES]\r\nVersion=1.3.1\r\n{info(name, second)}[Run Mode Information]\r\nName=DA30 Map\r\n"
            archive.writestr(f"{name}.ini", note)
            archive.writestr(f"Spectrum_{name}.bin", bytes(4 * 300 * 20 * 10))
            axes = (
                ("Kinetic Energy [eV]", 300, 16.5, 0.002),
                ("Thetax [deg]", 20, -15, 1.5),
                ("Thetay [deg]", 10, -5, 1),
            )
            low = "_" if viewer else ""
            text = "[spectrum]\r\nname=x\r\n"
            for axis, (label, size, offset, delta) in zip(("width", "height", "depth"), axes, strict=True):
                text += f"{axis}={size}\r\n{axis}{low}offset={offset}\r\n{axis}{low}delta={delta}\r\n"
                text += f"{axis}{low}label={label}\r\n"
            archive.writestr("viewer.ini" if viewer else f"Spectrum_{name}.ini", text)
        archive.writestr("viewer_settings.ini", "[viewer]\r\n")
    return made.getvalue()


def prodigy_region(name: str, date: str, *, cycles: int = 1, channel: bool = False) -> str:
    text = f"""# Region:                       {name}
# Spectrum ID:                  20
# Acquisition Date:             {date}
# Analysis Method:              XPS
# Analyzer:                     Phoibos
# Analyzer Lens:                LargeArea:1.5kV
# Analyzer Slit:                4:7x20c\\C:mesh
# Scan Mode:                    FixedAnalyzerTransmission
# Curves/Scan:                  1
# Values/Curve:                 {len(ENERGIES)}
# Dwell Time:                   0.1
# Excitation Energy:            1486.61
# Binding Energy:               382
# Pass Energy:                  100
# Bias Voltage:                 200
# Detector Voltage:             1600
# Eff. Workfunction:            4.1082
# Source:                       XR 50
# Comment:                      fresh sputtered

"""
    for cycle in range(cycles):
        text += f'# Cycle: {cycle}\n#\n# Parameter: "Z [mm]" = {-2 + cycle / 10:g}\n# Number of Scans: 1\n\n'
        text += f"# Cycle: {cycle}, Curve: 0, Scan: 0\n#\n# Acquisition Date:             {date}\n"
        text += "# ColumnLabels: energy counts/s\n#\n" + "".join(f"{energy}  15598.679\n" for energy in ENERGIES) + "\n"
        if channel:
            text += f"# External Channel Data Cycle: {cycle}, Sample temperature [K] (Laser heater)\n"
            text += "# ColumnLabels: energy Sample temperature [K] (Laser heater)\n"
            text += "".join(f"{energy}  {723 + cycle}\n" for energy in ENERGIES) + "\n"
    return text


def prodigy_xy(zone: str = "UTC", groups: Sequence[tuple[str, Sequence[str]]] | None = None) -> str:
    """`groups`: their names and the texts of their regions."""
    each = [("1 as-loaded", [prodigy_region("Survey", "08/24/23 14:19:47 UTC")])] if groups is None else groups
    text = f"""# Created by:        SpecsLab Prodigy, Version 4.100.1-r111001
#
# XY-Serializer Export Settings:
#   Comment Prefix:           #
#   Energy Axis:              Binding Energy
#   Count Rate:               Counts per Second
#   Separate Scan Data:       yes
#   External Channel Data:    yes
#   Time Zone Format:         {zone}
#
"""
    for name, regions in each:
        text += f"# Group:                        {name}\n#\n" + "\n".join(regions)
    return text


def prodigy_xml(names: Sequence[str] = ("Survey", "O1s"), *, declared: str = "", count: str = "1 2 3") -> str:
    """As SpecsLab 2 writes it; a cycle at 1692886787 with two scans, and one a hundred seconds later."""
    regions = "".join(_xml_region(name, count) for name in names)
    return f"""<?xml version="1.0"{declared}?>
<!-- CORBA XML document created by XMLSerializer2 1.3 at 2023-08-24 15:00:00 UTC, from SL 2.53-r17444 built 2010 -->
<!DOCTYPE any [
<!ELEMENT any (any|sequence|struct|string|double|ulong|boolean)?>
<!ATTLIST any name NMTOKEN #IMPLIED version CDATA #IMPLIED>
]>
<any version="1.3">
<sequence length="1" type_id="IDL:specs.de/Serializer/RegionGroupSeq:1.0" type_name="RegionGroupSeq">
<struct type_id="IDL:specs.de/Serializer/RegionGroup:1.0" type_name="RegionGroup">
<string name="name">as loaded</string>
<sequence name="regions" length="{len(names)}" type_name="RegionDataSeq">
{regions}</sequence>
<sequence name="parameters" length="1" type_name="ParameterSeq">
{_xml_parameter("Comment", "<string>clean</string>")}</sequence>
</struct>
</sequence>
</any>
"""


def _xml_parameter(name: str, text: str) -> str:
    return f"""<struct type_name="Parameter">
<string name="name">{name}</string>
<any name="value">
{text}
</any>
</struct>
"""


def _xml_region(name: str, count: str) -> str:
    cycles = "".join(
        f"""<struct type_name="Cycle">
<ulong name="time">{1692886787 + 100 * cycle}</ulong>
<sequence name="scans" length="2" type_name="ScanSeq">
<struct type_name="Scan"><sequence name="counts" length="3" type_name="CountsSeq">
<ulong type_name="Counts">{count}</ulong></sequence></struct>
</sequence>
<sequence name="parameters" length="1" type_name="ParameterSeq">
{_xml_parameter("Sample Temperature [K]", f"<double>{300 + cycle}</double>")}</sequence>
</struct>
"""
        for cycle in range(2)
    )
    return f"""<struct type_id="IDL:specs.de/Serializer/RegionData:1.0" type_name="RegionData">
<string name="name">{name}</string>
<struct name="region" type_id="IDL:specs.de/SurfaceAnalysis/RegionDef:1.0" type_name="RegionDef">
<string name="analysis_method">XPS</string>
<string name="analyzer_lens">MediumArea:1.5kV</string>
<string name="analyzer_slit">4:7x20c\\B:open</string>
<struct name="scan_mode" type_name="ScanMode">
<string name="name">FixedAnalyzerTransmission</string>
<ulong name="flags" type_name="ScanModeFlags">2</ulong>
</struct>
<ulong name="num_scans">2</ulong>
<ulong name="curves_per_scan">1</ulong>
<ulong name="values_per_curve">3</ulong>
<double name="dwell_time">0.5</double>
<double name="scan_delta">0.05</double>
<double name="excitation_energy">1486.61</double>
<double name="kinetic_energy">400</double>
<double name="pass_energy">20</double>
<double name="bias_voltage">90</double>
<double name="detector_voltage">1600</double>
<double name="effective_workfunction">4.5</double>
</struct>
<ulong name="mcd_head">20</ulong>
<struct name="analyzer_info" type_name="AnalyzerInfo">
<string name="name">PHOIBOS 150</string>
<sequence name="parameters" length="1" type_name="ParameterSeq">
{_xml_parameter("Coil Current [mA]", "<double>1.5</double>")}</sequence>
</struct>
<struct name="source_info" type_name="SourceInfo">
<string name="name">XR 50</string>
</struct>
<sequence name="cycles" length="2" type_name="CycleSeq">
{cycles}</sequence>
<sequence name="parameters" length="1" type_name="ParameterSeq">
{_xml_parameter("Color", "<ulong>255</ulong>")}</sequence>
</struct>
"""


SCHEDULE = """<!DOCTYPE SpecsLabSchedule><Experiment Version="1.1"><Schedule><XPS ID="1">
<SpectrumGroup ID="2" Name="as loaded"><CommonSpectrumSettings><ScanMode Name="FixedAnalyzerTransmission"/>
<SlitInfo Entrance="4:7x20c" Exit="B:open"/><Lens Mode="LargeArea" VoltageRange="1.5kV"/></CommonSpectrumSettings>
<Spectrum ID="4" Name="Sb 3d"><Comment>clean</Comment><FixedAnalyzerTransmissionSettings Ebin="540" End="520"
 NumScans="3" DwellTime="0.1" Epass="20" NumValues="401"/></Spectrum>
<Spectrum ID="5" Name="O 1s"><FixedAnalyzerTransmissionSettings Ebin="535" Epass="30"/></Spectrum>
</SpectrumGroup></XPS></Schedule></Experiment>"""


def prodigy_sle(path: Path, schedule: str = SCHEDULE) -> None:
    """Its first spectrum was measured three times, its second was not."""
    database = sqlite3.connect(path)
    with database:
        database.execute("CREATE TABLE Configuration (Key TEXT, Value TEXT)")
        database.executemany(
            "INSERT INTO Configuration VALUES (?, ?)",
            [("Version", "1.11"), ("AppVersion", "4.37.2-r68309"), ("Schedule", schedule), ("MetaInfo", "<MetaInfo/>")],
        )
        database.execute("CREATE TABLE NodeMapping (Node INTEGER, InternalID INTEGER)")
        database.execute("INSERT INTO NodeMapping VALUES (104, 4)")
        database.execute("CREATE TABLE NodeData (Node INTEGER, Data TEXT)")
        database.execute(
            "INSERT INTO NodeData VALUES (104, ?)",
            ('<Data><AnalyzerSpectrumParameters ExcitationEnergy="1486.61" PassEnergy="20"/></Data>',),
        )
        database.execute("CREATE TABLE RawData (RawID INTEGER, Node INTEGER, ScanDate TEXT, Trace TEXT)")
        dates = [f"2023-Aug-24 14:{minute}:47.250000" for minute in (19, 20, 21)]
        database.executemany("INSERT INTO RawData VALUES (?, 104, ?, '')", enumerate(dates))
    database.close()
