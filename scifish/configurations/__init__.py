"""Configurations of attributes: edited, compared, checked, and imported from files."""
