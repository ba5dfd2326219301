"""Small Qt parts for datasets. Widgets without datasets use those of `taurus_widgets.qt`."""
