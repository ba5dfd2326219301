"""Proposals and storage: the user office's data about a proposal, and the folders of its data."""
