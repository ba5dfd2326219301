"""Proposals and storage: what the user office says of a proposal, and where its data goes."""
