"""Evaluation of models: scores of rows, written answers, judges and classifiers, results."""
