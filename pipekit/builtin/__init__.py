"""Built-in components, registered through the same hooks as any plugin. No name here imports its code."""

from __future__ import annotations

from pipekit.hookspecs import Register, hookimpl

PIPEKIT_VERSION_IN_KEYS = False
"""A new version of pipekit keeps results: what a built-in makes changes only with the version that it is registered with."""


@hookimpl
def register_executors(register: Register) -> None:
    register("auto", "pipekit.builtin.executors:auto", summary="Threads, or processes for many images")
    register("serial", "pipekit.builtin.executors:serial", summary="One shard after another, in this process")
    register("threads", "pipekit.builtin.executors:threads", summary="A pool of threads; OpenCV and JPEG work run in parallel")
    register("processes", "pipekit.builtin.executors:processes", summary="A pool of processes, for ops written in Python")


@hookimpl
def register_searches(register: Register) -> None:
    register("random", "pipekit.builtin.searches:at_random", summary="Combinations drawn at random, each value by itself")
    register("optuna", "pipekit.builtin.searches:by_optuna", summary="Combinations that Optuna proposes from earlier results")


@hookimpl
def register_codecs(register: Register) -> None:
    register(
        "pillow", "pipekit.builtin.codecs:Pillow", summary="JPEG, PNG, TIFF, WebP, AVIF: what the installed Pillow decodes"
    )


@hookimpl
def register_stages(register: Register) -> None:
    register("split", "pipekit.builtin.split:split", summary="Give every sample a split: train, val or test", version=6)
    register(
        "inspect",
        "pipekit.builtin.inspect:inspect",
        summary="Find duplicates, leaks, damaged and odd images",
        version=10,
        preload=("pipekit.images.statistics", "pipekit.images.measuring", "pipekit.images.near_duplicates"),
    )
    register(
        "augment",
        "pipekit.builtin.augment:augment",
        summary="Make augmented copies of the training images",
        version=5,
        preload=("pipekit.builtin.augment", "pipekit.recipe.compiled"),
    )
    register(
        "train",
        "pipekit.builtin.train:train",
        summary="Train a model on the train split, watching val",
        version=5,
        preload=("pipekit.builtin.train.worker_pool", "pipekit.builtin.train.data"),
    )
    register(
        "features",
        "pipekit.builtin.features:features",
        summary="Detect features in every image, count and draw them",
        version=2,
        preload=("pipekit.builtin.features.stage",),
    )
    register("filter", "pipekit.builtin.filter:filter", summary="Keep the samples that fulfil an expression over their columns")
    register("rename_classes", "pipekit.builtin.rename_classes:rename_classes", summary="Rename, merge and drop classes")
    register("merge", "pipekit.builtin.merge:merge", summary="Join datasets; a picture in several of them is counted once")
    register("tile", "pipekit.builtin.tile:tile", summary="Cut images into tiles, with their boxes, outlines and masks")
    register("filters", "pipekit.builtin.filters:filters", summary="Show what a filter does to images, step by step")
    register(
        "match", "pipekit.builtin.features.matching:match", summary="Match features of two images, align one with the other"
    )
    register(
        "stability",
        "pipekit.builtin.features.stability:stability",
        summary="Measure the repeatability of feature detectors",
        version=2,
    )
    register("embed", "pipekit.builtin.embed:embed", summary="Compute a vector of features for every image")
    register(
        "similar", "pipekit.builtin.similar:similar", summary="Find the images that are most alike to given ones", version=2
    )
    register(
        "evaluate",
        "pipekit.builtin.evaluate:evaluate",
        summary="Evaluate a model on the test split and write the report",
        version=9,
    )
    register(
        "calibrate", "pipekit.builtin.calibrate:calibrate", summary="Set a model's temperature and its decision rule on val"
    )
    register("explain", "pipekit.builtin.explain:explain", summary="Explain predictions with attribution maps", version=5)
    register(
        "augment_check",
        "pipekit.builtin.augment_check:augment_check",
        summary="Measure how much each op of a recipe lowers a model's accuracy",
        version=6,
    )
    register("predict", "pipekit.builtin.predict:predict", summary="Predict every image of a dataset", version=2)
    register(
        "average",
        "pipekit.builtin.average:average",
        summary="Trainings with different seeds as one report: mean and spread",
    )
    register(
        "compare",
        "pipekit.builtin.compare:compare",
        summary="Compare models: which is better, and is the difference significant",
        version=5,
    )


@hookimpl
def register_importers(register: Register) -> None:
    register(
        "folders",
        "pipekit.builtin.importers.folders",
        summary="A folder per class, or train/val/test folders of them",
        version=3,
    )
    register("image", "pipekit.builtin.importers.image", summary="One image file, without a class")
    register(
        "names", "pipekit.builtin.importers.names", summary="Image files with the class in their name: dog_1.jpg", version=3
    )
    register("csv", "pipekit.builtin.importers.csv", summary="A CSV or TSV file with one row per image", version=5)
    register(
        "metadata", "pipekit.builtin.importers.metadata", summary="Hugging Face imagefolder: metadata.csv or .jsonl", version=5
    )
    register(
        "parquet", "pipekit.builtin.importers.parquet", summary="Parquet with one row per image, as bytes or path", version=4
    )
    register("idx", "pipekit.builtin.importers.idx", summary="IDX files of the MNIST family, gzipped or not", version=2)
    register("coco", "pipekit.builtin.importers.coco", summary="COCO: boxes, outlines, keypoints, masks", version=8)
    register(
        "coco_panoptic", "pipekit.builtin.importers.coco_panoptic", summary="COCO panoptic segmentation, as masks and boxes"
    )
    register(
        "yolo", "pipekit.builtin.importers.yolo", summary="YOLO: boxes, outlines, oriented boxes, poses; Darknet", version=9
    )
    register("voc", "pipekit.builtin.importers.voc", summary="Pascal VOC: XML annotations, masks, image sets", version=7)
    register(
        "masks", "pipekit.builtin.importers.masks", summary="Images and masks in two folders, under the same names", version=4
    )
    register("cvat", "pipekit.builtin.importers.cvat", summary="CVAT for images 1.1: boxes, polygons, points, tags", version=4)
    register("labelme", "pipekit.builtin.importers.labelme", summary="LabelMe: a JSON file of shapes for each image", version=4)
    register(
        "via", "pipekit.builtin.importers.via", summary="VGG Image Annotator: JSON or CSV with the regions of images", version=4
    )
    register("label_studio", "pipekit.builtin.importers.label_studio", summary="Label Studio: tasks as JSON", version=4)
    register("createml", "pipekit.builtin.importers.createml", summary="Create ML: JSON with the boxes of images", version=3)
    register("box_csv", "pipekit.builtin.importers.box_csv", summary="CSV files with one row per box", version=3)
    register(
        "roboflow_masks",
        "pipekit.builtin.importers.roboflow_masks",
        summary="Roboflow's masks: a.jpg, a_mask.png, _classes.csv",
        version=2,
    )
    register(
        "roboflow_labels",
        "pipekit.builtin.importers.roboflow_labels",
        summary="Roboflow's several labels an image: _classes.csv with a column of 0 and 1 for each",
    )
    register(
        "arrow",
        "pipekit.builtin.importers.arrow",
        summary="Hugging Face datasets saved with save_to_disk; needs pyarrow",
        version=3,
    )
    register(
        "cifar", "pipekit.builtin.importers.cifar", summary="CIFAR-10 and CIFAR-100, as pickles or binary files", version=2
    )
    register("videos", "pipekit.builtin.importers.videos", summary="Videos: frames at a stated rate, a class per folder")
    register(
        "tfrecord", "pipekit.builtin.importers.tfrecord", summary="TFRecord files of tf.train.Example with images", version=3
    )
    register(
        "npz",
        "pipekit.builtin.importers.npz",
        summary="NumPy archives: x_train, y_train; train_images, train_labels",
        version=2,
    )
    register("hdf5", "pipekit.builtin.importers.hdf5", summary="HDF5 files with images and labels; needs h5py", version=2)
    register(
        "image_list", "pipekit.builtin.importers.image_list", summary="Text lists with a line 'path label' per image", version=2
    )
    register("cub", "pipekit.builtin.importers.cub", summary="CUB-200-2011: classes, splits and boxes in lists", version=3)
    register("pets", "pipekit.builtin.importers.pets", summary="Oxford-IIIT Pets: breeds, splits, trimaps as masks", version=2)
    register(
        "food101", "pipekit.builtin.importers.food101", summary="Food-101: class folders, and lists of the splits", version=2
    )
    register(
        "imagenet", "pipekit.builtin.importers.imagenet", summary="ImageNet (ILSVRC): synsets, their names, boxes", version=2
    )


@hookimpl
def register_exporters(register: Register) -> None:
    at = "pipekit.builtin.exporters"
    register("folders", f"{at}.folders", summary="Class folders with metadata.csv: Keras, torchvision, fastai, datasets")
    register("csv", f"{at}.csv", summary="One CSV file with one row per image, and the images")
    register(
        "parquet", f"{at}.parquet", summary="Parquet with the images' bytes, as Hugging Face's datasets stores them", version=4
    )
    register("coco", f"{at}.coco", summary="COCO: images, and one JSON file of objects per split", version=5)
    register("yolo", f"{at}.yolo", summary="YOLO: images, labels, data.yaml; boxes, polygons, oriented boxes, poses", version=3)
    register("voc", f"{at}.voc", summary="Pascal VOC: one XML file per image, image sets, masks", version=3)
    register("masks", f"{at}.masks", summary="Images and masks in two folders, under the same names", version=2)
    register("idx", f"{at}.idx", summary="IDX files of the MNIST family, greyscale and of one size", version=2)
    register("tfrecord", f"{at}.tfrecord", summary="TFRecord shards of tf.train.Example, with a label map", version=3)
    register("webdataset", f"{at}.webdataset", summary="WebDataset tar shards", version=2)
    register("savedmodel", f"{at}.savedmodel", summary="A SavedModel for TensorFlow Serving, checked against the original")
    register("tflite", f"{at}.tflite", summary="A model for TensorFlow Lite, checked against the original")
    register("tflite-int8", f"{at}.tflite:write_int8", summary="TensorFlow Lite in 8-bit integers; the loss is measured")
    register("onnx", f"{at}.onnx", summary="A model as ONNX, checked against the original")
    register("card", f"{at}.card", summary="A model card: the model, its metrics, its limits", version=2)


@hookimpl
def register_checks(register: Register) -> None:
    at = "pipekit.builtin.inspect.checks"
    register("corrupt", f"{at}.files:corrupt", summary="Files that can't be decoded completely")
    register("leakage", f"{at}.copies:leakage", summary="The same or nearly the same image in two splits")
    register(
        "label_conflicts",
        f"{at}.copies:label_conflicts",
        summary="The same or nearly the same image under two labels",
        version=2,
    )
    register("group_names", f"{at}.group_names:group_names", summary="Names that look like groups: patients, videos, bursts")
    register("passed_over", f"{at}.imported:passed_over", summary="Files that the import did not read")
    register("one_class", f"{at}.imported:one_class", summary="No class, or only one, where a classifier needs two")
    register("similar_names", f"{at}.imported:similar_names", summary="Classes whose names differ in capitals or spaces only")
    register("exact_duplicates", f"{at}.copies:exact_duplicates", summary="The same file under several names")
    register("near_duplicates", f"{at}.copies:near_duplicates", summary="The same image, resized or saved again")
    register("foreign", f"{at}.by_features:foreign", summary="Images that resemble no other by their features")
    register("suspected_labels", f"{at}.by_features:suspected_labels", summary="Labels that look wrong, out of fold")
    register("alike_classes", f"{at}.by_features:alike_classes", summary="Classes that can't be told apart")
    register("wrong_extension", f"{at}.files:wrong_extension", summary="The suffix names another format than the content")
    register("cut_off", f"{at}.files:cut_off", summary="The lower end is plain grey, as in a damaged file saved again")
    register("dark", f"{at}.outliers:dark", summary="Much darker than the other images")
    register("bright", f"{at}.outliers:bright", summary="Much brighter than the other images")
    register("blurred", f"{at}.outliers:blurred", summary="Without the fine details that the other images have")
    register("low_information", f"{at}.outliers:low_information", summary="Nearly empty: few shades of grey")
    register("odd_size", f"{at}.outliers:odd_size", summary="Far fewer or far more pixels than the other images")
    register("odd_aspect", f"{at}.outliers:odd_aspect", summary="Far wider or taller than the other images")
    register("imbalance", f"{at}.balance:imbalance", summary="Class imbalance, and very small classes")
    register("co_occurrence", f"{at}.several:co_occurrence", summary="Labels that are together, rare labels and combinations")
    register("outlying_numbers", f"{at}.numbers:outlying_numbers", summary="The range of the numbers, and those far outside it")
    register("missing_classes", f"{at}.balance:missing_classes", summary="A class without images in a split")
    register("unlabelled", f"{at}.balance:unlabelled", summary="Images without a class in a dataset with classes")
    register("orientation", f"{at}.files:orientation", summary="Images that only their EXIF data rotates")
    register("mixed_modes", f"{at}.files:mixed_modes", summary="Grey, transparent or 16-bit images among others")
    register("narrow_range", f"{at}.narrow_range:narrow_range", summary="16-bit files that use a small part of their range")
    register(
        "shortcuts", f"{at}.shortcuts:shortcuts", summary="The format, size, quality or border predicts the class", version=3
    )
    register("masks", f"{at}.masks:masks", summary="Masks: their size, their values, JPEG artefacts", version=2)
    register("animated", f"{at}.files:animated", summary="Files with several frames; only the first is used")


@hookimpl
def register_ops(register: Register) -> None:
    register("rotate", "pipekit.builtin.ops.geometric:rotate", summary="Rotate by a random angle (Keras: rotation_range)")
    register(
        "shift",
        "pipekit.builtin.ops.geometric:shift",
        summary="Shift across and down (Keras: width_shift_range, height_shift_range)",
    )
    register("shear", "pipekit.builtin.ops.geometric:shear", summary="Shear (Keras: shear_range, in degrees)")
    register("zoom", "pipekit.builtin.ops.geometric:zoom", summary="Zoom about the centre (Keras: zoom_range)")
    register("hflip", "pipekit.builtin.ops.geometric:hflip", summary="Flip left and right (Keras: horizontal_flip)")
    register("vflip", "pipekit.builtin.ops.geometric:vflip", summary="Flip top and bottom (Keras: vertical_flip)")
    register("identity", "pipekit.builtin.ops.geometric:identity", summary="Leave the image unchanged")
    register("rotate90", "pipekit.builtin.ops.geometric:rotate90", summary="Rotate by quarter turns")
    register("transpose", "pipekit.builtin.ops.geometric:transpose", summary="Swap rows and columns")
    register("skew", "pipekit.builtin.ops.geometric:skew", summary="Slant vertical and horizontal lines, lengths across kept")
    register("perspective", "pipekit.builtin.ops.geometric:perspective", summary="Random perspective: move the four corners")
    register("crop", "pipekit.builtin.ops.geometric:crop", summary="Crop at a random position or the centre")
    register(
        "resized_crop",
        "pipekit.builtin.ops.geometric:resized_crop",
        summary="Crop with random area and aspect ratio, resized to full size",
    )
    register("resize", "pipekit.builtin.ops.geometric:resize", summary="Resize to a height and width")
    register("pad", "pipekit.builtin.ops.geometric:pad", summary="Add a margin around the image")
    register("brightness", "pipekit.builtin.ops.colour:brightness", summary="Multiply all values (Keras: brightness_range)")
    register(
        "channel_shift",
        "pipekit.builtin.ops.colour:channel_shift",
        summary="Add one amount to all channels (Keras: channel_shift_range)",
    )
    register("rescale", "pipekit.builtin.ops.colour:rescale", summary="Multiply all values by a fixed factor (Keras: rescale)")
    register(
        "colour_jitter", "pipekit.builtin.ops.colour:colour_jitter", summary="Add an amount to each channel: a colour cast"
    )
    register("contrast", "pipekit.builtin.ops.colour:contrast", summary="Scale values about their mean")
    register("gamma", "pipekit.builtin.ops.colour:gamma", summary="Raise values to a power")
    register("hue_saturation", "pipekit.builtin.ops.colour:hue_saturation", summary="Rotate the hue, scale the saturation")
    register("greyscale", "pipekit.builtin.ops.colour:greyscale", summary="Convert to greyscale")
    register("clahe", "pipekit.builtin.ops.colour:clahe", summary="Contrast-limited adaptive histogram equalisation")
    register("equalize", "pipekit.builtin.ops.colour:equalize", summary="Histogram equalisation")
    register("autocontrast", "pipekit.builtin.ops.colour:autocontrast", summary="Stretch values to 0..255")
    register("invert", "pipekit.builtin.ops.colour:invert", summary="Invert all values")
    register("posterize", "pipekit.builtin.ops.colour:posterize", summary="Keep only the highest bits of values")
    register("solarize", "pipekit.builtin.ops.colour:solarize", summary="Invert values above a threshold")
    register("blur", "pipekit.builtin.ops.texture:blur", summary="Gaussian blur")
    register("motion_blur", "pipekit.builtin.ops.texture:motion_blur", summary="Motion blur, along a line")
    register("sharpen", "pipekit.builtin.ops.texture:sharpen", summary="Unsharp masking")
    register("noise", "pipekit.builtin.ops.texture:noise", summary="Gaussian noise")
    register("salt_pepper", "pipekit.builtin.ops.texture:salt_pepper", summary="Salt-and-pepper noise")
    register("jpeg", "pipekit.builtin.ops.texture:jpeg", summary="JPEG artefacts")
    register("pixelate", "pipekit.builtin.ops.texture:pixelate", summary="Reduce and enlarge again")
    register("cutout", "pipekit.builtin.ops.texture:cutout", summary="Cover random squares")
    register("sequence", "pipekit.builtin.ops.combine:sequence", summary="Apply several ops as one")
    register("one_of", "pipekit.builtin.ops.combine:one_of", summary="Apply one of several ops")
    register("some_of", "pipekit.builtin.ops.combine:some_of", summary="Apply some of several ops")
    register("albu.*", "pipekit.builtin.albu:factory", summary="Any transform of albumentations by its name: albu.GaussNoise")


@hookimpl
def register_recipes(register: Register) -> None:
    register("light", "pipekit.builtin.recipes:light", summary="Small rotations, shifts and zooms, flips, a little brightness")
    register(
        "medium", "pipekit.builtin.recipes:medium", summary="Rotations, shifts, zooms, flips, colours, sometimes blur or noise"
    )
    register("heavy", "pipekit.builtin.recipes:heavy", summary="Strong crops, rotations and colours, holes")
    register("keras_tutorial", "pipekit.builtin.recipes:keras_tutorial", summary="The Keras tutorial's ImageDataGenerator")
    register("trivial", "pipekit.builtin.recipes:trivial", summary="TrivialAugment: one random op at a random strength")
    register("rand", "pipekit.builtin.recipes:rand", summary="RandAugment: two random ops")


@hookimpl
def register_models(register: Register) -> None:
    register(
        "auto",
        "pipekit.builtin.models.auto:build",
        summary="Tries several templates, and keeps the one best on val",
        version=3,
    )
    register("simple_cnn", "pipekit.builtin.models.simple_cnn:build", summary="Convolution blocks, a dense layer, dropout")
    register("mlp", "pipekit.builtin.models.mlp:build", summary="Dense layers on the raw pixels: the baseline")
    register("alexnet", "pipekit.builtin.models.alexnet:build", summary="Krizhevsky et al. 2012, for images of 227 x 227")
    register("row_lstm", "pipekit.builtin.models.row_lstm:build", summary="An LSTM that reads the image row by row")
    register("autoencoder", "pipekit.builtin.models.autoencoder:build", summary="Reconstructs the image from a narrow code")
    register("pretrained", "pipekit.builtin.models.pretrained:build", summary="Transfer learning from keras.applications")
    register(
        "logistic_regression",
        "pipekit.builtin.models.logistic_regression:build",
        summary="Logistic regression on the features of a pretrained network",
        version=4,
    )
    register(
        "hog_svm",
        "pipekit.builtin.models.hog_svm:build",
        summary="The classic baseline: gradient histograms, linear SVM",
        version=3,
    )


@hookimpl
def register_detectors(register: Register) -> None:
    register(
        "harris",
        "pipekit.builtin.detectors.corners:harris",
        summary="Corners by the structure tensor (Harris, Stephens)",
        version=2,
    )
    register(
        "shi_tomasi",
        "pipekit.builtin.detectors.corners:shi_tomasi",
        summary="Corners good to track (smaller eigenvalue)",
        version=2,
    )
    register("fast", "pipekit.builtin.detectors.fast:fast", summary="Corners by a ring of pixels; the fastest")
    register("orb", "pipekit.builtin.detectors.orb:orb", summary="FAST corners at several scales, with binary descriptors")
    register("sift", "pipekit.builtin.detectors.sift:sift", summary="Scale- and rotation-invariant blobs, with descriptors")
    register("akaze", "pipekit.builtin.detectors.akaze:akaze", summary="Blobs that respect edges, with binary descriptors")
    register("blobs", "pipekit.builtin.detectors.blobs:blobs", summary="Bright and dark discs (Laplacian of Gaussian)")
    register("contours", "pipekit.builtin.detectors.contours:contours", summary="Outlines of regions, or along Canny edges")
    register("hog", "pipekit.builtin.detectors.hog:hog", summary="Histograms of gradient directions on a grid")
    register("lbp", "pipekit.builtin.detectors.lbp:lbp", summary="Local binary patterns on a grid: texture")


@hookimpl
def register_embedders(register: Register) -> None:
    register(
        "efficientnet_lite0",
        "pipekit.builtin.embedders:efficientnet_lite0",
        summary="EfficientNet-Lite0, trained on ImageNet: 1,280 features",
    )
    register(
        "pretrained",
        "pipekit.builtin.embedders:pretrained",
        summary="A network of keras.applications, where its weights are there",
    )


@hookimpl
def register_projections(register: Register) -> None:
    register(
        "tsne", "pipekit.builtin.projections:tsne", summary="t-SNE of the first principal components: images that look alike"
    )
    register(
        "pca",
        "pipekit.builtin.projections:pca",
        summary="The first two principal components: fast, and distances keep their sense",
    )


@hookimpl
def register_report_sections(register: Register) -> None:
    register("summary", "pipekit.builtin.report.summary:section", summary="The main metrics in words, with a baseline")
    register(
        "folds", "pipekit.builtin.report.folds:section", summary="Cross-validation: each fold, and what the interval means"
    )
    register("next_steps", "pipekit.builtin.report.next_steps:section", summary="The few changes that would help most")
    register(
        "classes", "pipekit.builtin.report.classes:section", summary="Metrics for each class, averages, and overall metrics"
    )
    register("confusion", "pipekit.builtin.report.confusion:section", summary="Confusion matrix, as counts and rates")
    register("pictures", "pipekit.builtin.report.pictures:section", summary="Correct and wrong predictions, by confidence")
    register("explain", "pipekit.builtin.explain.section:section", summary="Explanations: attribution maps of predictions")
    register("decision", "pipekit.builtin.report.decision:section", summary="The decision rule: its target, its costs")
    register(
        "abstention", "pipekit.builtin.report.abstention:section", summary="Accuracy if the model leaves out unsure images"
    )
    register(
        "probabilities",
        "pipekit.builtin.report.probabilities:section",
        summary="Calibration: do the predicted probabilities match the accuracy",
    )
    register(
        "none_of_these",
        "pipekit.builtin.report.none_of_these:section",
        summary="Images that the model rejects as none of its classes",
    )
    register(
        "curves", "pipekit.builtin.report.curves:section", summary="ROC and precision-recall curves, and a threshold slider"
    )
    register(
        "slices", "pipekit.builtin.report.slices:section", summary="Accuracy by size, brightness, sharpness and any column"
    )
    register(
        "near_copies", "pipekit.builtin.report.near_copies:section", summary="Measured images with near duplicates in training"
    )
    register("label_errors", "pipekit.builtin.report.label_errors:section", summary="Images whose label looks wrong")
    register("candidates", "pipekit.builtin.report.candidates:section", summary="Templates that auto tried, and the choice")
    register("image_map", "pipekit.builtin.report.image_map:section", summary="The images in two dimensions, by their features")
    register("training", "pipekit.builtin.report.training:section", summary="Learning curves, and overfitting: the gap to val")
    register("features", "pipekit.builtin.features.section:section", summary="A detector's features in the measured images")
    register("data", "pipekit.builtin.report.data:section", summary="Counts, model, parameters and versions")
