"""The command `scizoo`: what people at a beamline ask of the whole bundle."""
