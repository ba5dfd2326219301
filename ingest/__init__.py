"""SciCow, the client of SciCat, and the embedded catalogue."""
