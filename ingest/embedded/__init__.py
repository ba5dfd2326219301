"""A catalogue for beamlines that have no SciCat yet, for demos and for tests."""
