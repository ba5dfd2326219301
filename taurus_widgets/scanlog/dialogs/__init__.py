"""The dialogs of the scan log, except those of the exports."""
