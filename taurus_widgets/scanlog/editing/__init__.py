"""Editing of ratings, comments and pictures: the delegates of their cells, and the queue of edits."""
