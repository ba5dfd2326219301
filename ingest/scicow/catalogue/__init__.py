"""Writes one message into SciCat: the dataset, its files, and the proposal, sample and instrument it refers to."""
