"""The loops and the files around detectors: train, evaluate, predict, export."""
