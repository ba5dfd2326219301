"""Tango device servers, one module each; the packages hold what they do without Tango's device."""
