"""Rows of the scan log for elsewhere: files, the clipboard, Elogy."""
