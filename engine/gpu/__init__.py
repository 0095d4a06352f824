"""The array work of a click on a GPU."""
