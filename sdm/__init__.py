"""Proposals and storage: what stands between Tango and the user office."""
