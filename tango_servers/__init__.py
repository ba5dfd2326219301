"""Tango device servers, one module each."""
