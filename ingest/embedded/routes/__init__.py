"""The routes of SciCat's REST API."""
