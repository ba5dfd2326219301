"""The right side: the Tango database, searched and added from."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from taurus.external.qt import Qt

from deploy.demo.stack import SCIDOG, Stack
from taurus_widgets.scidog.browser.model import NODE_ROLE, Node
from taurus_widgets.scidog.data.tango_names import Names, SearchResult
from taurus_widgets.scidog.entries.model import NOW, SOURCE
from taurus_widgets.scidog.window import ScidogEditor
from tests.ui.scidog.conftest import Hand
from tests.ui.scidog.test_entries import drop

ALIAS, ELEMENT = "myslits", "mot01"


@pytest.fixture
def aliased(stack: Stack) -> Iterator[None]:
    """An alias, and an element of Sardana."""
    stack.db.put_device_alias("b311a-o/opt/slits-01", ALIAS)
    stack.add_device("Pool/editor", "Motor", "motor/editor/1")
    stack.db.put_device_alias("motor/editor/1", ELEMENT)
    yield
    stack.db.delete_device_alias(ALIAS)
    stack.db.delete_device("motor/editor/1")


class Tree:
    """A person at the tree."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.pane = hand.editor.browser
        hand.qtbot.waitUntil(lambda: self.pane.model.rowCount() > 0)

    def names(self, parent: Qt.QModelIndex | None = None) -> list[str]:
        above = parent or Qt.QModelIndex()
        model = self.pane.model
        return [str(model.index(row, 0, above).data()) for row in range(model.rowCount(above))]

    def index(self, *path: str) -> Qt.QModelIndex:
        found = Qt.QModelIndex()
        for name in path:
            self.hand.qtbot.waitUntil(lambda found=found, name=name: name in self.names(found))
            found = self.pane.model.index(self.names(found).index(name), 0, found)
        return found

    def open(self, *path: str) -> Qt.QModelIndex:
        for length in range(1, len(path) + 1):
            index = self.index(*path[:length])
            self.pane.tree.setCurrentIndex(index)
            if not self.pane.tree.isExpanded(index):
                self.hand.qtbot.keyClick(self.pane.tree, Qt.Qt.Key_Right)
        return self.index(*path)

    def node(self, index: Qt.QModelIndex) -> Node:
        found: Node = index.data(NODE_ROLE)
        return found

    def find(self, text: str) -> None:
        self.pane.search.setFocus()
        self.pane.search.clear()
        self.hand.qtbot.keyClicks(self.pane.search, text)

    def hits(self) -> list[str]:
        model = self.pane.model
        return [
            self.node(model.index(row, 0, model.index(above, 0))).source
            for above in range(model.rowCount())
            for row in range(model.rowCount(model.index(above, 0)))
        ]


@pytest.fixture
def tree(hand: Hand) -> Tree:
    return Tree(hand)


def test_a_device_is_asked_when_it_is_opened(tree: Tree) -> None:
    lakeshore = tree.open("b311a-e", "dia / lakeshore-01")
    t1 = tree.index("b311a-e", "dia / lakeshore-01", "T1")
    tree.hand.qtbot.waitUntil(lambda: tree.node(t1).live is not None)
    node = tree.node(t1)
    assert node.live is not None
    assert node.live.unit == "K"
    assert node.info["type"] == "DevDouble"
    assert tree.pane.model.mark(node) == "recorded"
    assert tree.pane.model.mark(tree.node(tree.index("b311a-e", "dia / lakeshore-01", "SetPoint"))) in ("", "recorded")
    assert "T1" in tree.names(lakeshore)
    assert "now: " in t1.data(Qt.Qt.ToolTipRole)


def test_what_another_configuration_records_is_marked_with_its_name(tree: Tree) -> None:
    tree.open("r3-319s2", "dia / dcct-01")
    node = tree.node(tree.index("r3-319s2", "dia / dcct-01", "InstantaneousCurrent"))
    assert tree.pane.model.mark(node) == "in beamline"


def test_a_device_that_does_not_answer_says_so(tree: Tree) -> None:
    tree.open("b311a-e", "dia / picoammeter-01")
    path = ("b311a-e", "dia / picoammeter-01")
    tree.hand.qtbot.waitUntil(lambda: bool(tree.names(tree.index(*path))))
    (said,) = tree.names(tree.index(*path))
    assert "does not answer" in said


def test_search_by_words_and_wildcards(tree: Tree) -> None:
    tree.hand.qtbot.waitUntil(lambda: "attributes known" in tree.pane.state.text() and tree.pane.index.count > 30)
    tree.find("lakeshore t*")
    tree.hand.qtbot.waitUntil(lambda: len(tree.hits()) == 3)
    assert tree.hits() == [f"b311a-e/dia/lakeshore-01/T{number}" for number in (1, 2, 3)]
    tree.find("no such thing")
    tree.hand.qtbot.waitUntil(lambda: "Nothing has 'no such thing' in its name" in tree.pane.state.text())
    tree.pane.search.clear()
    tree.hand.qtbot.waitUntil(lambda: "b311a-o" in tree.names())


def test_enter_in_the_search_and_in_the_tree_adds(tree: Tree) -> None:
    tree.hand.qtbot.waitUntil(lambda: tree.pane.index.count > 30)
    tree.hand.select("Cold finger")
    tree.find("wavelength")
    tree.hand.qtbot.waitUntil(lambda: len(tree.hits()) == 1)
    tree.hand.qtbot.keyClick(tree.pane.search, Qt.Qt.Key_Return)
    assert tree.node(tree.pane.tree.currentIndex()).text == "Wavelength"
    tree.hand.qtbot.keyClick(tree.pane.tree, Qt.Qt.Key_Return)
    names = tree.hand.names()
    assert names.index("Wavelength") == names.index("Cold finger") + 1
    assert tree.hand.text("Wavelength", SOURCE) == "b311a-o/opt/mono-01/Wavelength"
    tree.hand.qtbot.waitUntil(lambda: tree.hand.text("Wavelength", NOW) not in ("", "…"))
    assert tree.pane.model.mark(tree.node(tree.pane.tree.currentIndex())) == "recorded"


def test_a_double_click_adds(tree: Tree) -> None:
    tree.open("b311a-o", "opt / mono-01")
    index = tree.index("b311a-o", "opt / mono-01", "BraggAngle")
    view = tree.pane.tree
    view.scrollTo(index)
    place = view.visualRect(index).center()
    tree.hand.qtbot.mouseClick(view.viewport(), Qt.Qt.LeftButton, pos=place)
    tree.hand.qtbot.mouseDClick(view.viewport(), Qt.Qt.LeftButton, pos=place)
    assert "BraggAngle" in tree.hand.names()


def test_several_are_dragged_to_the_left(tree: Tree, editor: ScidogEditor) -> None:
    tree.open("b311a-o", "opt / mono-01")
    view, model = tree.pane.tree, tree.pane.model
    for name in ("BraggAngle", "Wavelength"):
        index = tree.index("b311a-o", "opt / mono-01", name)
        view.selectionModel().select(index, Qt.QItemSelectionModel.Select)
    indexes = [index for index in view.selectionModel().selectedRows() if tree.node(index).source]
    drop(editor, model.mimeData(indexes), "Cold finger")
    names = tree.hand.names()
    place = names.index("Cold finger")
    assert names[place - 2 : place] == ["BraggAngle", "Wavelength"]
    assert editor.draft is not None
    assert editor.draft.rows[place - 1].group == "Sample environment"


def test_aliases_and_elements_of_sardana(aliased: None, tree: Tree) -> None:
    tree.hand.qtbot.waitUntil(lambda: "Aliases" in tree.names())
    assert tree.names(tree.index("Aliases")) == [ELEMENT, ALIAS]
    assert tree.names(tree.index("Sardana", "Motors")) == [ELEMENT]
    tree.open("Aliases", ALIAS)
    node = tree.node(tree.index("Aliases", ALIAS, "VerticalGap"))
    assert node.source == "b311a-o/opt/slits-01/VerticalGap"
    tree.hand.qtbot.waitUntil(lambda: tree.pane.index.count > 30)
    tree.find(f"{ALIAS} gap")
    tree.hand.qtbot.waitUntil(lambda: len(tree.hits()) == 2)


def test_another_database(tree: Tree, stack: Stack) -> None:
    host = stack.tango_host
    tree.hand.answer(lambda dialog: (dialog.setTextValue(f"tango://{host}/"), dialog.accept()))
    tree.pane.addDatabase.click()
    tree.open(host, "b311a-o", "opt / mono-01")
    node = tree.node(tree.index(host, "b311a-o", "opt / mono-01", "Energy"))
    assert node.source == f"tango://{host}/b311a-o/opt/mono-01/Energy"
    tree.hand.qtbot.waitUntil(lambda: node.live is not None)
    assert node.live is not None
    assert node.live.in_full == "12.4 keV"


def test_another_database_that_is_read_first_is_not_taken_for_the_own_one(
    tree: Tree, stack: Stack, editor: ScidogEditor
) -> None:
    pane, host = tree.pane, stack.tango_host
    own = pane.names
    pane.open(editor.session.prefix)
    pane.calls.stop()  # its own answer comes later
    assert tree.names() == []
    pane.calls.restart()
    pane.addHost(host)
    tree.hand.qtbot.waitUntil(lambda: host in tree.names())
    assert pane.names.devices == ()
    pane._namesRead(own)
    assert pane.names.devices == own.devices
    node = tree.node(tree.index(host))
    assert all(child.device.startswith("tango://") for below in node.children or () for child in below.children or ())
    assert "b311a-o" in tree.names()


def test_another_device_is_shown_with_its_own_database(tree: Tree, stack: Stack, editor: ScidogEditor) -> None:
    index = tree.pane.index
    editor.setDevice(stack.name(SCIDOG))
    tree.hand.qtbot.waitUntil(lambda: tree.pane.index is not index and bool(tree.pane.names.devices))


def test_what_is_typed_is_completed_by_another_thread(
    tree: Tree, editor: ScidogEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    pane, table = tree.pane, editor.table
    tree.hand.qtbot.waitUntil(lambda: pane.index.count > 30)
    threads: set[threading.Thread] = set()
    search = pane.index.search

    def noted(text: str, names: Names) -> SearchResult:
        threads.add(threading.current_thread())
        return search(text, names)

    monkeypatch.setattr(pane.index, "search", noted)
    index = tree.hand.index("Cold finger", SOURCE)
    table.setCurrentIndex(index)
    table.edit(index)
    line = table.findChild(Qt.QLineEdit)
    line.selectAll()
    tree.hand.qtbot.keyClicks(line, "wavelen")
    model = line.completer().model()
    tree.hand.qtbot.waitUntil(lambda: model.stringList() == ["b311a-o/opt/mono-01/Wavelength"])
    tree.hand.qtbot.waitUntil(line.completer().popup().isVisible)
    assert threads
    assert threading.main_thread() not in threads
    line.completer().popup().hide()


def test_a_device_that_was_added_since_is_found(tree: Tree, stack: Stack) -> None:
    tree.find("undulator")
    tree.hand.qtbot.waitUntil(lambda: "Nothing has 'undulator'" in tree.pane.state.text())
    stack.add_device("SimBeamline/later", "VacuumValve", "b311a-o/ins/undulator-01")
    try:
        tree.find("undulator-0")
        tree.hand.qtbot.waitUntil(lambda: tree.names() == ["b311a-o/ins/undulator-01"])
    finally:
        stack.db.delete_device("b311a-o/ins/undulator-01")
