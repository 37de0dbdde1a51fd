"""Trained models: layers and parameters, predictions, evaluation, significance tests. The only package that loads Keras."""
