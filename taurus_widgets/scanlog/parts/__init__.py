"""Small Qt parts that know what a dataset is. Widgets without datasets use those of `taurus_widgets.qt`."""
