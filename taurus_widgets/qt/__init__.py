"""Small Qt parts for any widget. They know neither datasets nor SciCat."""
