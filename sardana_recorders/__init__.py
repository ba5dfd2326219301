"""Sardana recorders: a folder for the RecorderPath of a MacroServer."""
