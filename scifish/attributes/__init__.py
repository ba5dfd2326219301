"""Tango attributes: read as one snapshot, sampled for statistics, and what PathFixer says."""
