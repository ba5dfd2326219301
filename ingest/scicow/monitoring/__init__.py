"""Metrics, health and status of a running SciCow over HTTP, and the checks of `scicow status`."""
