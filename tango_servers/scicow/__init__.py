"""The parts of the device server SciCow."""
