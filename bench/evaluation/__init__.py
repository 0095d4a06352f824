"""Accuracy on data sets: clicks that a simulated user needs (`mfp eval`)."""
