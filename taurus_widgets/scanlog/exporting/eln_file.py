"""Rows as an `.eln` archive: an RO-Crate 1.1 in a zip file, as specified by the ELN consortium.

https://github.com/TheELNConsortium/TheELNFileFormat/blob/master/SPECIFICATION.md: one folder at the root, in it
`ro-crate-metadata.json`, and a folder for each dataset with its files; File nodes have `contentSize` as a text; values
are `variableMeasured` nodes of type PropertyValue.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.cells import Sheet, plain_value, readable
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.exporting.disk_list import DiskList
from taurus_widgets.scanlog.exporting.html_file import HtmlWriter
from taurus_widgets.scanlog.exporting.pictures import PictureFile, slug
from taurus_widgets.scanlog.exporting.writer import RowWriter

MAX_ELN_PARTS = 10_000
"""Files and folders in one archive: the consortium's own checks accept no more."""

METADATA_NAME = "ro-crate-metadata.json"
LICENSE = "No licence is stated. The data policy of the facility and of the proposal holds."

Node = dict[str, Any]


class ElnWriter(RowWriter):
    """Writes an archive. `name` is its name without `.eln`. Parts for its end are stored in `folder` until then."""

    def __init__(self, file: BinaryIO, sheet: Sheet, name: str, folder: Path) -> None:
        self._sheet = sheet
        self._headings = sheet.headings
        self._root = slug(name, 80)
        self._people: dict[str, Node] = {}
        # Closed by `finish` and `abandon`.
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        self._members: DiskList[zipfile.ZipInfo] = DiskList(folder)
        cast(Any, self._zip).filelist = self._members
        self._parts: DiskList[str] = DiskList(folder)
        self._nodes = cast(BinaryIO, tempfile.TemporaryFile(dir=folder))  # noqa: SIM115
        self._page = cast(BinaryIO, tempfile.TemporaryFile(dir=folder))  # noqa: SIM115
        self._preview = HtmlWriter(self._page, sheet)
        self._zip.mkdir(self._root)

    def row(self, dataset: Json, pictures: list[PictureFile]) -> None:
        title = cols.title(dataset) or cols.line(dataset["pid"])
        # The number makes the names unique, and sorts the folders as in the table.
        name = f"{len(self._parts) + 1:05d}-{slug(title)}"
        self._zip.mkdir(f"{self._root}/{name}")
        files = [self._file(name, picture) for picture in pictures]
        values = self._values(name, dataset)
        node: Node = {
            "@id": f"./{name}/",
            "@type": "Dataset",
            "name": title,
            "identifier": dataset["pid"],
            "text": self._text(dataset),
            "hasPart": [_reference(file) for file in files],
            "variableMeasured": [_reference(value) for value in values],
            **self._author(dataset),
            **{name: dataset[key] for name, key in _TIMES.items() if cols.moment(dataset.get(key))},
        }
        self._parts.append(node["@id"])
        self._preview.row(dataset, [])
        self._zip.NameToInfo.clear()  # for looking up members and finding equal names: here they are numbered
        self._write({key: value for key, value in node.items() if value}, *files, *values)

    def finish(self) -> None:
        self._preview.finish()
        with self._zip.open(f"{self._root}/{METADATA_NAME}", "w", force_zip64=True) as member:
            member.write(b'{"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": [')
            self._write_frame(member)
            member.write(b"".join(b",\n" + _json(person) for person in self._people.values()))
            self._nodes.seek(0)
            shutil.copyfileobj(self._nodes, member)
            member.write(b"]}\n")
        with self._zip.open(f"{self._root}/ro-crate-preview.html", "w", force_zip64=True) as member:
            self._page.seek(0)
            shutil.copyfileobj(self._page, member)
        for part in self._open():
            part.close()

    def _open(self) -> tuple[Any, ...]:
        """Everything that must be closed, the archive first because it reads its list of members once more."""
        return self._zip, self._members, self._parts, self._nodes, self._page

    def abandon(self) -> None:
        for part in self._open():
            with suppress(OSError):  # the disk is still full: the first error is reported
                part.close()

    def _write(self, *nodes: Node) -> None:
        self._nodes.write(b"".join(b",\n" + _json(node) for node in nodes))

    def _write_frame(self, member: IO[bytes]) -> None:
        """Write the first nodes: the metadata file, the root with all its parts, and the catalogue."""
        sheet, made = self._sheet, self._sheet.made.isoformat(timespec="seconds")
        publisher = {"@id": sheet.catalogue, "@type": "Organization", "name": "SciCat", "url": sheet.catalogue}
        descriptor = {
            "@id": METADATA_NAME,
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
            "dateCreated": made,
            "sdPublisher": _reference(publisher),
            "version": "1.0",
        }
        whole = {
            "@id": "./",
            "@type": "Dataset",
            "name": sheet.title,
            "description": f"Datasets from the scan log, as they are in {sheet.catalogue}",
            "datePublished": made,
            "license": LICENSE,
            "publisher": _reference(publisher),
        }
        member.write(_json(descriptor) + b",\n")
        member.write(_json(whole).removesuffix(b"}") + b', "hasPart": [')
        for number, part in enumerate(self._parts):
            member.write((b",\n" if number else b"") + _json({"@id": part}))
        member.write(b"]},\n" + _json(publisher))

    def _file(self, name: str, picture: PictureFile) -> Node:
        file = f"{name}/{picture.stem}.{picture.suffix}"
        self._zip.writestr(f"{self._root}/{file}", picture.data, zipfile.ZIP_STORED)
        node = {
            "@id": f"./{file}",
            "@type": "File",
            "name": Path(file).name,
            "encodingFormat": picture.kind,
            "contentSize": str(len(picture.data)),
            "sha256": picture.sha256,
        }
        return node | ({"description": picture.caption} if picture.caption else {})

    def _values(self, name: str, dataset: Json) -> list[Node]:
        made = []
        for number, column in enumerate(self._sheet.columns, 1):
            value = plain_value(column, dataset)
            if value == "":
                continue
            node = {
                "@id": f"#{name}/{number}",
                "@type": "PropertyValue",
                "propertyID": ".".join(column.path or [column.key]),
                "name": self._headings[number - 1],
                "value": value,
            }
            leaf = cols.leaf_at(dataset, column.path) if column.path else None
            unit = cols.line(leaf.get("unit")) if isinstance(leaf, dict) else ""
            made.append(node | ({"unitText": unit} if unit else {}))
        return made

    def _text(self, dataset: Json) -> str:
        """The row as a table with two columns, which notebooks show."""
        shown = zip(self._headings, (readable(column, dataset) for column in self._sheet.columns), strict=True)
        rows = (f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in shown if text)
        return f"<table><tbody>{''.join(rows)}</tbody></table>"

    def _author(self, dataset: Json) -> Node:
        name = cols.line(dataset.get("principalInvestigator") or dataset.get("owner"))
        if not name:
            return {}
        person = self._people.setdefault(
            name, {"@id": f"#person/{len(self._people) + 1}", "@type": "Person", "name": name}
        )
        return {"author": _reference(person)}


_TIMES = {"dateCreated": "creationTime", "dateModified": "updatedAt"}


def _reference(node: Node) -> Node:
    return {"@id": node["@id"]}


def _json(node: Node) -> bytes:
    return json.dumps(node, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
