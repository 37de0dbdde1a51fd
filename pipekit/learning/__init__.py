"""Trained models: layers and parameters, predictions, evaluation, statistical tests. The one place that loads Keras."""
