"""The table: model, view, header, and the threads and requests that fill it."""
