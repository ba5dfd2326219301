"""One module for each user function.

A feature uses what is public in `LogView`, and the features that it receives or creates. `window.ScanLog` creates them.
"""
