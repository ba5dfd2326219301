"""Exports of rows of the scan log: to files, to the clipboard, to Elogy."""
