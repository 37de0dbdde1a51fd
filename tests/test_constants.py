"""Every numeric constant of a module that judges images is tuned, and a test named here holds it; or it is none, for a reason.

A tuned constant decides what is reported, kept, called alike or stated with an interval. If it is doubled or halved, a test of
its file fails. For a new constant, write that test, and add the name here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pipekit

PACKAGE, TESTS = Path(pipekit.__file__).parent, Path(__file__).parent
ROOMS = ("builtin", "images", "keypoints", "learning", "recipe")
"""The machinery's constants are sizes of work and times: another value changes no result."""
PLAIN = (ast.Constant, ast.Tuple, ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator, ast.expr_context)

TUNED = {
    "test_tuned_limits.py": """
        builtin/importers/boxes CROOKED BEYOND; builtin/importers/box_csv BEYOND_PX; builtin/inspect/checks/numbers FEWEST;
        builtin/split/groups APART; learning/candidates
        FEWEST_VAL; builtin/train/range_test SKIP SMOOTHING DIVERGED CLEAR FEWEST; images/differences LEAST_TURN_DEG PLAIN;
        images/landmarks FEWEST AGREEMENT _LARGEST_STRETCH; images/name_groups LEAST_REPEATED LARGEST_SHARE; images/origins
        LEAST_SPREAD; images/value_range NARROW NEARLY_BLACK; learning/advice LARGE_GAP UNEVEN""",
    "test_tuned_limits_of_results.py": """
        builtin/evaluate/intervals FEWEST_GROUPS; builtin/evaluate/slices FEWEST_TO_TEST FEWEST; builtin/explain/constant_place
        FEWEST CELLS LARGEST IN_EACH NEARLY; images/symmetric_copies LEAST_CONTRAST; learning/label_errors LEAST_CHANCE
        _LOWEST_RATE; learning/unknown FEWEST""",
    "test_tuned_limits_of_verdicts.py": """
        builtin/augment_check/outputs HALF SMALL UNSURE; builtin/evaluate/intervals Z_AVERAGES FEWEST FEWEST_AUC;
        builtin/explain/maps ROUNDING; builtin/explain/pages FULL; builtin/exporters/of_task NEARLY;
        builtin/models/logistic_regression CANDIDATES ENOUGH FOLDS; builtin/report/abstention FEWEST; builtin/report/next_steps
        WIDE; builtin/report/summary FEW; builtin/train/ahead LONG_S; keypoints/hog _EPS _HYSTERESIS; learning/advice
        FEW_A_CLASS TUNABLE_A_CLASS FEWEST_VAL MANY_ERRORS; learning/linear_solvers CANDIDATES ENOUGH FOLDS;
        learning/multilabel_metrics FEWEST; learning/near_copies FEWEST_TRIED SHARE_TRIED LEAST_FOUND; learning/significance
        ADDED FEWEST_RESAMPLES; learning/temperature COLDEST HOTTEST; learning/templates TENSORFLOW_S MULTIPLY_ADDS_A_SECOND;
        learning/thresholds FEWEST; learning/unknown NEIGHBOURS""",
    "test_tuned_limits_of_checks.py": """
        builtin/features/stability BORDER_PX; builtin/importers/beside MAX_VALUES MAX_DIFFERENCE MAX_DIFFERENCE_OF_FEW;
        builtin/importers/boxes LEAST_PX; builtin/importers/coco SAME_PX ROUNDING; builtin/importers/image_list LEAST_WORDS;
        builtin/importers/label_columns FEW; builtin/importers/stated_size ROUNDING_PX; builtin/inspect/checks/outliers FEWEST;
        builtin/inspect/shortcut_tree FEWEST_A_CLASS FOLDS BINS DEPTH Z_95; builtin/inspect/sight FEWEST_A_CLASS;
        builtin/inspect/small_tree LEAST_GAP; builtin/inspect/unusual FEWEST NEAREST Z_95; builtin/split/groups MOST_INTERVALS
        FEWEST_IN_ONE; builtin/train/data LARGEST_STEP; builtin/train/range_test REACH; images/colour_cast HIGHLIGHTS;
        images/differences LEAST_CROP LEAST_FACTOR _DARKEST _BRIGHTEST; images/landmarks SMALLEST_PX; images/mask_checks
        JPEG_VALUES OTHER_VALUES MAIN_VALUES MAIN_SHARE; images/name_groups LEAST_STEMS STEMS_PER_CLASS CLEAR;
        images/near_duplicates MAX_DISTANCE_BITS MAX_DIFFERENCE; images/polygons FINER STRAIGHT_PX; images/statistics
        _LINEAR_PX2 _BLUR_PX2 BORDER_SPREAD; images/symmetric_copies _DARKEST _BRIGHTEST; learning/out_of_fold FOLDS PENALTIES;
        learning/projection FEWEST""",
    "builtin/test_evaluate_numbers.py": "builtin/evaluate/numbers MOSTLY",
    "builtin/test_task_intervals.py": """
        builtin/evaluate/label_intervals ADDED; builtin/evaluate/number_intervals OUTSIDE FEWEST; builtin/evaluate/numbers
        ENOUGH; builtin/evaluate/ordinal FEWEST""",
    "builtin/test_augment_check.py": "builtin/augment_check/measure FEW_CHANGED",
    "builtin/test_inspect_tasks.py": """
        builtin/inspect/checks/copies FAR; builtin/inspect/sight FEWEST_NUMBERS;
        builtin/inspect/suspects_of_tasks SPREADS LEAST_EXPLAINED""",
    "builtin/test_explain.py": "builtin/explain/pages SUSPICIOUS; builtin/explain/saliency_location GRID SPREAD",
    "builtin/test_evaluate_metrics.py": "builtin/evaluate/slices MOST_VALUES",
    "builtin/test_export_models.py": "builtin/exporters/models FLOAT_TOLERANCE",
    "builtin/test_train_choose.py": "builtin/embedders FINE_SIDE",
    "builtin/test_hog_svm.py": "builtin/models/hog_svm _EPS _HYSTERESIS",
    "builtin/test_reconstruction.py": "builtin/evaluate/reconstruction RATES",
    "learning/test_cross_validation.py": "learning/cross_validation FEWEST",
    "learning/test_out_of_fold_tasks.py": """
        learning/out_of_fold_tasks LEAST_CHANCE LOWEST_RATE LOWEST_CONFIDENT RIDGES STACK_PENALTY""",
    "learning/test_solver_cost.py": "learning/solver_cost MOST_ITERATIONS OPERATIONS_A_SECOND OWN",
    "learning/test_task_metrics.py": "learning/conformal LEVEL",
}

NOT_TUNED = {
    "published, of a file format, or a convention": """
        builtin/albu OURS; builtin/detectors/akaze _BASE_SIGMA _DERIVATIVE_FACTOR _CONTRAST_PERCENTILE _CONTRAST_BINS _TAU_MAX
        _PATTERN _GRIDS; builtin/evaluate/abstention COVERAGES; builtin/exporters/voc MOST_VALUES; builtin/features/draw WHITE
        BLACK _SUBPIXEL_BITS; builtin/importers/cifar SIDE_PX PICKLED; builtin/importers/coco MOST_CLASSES;
        builtin/importers/coco_masks MAX_BITS; builtin/importers/folders GENERALITY; builtin/importers/idx UINT8;
        builtin/importers/names GENERALITY; builtin/importers/lists MOST_DIGITS; builtin/importers/stated_size SWAPPING;
        builtin/importers/tf_example LANE_BYTES POLYNOMIAL; builtin/importers/via OF_ALL_REGIONS; builtin/importers/videos
        GENERALITY; builtin/inspect/measured NONE; builtin/merge/classes HIGHEST; builtin/models/alexnet INPUT_HW SMALLEST_PX
        MEAN_RGB; builtin/models/hog_svm _ABSENT; builtin/models/logistic_regression _ABSENT; builtin/projections COMPONENTS;
        builtin/recipes HALF; builtin/rename_classes BACKGROUND; builtin/split/fixed_splits TRAIN VAL TEST;
        builtin/train/range_test FROM TO; images/bands ANY WIDTH LENGTH OFFSETS COUNTS ROWS_PER_STRIP TILE_WIDTH TILE_LENGTH
        TILE_OFFSETS TILE_COUNTS PLANAR SUB_IFDS BITS COMPRESSION SAMPLES; images/draw COLOURS; images/jpeg _JPEG_EIGHTHS;
        images/masks IGNORE; images/tiff_tags ORIENTATION XMP EXIF GPS INTEROPERABILITY SUB_IFDS POSITION SERIAL;
        images/value_range _BITS _EXTRA _FORMAT
        _PHOTOMETRIC _SAMPLES; images/video DEFAULT_RATE_HZ; learning/backbones INPUT_HW;
        learning/checkpoint MAGIC_NUMBER PROTOCOL_VERSION; learning/decisions DEFAULT_COST; learning/efficientnet_lite MEAN
        DEVIATION STAGES STEM_FILTERS DIMENSIONS EPSILON MOMENTUM; learning/keras_file LONG_AGO; learning/model_summary BYTES;
        learning/onnx_file IR_VERSION OPSET UINT8 FLOAT; learning/predictor FORMAT; learning/significance Z_95 LEVEL""",
    "how much is shown, and how": """
        learning/model_summary _ROW_PX;
        builtin/augment_check/measure SHOWN; builtin/compare/of_task LISTED; builtin/compare/sections FIRST_PICTURES LONGEST;
        builtin/evaluate/abstention MOST_POINTS; builtin/evaluate/label_conflicts LISTED; builtin/evaluate/of_task DECIMALS;
        builtin/evaluate/reconstruction DECIMALS; builtin/evaluate/score DECIMALS; builtin/evaluate/several LISTED NAMED;
        builtin/evaluate/top MOST THUMBNAIL_PX; builtin/explain/layers MAX_BARS; builtin/explain/pages SHOWN_PX MAX_FILTERS
        MAX_LABELS; builtin/explain/section TILE_PX GAP_PX; builtin/exporters/card MAX_CLASSES; builtin/exporters/card_tasks
        MAX_LABELS; builtin/exporters/common MOST_DIGITS; builtin/features/draw MOST_LINES MOST_CIRCLES; builtin/features/stage
        _SHEET_PREVIEWS; builtin/importers/tfrecord ROUNDED_PX; builtin/inspect/checks/copies MAX_LABELS;
        builtin/inspect/checks/masks MAX_LISTED; builtin/inspect/checks/several LISTED; builtin/inspect/page IN_A_GROUP
        MAX_LISTED; builtin/inspect/shortcut_tree SHOWN; builtin/inspect/unusual SHOWN; builtin/merge/remarks MAX_NAMES;
        builtin/report/confusion STRONG MOST_IN_HTML; builtin/report/curves MOST_CURVES MOST_POINTS; builtin/report/data
        SHOWN_FAILURES LONGEST SHEET_ROWS SHEET_COPIES SHEET_PX; builtin/report/decision MOST_CLASSES;
        builtin/report/label_errors MOST THUMBNAIL_PX; builtin/report/near_copies MOST; builtin/report/none_of_these MOST
        THUMBNAIL_PX; builtin/similar ON_A_ROW; builtin/train/classes FIRST SHOWN; builtin/train/curves COLUMNS;
        learning/decisions DECIMALS; learning/label_errors MOST; learning/predictions DECIMALS""",
    "how much is computed, read or kept: time, memory, and the precision that they buy": """
        builtin/albu _KEPT; builtin/augment LOOKED_AT; builtin/importers/lookup CACHE_KB; builtin/split/groups BATCH;
        builtin/split/split_file CHUNK LARGE_BYTES ROWS;
        builtin/augment_check/measure RESAMPLES; builtin/compare/of_task
        RESAMPLES; builtin/detectors/common _STRIP_PX; builtin/evaluate/calibration MOST_DRAWS; builtin/evaluate/describe
        MEASURED_PX; builtin/evaluate/label_intervals AT_A_TIME; builtin/evaluate/number_intervals AT_A_TIME;
        builtin/evaluate/of_task MOST_RESAMPLES; builtin/evaluate/ordinal RESAMPLES;
        builtin/evaluate/reconstruction MOST_TRAINING; builtin/executors MAX_DEATHS MAX_STARTS START_AGAIN_S MANY
        MANY_FOR_FRESH; builtin/explain/maps STEPS STEPS_LARGE LARGE_PX STEPS_CHECK BATCH PARTS; builtin/explain/section CHECKED
        IG_STEPS IG_STEPS_LARGE LARGE_PX; builtin/exporters/file_input HEAD_BYTES REDUCED_MIN_PX; builtin/exporters/models
        NUM_RANDOM; builtin/filter/grammar MAX_CHARACTERS MAX_DEPTH; builtin/importers/annotated ROUND MOST_FILES;
        builtin/importers/arrow BATCH_ROWS; builtin/importers/box_csv LOOKED_AT; builtin/importers/coco_index BLOCK;
        builtin/importers/csv LOOKED_AT; builtin/importers/cvat SNIFFED_BYTES; builtin/importers/image_list LOOKED_AT
        WORDS_SNIFFED; builtin/importers/json_items BLOCK_CHARS; builtin/importers/label_columns FIRST_ROWS;
        builtin/importers/label_studio MOST_CONFIGURATIONS; builtin/importers/labelme FOLDERS_SNIFFED FILES_SNIFFED;
        builtin/importers/layout DEEPEST; builtin/importers/mask_names MOST_ROWS; builtin/importers/masks LOOKED_AT;
        builtin/importers/names SNIFFED; builtin/importers/parquet BATCH_ROWS; builtin/importers/tf_example MAX_RECORD_BYTES;
        builtin/importers/videos MOST_TRIED; builtin/importers/xml_items BLOCK_BYTES; builtin/importers/yolo MOST_POINTS
        LOOKED_AT; builtin/inspect/checks/masks LOOKED_AT; builtin/inspect/page TILES_KEPT; builtin/inspect/shortcut_tree
        MAX_ROWS CAST_A_CLASS CAST_IMAGES; builtin/inspect/two_sides MOST;
        builtin/split/iterative ROUNDS; builtin/split/split_file FEW MAX_SPLICED;
        builtin/train/cache RAM_SHARE DISK_SHARE EXTENT_BYTES; builtin/train/data DRAWS; builtin/train/folds BATCH;
        builtin/train/range_test STEPS; builtin/train/stage MANY_AUGMENTED; builtin/train/worker_pool PART;
        images/bands ROWS MAX_BANDS; images/colour_cast
        SIDE_PX; images/jpeg _REDUCED_MIN_PX; images/landmarks SIDE_PX _MOST _VIEW_PX; images/masks MAX_COLOURS;
        images/measuring SIDE_PX; images/metadata HEAD_BYTES; images/name_groups SHUFFLES PAIRS MOST BLOCK;
        images/near_duplicates MINIATURE_PX _BLOCK _CHUNKS; images/pixels MAX_PIXELS; images/plain_png SMALL_PNG_BYTES;
        images/png_bands BAND_BYTES ROWS MOST_BANDS; images/recalled_pairs KEPT_IMAGES;
        images/symmetric_copies LEAST_CORRELATION MAX_BITS _BLOCK;
        images/tiff_tags MAX_IFDS; images/warping
        FOUR_CHANNELS_UP_TO FRAME_UP_TO; learning/checkpoint MAX_SHARED; learning/input_size PROBED;
        learning/logistic_path PRECISION MOST_STEPS
        MOST_PRODUCTS LEAST_SHARE; learning/mapped _SCATTERED; learning/near_copies
        NEIGHBOURS; learning/neighbours EXACT CELL PROBES _BLOCK; learning/out_of_fold DIMENSIONS MOST_TO_CHOOSE _BLOCK;
        learning/out_of_fold_tasks ROUNDS _LEAST _HIGHEST_RATE;
        learning/plain_pickle MAX_OPERATIONS MAX_DIMENSIONS; learning/predictor MAX_RATIO FREE_BYTES; learning/projection MOST;
        learning/selection RESAMPLES; learning/significance FLAT; builtin/compare/of_task SAME;
        learning/temperature SMALLEST UNROUNDED FLAT; learning/unknown
        STORED MOST_STORED; recipe/compiled MORE; recipe/notation MAX_DEPTH; recipe/returned SMALLEST; recipe/sides DRAWS
        SIZE_HW""",
}


def is_number(node: ast.expr | None) -> bool:
    """A number, a computation with numbers, or a tuple of them."""
    parts = list(ast.walk(node)) if isinstance(node, PLAIN) else []
    kinds = {type(part.value) for part in parts if isinstance(part, ast.Constant)}
    return bool(kinds) and kinds <= {int, float} and all(isinstance(part, PLAIN) for part in parts)


def constants() -> Iterator[str]:
    """``images/landmarks FEWEST`` for each numeric constant of a module."""
    for file in (file for room in ROOMS for file in (PACKAGE / room).rglob("*.py")):
        for line in ast.parse(file.read_text("utf-8")).body:
            if isinstance(line, ast.Assign | ast.AnnAssign) and is_number(line.value):
                target = line.targets[0] if isinstance(line, ast.Assign) else line.target
                for name in target.elts if isinstance(target, ast.Tuple) else [target]:
                    if isinstance(name, ast.Name) and name.id.isupper():
                        yield f"{file.relative_to(PACKAGE).with_suffix('').as_posix()} {name.id}"


def listed(text: str) -> list[str]:
    parts = [part.split() for part in text.split(";")]
    return [f"{module} {name}" for module, *names in parts for name in names]


def test_each_is_tuned_and_tested_or_is_not_tuned() -> None:
    named = [name for text in (*TUNED.values(), *NOT_TUNED.values()) for name in listed(text)]
    assert len(named) == len(set(named)), "a constant is named twice"
    assert sorted(set(constants()) - set(named)) == [], "write a test just below and just above it, and name it in TUNED"
    assert sorted(set(named) - set(constants())) == [], "these are no constants any more"
    assert [file for file in TUNED if not (TESTS / file).is_file()] == []
