"""What ships in the box, registered through the same hooks as anybody's plugin. No name here imports its code."""

from __future__ import annotations

from pipekit.hookspecs import Register, hookimpl


@hookimpl
def register_executors(register: Register) -> None:
    register("serial", "pipekit.builtin.executors:serial", summary="One shard after another, in this process")
    register("threads", "pipekit.builtin.executors:threads", summary="A pool of threads; OpenCV and JPEG work run in parallel")
    register("processes", "pipekit.builtin.executors:processes", summary="A pool of processes, for ops written in Python")


@hookimpl
def register_stages(register: Register) -> None:
    register("split", "pipekit.builtin.split:split", summary="Give every sample a split: train, val or test")
    register("augment", "pipekit.builtin.augment:augment", summary="Make augmented copies of the training images")
    register("train", "pipekit.builtin.train:train", summary="Train a model on the train split, watching val")
    register("features", "pipekit.builtin.features.stage:features", summary="Find features in every image, count and draw them")
    register("evaluate", "pipekit.builtin.evaluate:evaluate", summary="Measure a model on the test split and write the report")


@hookimpl
def register_importers(register: Register) -> None:
    register("folders", "pipekit.builtin.importers.folders", summary="A folder per class, or train/val/test folders of them")


@hookimpl
def register_models(register: Register) -> None:
    register("simple_cnn", "pipekit.builtin.models.simple_cnn:build", summary="Convolution blocks, a dense layer, dropout")


@hookimpl
def register_detectors(register: Register) -> None:
    register("harris", "pipekit.builtin.detectors.corners:harris", summary="Corners by the structure tensor (Harris, Stephens)")
    register("shi_tomasi", "pipekit.builtin.detectors.corners:shi_tomasi", summary="Corners good to track (smaller eigenvalue)")
    register("fast", "pipekit.builtin.detectors.fast:fast", summary="Corners by a ring of pixels; the quickest")
    register("orb", "pipekit.builtin.detectors.orb:orb", summary="FAST corners at several scales, with binary descriptors")
    register("sift", "pipekit.builtin.detectors.sift:sift", summary="Places known again at any scale and angle, with descriptors")
    register("blobs", "pipekit.builtin.detectors.blobs:blobs", summary="Bright and dark discs (Laplacian of Gaussian)")
    register("contours", "pipekit.builtin.detectors.contours:contours", summary="Outlines of regions, or along Canny edges")
    register("hog", "pipekit.builtin.detectors.hog:hog", summary="Histograms of gradient directions on a grid")
    register("lbp", "pipekit.builtin.detectors.lbp:lbp", summary="Local binary patterns on a grid: texture")


@hookimpl
def register_report_sections(register: Register) -> None:
    register("summary", "pipekit.builtin.report.summary:section", summary="In words: how good, how sure, what next")
    register("classes", "pipekit.builtin.report.classes:section", summary="Figures for each class, averages, and overall figures")
    register("confusion", "pipekit.builtin.report.confusion:section", summary="Which class is taken for which, as counts and rates")
    register("pictures", "pipekit.builtin.report.pictures:section", summary="What was right and wrong, most and least sure")
    register("probabilities", "pipekit.builtin.report.probabilities:section", summary="Calibration: do the probabilities mean what they say")
    register("curves", "pipekit.builtin.report.curves:section", summary="ROC and precision-recall curves, and a threshold slider")
    register("slices", "pipekit.builtin.report.slices:section", summary="Accuracy by size, brightness, sharpness and any column")
    register("near_copies", "pipekit.builtin.report.near_copies:section", summary="Measured images with a near copy in training")
    register("label_errors", "pipekit.builtin.report.label_errors:section", summary="Images whose label looks wrong")
    register("training", "pipekit.builtin.report.training:section", summary="Learning curves and the gap between training and val")
    register("data", "pipekit.builtin.report.data:section", summary="Counts, model, parameters and versions")
