"""The Tango database as a tree: each device's attributes are asked for when it is opened."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from taurus.external.qt import Qt

from taurus_widgets.qt.text import tooltip
from taurus_widgets.scidog.data.live import LiveValue
from taurus_widgets.scidog.data.tango_names import Names, SearchResult
from taurus_widgets.scidog.session import SOURCES_TYPE

NODE_ROLE = Qt.Qt.UserRole


class Node:
    """A line of the tree. `children` is None until they are known. `source` is what is recorded, for an attribute."""

    def __init__(self, text: str, parent: Node | None, device: str = "", source: str = "", about: str = "") -> None:
        self.text = text
        self.parent = parent
        self.device = device
        """With `tango://host:port/` where it is in another database."""
        self.source = source
        self.about = about
        self.children: list[Node] | None = [] if source or not device else None
        self.info: Mapping[str, Any] = {}
        """Of an attribute: type, unit, description, labels, as `check.attributes` gives them."""
        self.live: LiveValue | None = None
        self.running = True
        self.failed = self.asked = False

    @property
    def place(self) -> int:
        return self.parent.children.index(self) if self.parent and self.parent.children else 0

    def add(self, child: Node) -> Node:
        assert self.children is not None
        self.children.append(child)
        return child


class TangoModel(Qt.QAbstractItemModel):
    """The tree of databases, or of what a search has found."""

    childrenWanted = Qt.Signal(object)
    """A Node of a device whose attributes are to be asked for."""

    def __init__(self, parent: Qt.QObject | None = None) -> None:
        super().__init__(parent)
        self._root = Node("", None)
        self.marks: dict[str, str] = {}
        """By normal source: where it is recorded already."""
        self._aliases: Mapping[str, str] = {}

    # ----------------------------------------------------------------------- content

    def showDatabases(self, databases: Sequence[tuple[str, Names]]) -> None:
        """The first one is that of SciDog; the others are below it, under their host."""
        self._begin(databases[0][1] if databases else Names())
        for number, (host, names) in enumerate(databases):
            root = self._root.add(Node(host, self._root, about="another database")) if number else self._root
            _fill(root, names, f"tango://{host}/" if number else "")
        self.endResetModel()

    def showSearch(self, result: SearchResult, names: Names) -> None:
        """The devices with the attributes that were found, and those that match by name."""
        self._begin(names)
        aliases = names.alias_of()
        nodes: dict[str, Node] = {}
        for hit in result.attributes:
            node = nodes.get(hit.device)
            if node is None:
                node = nodes[hit.device] = self._root.add(_device(hit.device, self._root, "", names, aliases))
                node.children = []
            node.add(Node(hit.attribute, node, hit.device, f"{hit.device}/{hit.attribute}"))
        for device in result.devices:
            if device not in nodes:
                nodes[device] = self._root.add(_device(device, self._root, "", names, aliases))
        self.endResetModel()

    def _begin(self, names: Names) -> None:
        self.beginResetModel()
        self._root = Node("", None)
        self._aliases = {alias.lower(): device.lower() for alias, device in names.aliases.items()}

    def setAttributes(self, node: Node, infos: Sequence[Mapping[str, Any]], prefix: str) -> None:
        """The attributes of a device, as `check.attributes` gives them."""
        index = self.indexOf(node)
        if infos:
            self.beginInsertRows(index, 0, len(infos) - 1)
        node.children = []
        for info in infos:
            child = node.add(Node(info["name"], node, node.device, f"{prefix}/{info['name']}"))
            child.info = info
        if infos:
            self.endInsertRows()
        else:
            self.setFailed(node, "it has no attribute")

    def setFailed(self, node: Node, why: str) -> None:
        index = self.indexOf(node)
        self.beginInsertRows(index, 0, 0)
        node.children = []
        node.add(Node(why, node)).failed = True
        self.endInsertRows()

    def setMarks(self, sources: Iterable[tuple[str, str]]) -> None:
        """(source, where it is recorded) of all that is marked."""
        self.marks = {self.normal(source): where for source, where in sources}

    def mark(self, node: Node) -> str:
        return self.marks.get(self.normal(node.source), "") if node.source else ""

    def normal(self, source: str) -> str:
        """A source in lower case, with the device in place of its alias."""
        device, _, attribute = source.lower().rpartition("/")
        return f"{self._aliases.get(device, device)}/{attribute}"

    # -------------------------------------------------------------------- Qt's model

    def node(self, index: Qt.QModelIndex) -> Node:
        return index.internalPointer() if index.isValid() else self._root

    def indexOf(self, node: Node) -> Qt.QModelIndex:
        return Qt.QModelIndex() if node.parent is None else self.createIndex(node.place, 0, node)

    def index(self, row: int, column: int, parent: Qt.QModelIndex = Qt.QModelIndex()) -> Qt.QModelIndex:  # noqa: B008
        children = self.node(parent).children
        if children is None or not 0 <= row < len(children) or column:
            return Qt.QModelIndex()
        return self.createIndex(row, column, children[row])

    def parent(self, index: Qt.QModelIndex = Qt.QModelIndex()) -> Any:  # noqa: B008
        above = self.node(index).parent
        return self.indexOf(above) if above is not None else Qt.QModelIndex()

    def rowCount(self, parent: Qt.QModelIndex = Qt.QModelIndex()) -> int:  # noqa: B008
        return len(self.node(parent).children or ())

    def columnCount(self, parent: Qt.QModelIndex = Qt.QModelIndex()) -> int:  # noqa: B008
        return 1

    def hasChildren(self, parent: Qt.QModelIndex = Qt.QModelIndex()) -> bool:  # noqa: B008
        children = self.node(parent).children
        return children is None or bool(children)

    def canFetchMore(self, parent: Qt.QModelIndex) -> bool:
        node = self.node(parent)
        return node.children is None and not node.asked

    def fetchMore(self, parent: Qt.QModelIndex) -> None:
        node = self.node(parent)
        node.asked = True
        self.childrenWanted.emit(node)

    def flags(self, index: Qt.QModelIndex) -> Qt.Qt.ItemFlags:
        node = self.node(index)
        found = Qt.Qt.ItemIsEnabled | Qt.Qt.ItemIsSelectable
        return Qt.Qt.ItemFlags(found | Qt.Qt.ItemIsDragEnabled if node.source else found)

    def data(self, index: Qt.QModelIndex, role: int = Qt.Qt.DisplayRole) -> Any:
        node = self.node(index)
        if role == Qt.Qt.DisplayRole:
            return node.text
        if role == NODE_ROLE:
            return node
        if role == Qt.Qt.ToolTipRole:
            return tooltip(self._tip(node))
        if role == Qt.Qt.AccessibleTextRole:
            value = node.live.error or node.live.in_full if node.live else ""
            return ", ".join(filter(None, (node.text, value, self.mark(node) and "recorded")))
        return None

    def _tip(self, node: Node) -> str:
        live = node.live
        lines = [
            node.source or node.device or node.text,
            str(node.info.get("description", "")),
            f"type: {_type(node.info)}" if node.info else "",
            f"labels: {', '.join(node.info['labels'])}" if node.info.get("labels") else "",
            (live.error or f"now: {live.in_full}") if live else "",
            f"quality: {live.quality}" if live and live.quality else "",
            self.mark(node),
            "" if node.running else "its server does not run",
        ]
        return "\n".join(filter(None, lines))

    def mimeTypes(self) -> list[str]:
        return [SOURCES_TYPE]

    def mimeData(self, indexes: Iterable[Qt.QModelIndex]) -> Qt.QMimeData:
        data = Qt.QMimeData()
        found = [[node.source, node.text] for node in map(self.node, indexes) if node.source]
        data.setData(SOURCES_TYPE, json.dumps(found).encode())
        data.setText("\n".join(source for source, _ in found))
        return data

    def supportedDragActions(self) -> Qt.Qt.DropActions:
        return Qt.Qt.DropActions(Qt.Qt.CopyAction)


def _type(info: Mapping[str, Any]) -> str:
    kind = str(info.get("type", "")).removeprefix("Dev").lower()
    form = str(info.get("format", "")).lower()
    return kind if form in ("scalar", "") else f"{kind} {form}"


def typeText(node: Node) -> str:
    """The type of an attribute in a word or two; "" if it is not known."""
    return _type(node.info) if node.info else ""


def _device(device: str, parent: Node, prefix: str, names: Names, aliases: Mapping[str, str], text: str = "") -> Node:
    node = Node(text or device, parent, prefix + device, about=aliases.get(device.lower(), ""))
    node.running = device.lower() in names.running
    return node


def _fill(root: Node, names: Names, prefix: str) -> None:
    """Sardana's elements, the aliases, then the domains with their devices."""
    aliases = names.alias_of()
    if names.sardana:
        sardana = root.add(Node("Sardana", root, about="elements"))
        for title, devices in names.sardana.items():
            kind = sardana.add(Node(title, sardana, about=str(len(devices))))
            for device in devices:
                kind.add(_device(device, kind, prefix, names, {}, aliases.get(device.lower(), "")))
    if names.aliases:
        heading = root.add(Node("Aliases", root, about=str(len(names.aliases))))
        for alias, device in sorted(names.aliases.items(), key=lambda item: item[0].lower()):
            node = heading.add(_device(device, heading, prefix, names, {}, alias))
            node.about = device
    domains: dict[str, Node] = {}
    for device in names.devices:
        domain, _, rest = device.partition("/")
        key = domain.lower()
        if key not in domains:
            domains[key] = root.add(Node(domain, root))
        domains[key].add(_device(device, domains[key], prefix, names, aliases, rest.replace("/", " / ")))
