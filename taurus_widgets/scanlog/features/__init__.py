"""One module for each thing that a user can do.

A feature uses what is public in `LogView`, and the features that it is given or makes. `window.ScanLog` creates them.
"""
