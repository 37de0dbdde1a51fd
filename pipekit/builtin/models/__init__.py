"""Model templates, one in each file: ``build(input_shape_hwc, num_classes, params) -> keras.Model``."""
