"""Taurus widgets for the control room."""
