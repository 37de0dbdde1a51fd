"""Model templates, one per file: ``build(input_shape_hwc, num_classes, params) -> keras.Model``."""
