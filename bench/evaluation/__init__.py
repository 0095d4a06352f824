"""Evaluation on data sets: number of clicks that a simulated user needs (`mfp eval`)."""
