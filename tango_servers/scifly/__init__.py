"""What the device SciFly is made of, without its Tango side."""
