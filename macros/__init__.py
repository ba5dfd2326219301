"""Sardana macros: a folder for the MacroPath of a MacroServer."""
