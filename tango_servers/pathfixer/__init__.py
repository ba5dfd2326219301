"""What PathFixer does, without its Tango device: selection, upkeep, consumers, running scans, properties."""
