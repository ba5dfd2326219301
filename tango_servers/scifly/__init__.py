"""The parts of the device SciFly without its Tango device."""
