"""Reads the status of SciCow's replicas, for the device SciCow."""
