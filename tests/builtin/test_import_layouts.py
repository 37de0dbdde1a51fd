"""Layouts that public repositories have: each is read as it is meant, or asked about; none is taken for classes."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipekit import images
from pipekit.builtin.importers.any_case import BY_OTHER_CASE
from pipekit.builtin.importers.files import BY_LAST_PARTS
from pipekit.builtin.importers.folders import FoldersParams, read, sniff
from pipekit.contract import Adjusted, Box, Sample
from pipekit.errors import ReadingsError, UserError
from pipekit.registry.registry import load_registry
from pipekit.registry.sniffing import find_importer
from tests.builtin.annotated import picture, sort_out, write

REGISTRY = load_registry()


def tree(root: Path, *names: str) -> Path:
    for name in names:
        write(root / name, "not opened here")
    return root


def readings(root: Path) -> list[str]:
    """The choices that are offered, with paths below ``root``."""
    with pytest.raises(ReadingsError) as caught:
        find_importer(REGISTRY, root)
    return [one.choice.replace(f"{root}/", "") for one in caught.value.readings]


@pytest.mark.parametrize(
    ("names", "said", "first"),
    [
        ("train/image/1.png train/label/1.png train/aug/2.png test/3.png", "the folders image, label", "image"),
        ("RGB/1.png Depth/1.png SemSeg/1.png", "the folders Depth, RGB, SemSeg", "RGB"),
        ("RGBLeft/1.png DepthLeft/1.png GTLeft/1.png", "the folders DepthLeft, GTLeft, RGBLeft", "RGBLeft"),
        ("training/image_2/1.png training/instance/1.png", "the folders image_2, instance", "image_2"),
        ("HR/1.png LR/1.png upsampled/1.png", "the folders HR, LR", "LR"),
        ("input/1.png target/1.png", "the folders input, target", "input"),
        ("my_images_a/1.jpg my_masks_a/1.png", "the folders my_images_a, my_masks_a", "my_images_a"),
        ("shots2018/1.jpg annotations/1.png", "the folder annotations", "shots2018"),
        ("1.jpg groundtruths/1.jpg detections/1.jpg", "the folders detections, groundtruths", ""),
        ("img/1.png lbl/1.png", "the folders img, lbl", "img"),
        ("trainA/1.jpg trainB/1.jpg testA/1.jpg testB/1.jpg", "the folders testA, testB, trainA, trainB", "testA"),
    ],
)
def test_pictures_and_their_annotations_are_no_classes(tmp_path: Path, names: str, said: str, first: str) -> None:
    root = tree(tmp_path, *names.split())
    with pytest.raises(ReadingsError, match=said) as caught:
        sniff(root)
    found = [one for one in caught.value.readings if one.path]
    assert Path(found[0].path).name == first if first else not found
    assert caught.value.readings[-1].splits == "no"


@pytest.mark.parametrize(
    "names", ["mask/1.jpg no_mask/2.jpg", "frames/1.jpg mirrors/2.jpg", "depth/1.jpg width/2.jpg", "hr/1.jpg fr/2.jpg"]
)
def test_a_word_of_structure_beside_other_classes_is_a_class(tmp_path: Path, names: str) -> None:
    root = tree(tmp_path, *names.split())
    labels = [row.label for row in read(root, FoldersParams())]
    assert labels == sorted(name.partition("/")[0] for name in names.split())


def test_splits_that_share_their_other_words_are_splits_beside_another_folder(tmp_path: Path) -> None:
    root = tree(tmp_path, "bounding_box_train/1.jpg", "bounding_box_test/2.jpg", "query/3.jpg")
    with pytest.raises(ReadingsError, match="the splits bounding_box_test, bounding_box_train and beside them query"):
        sniff(root)


@pytest.mark.parametrize("tops", ["camera_x camera_y", "tr te", "apprentissage evaluations"])
def test_either_of_two_levels_of_folders_may_be_the_classes(tmp_path: Path, tops: str) -> None:
    root = tree(tmp_path, *(f"{top}/{name}/1.jpg" for top in tops.split() for name in ("oak", "elm")))
    assert readings(root) == [f"--format folders:labels={rule}" for rule in ("last", "first", "path")]
    with pytest.raises(ReadingsError, match="hold the same folders elm, oak, and either may be the classes"):
        list(read(root, FoldersParams()))
    assert {row.label for row in read(root, FoldersParams(labels="last"))} == {"oak", "elm"}
    write(root / "fir/1/1.jpg", "not opened here")
    assert {row.label for row in read(root, FoldersParams())} == {*tops.split(), "fir"}


@pytest.mark.parametrize("names", ["my-train-set my-test-set", "train_split holdout", "entrenamiento prueba", "treino teste"])
def test_splits_by_further_words(tmp_path: Path, names: str) -> None:
    train, test = names.split()
    rows = list(read(tree(tmp_path, f"{train}/oak/1.jpg", f"{test}/oak/1.jpg"), FoldersParams()))
    assert {(row.label, row.split) for row in rows} == {("oak", "train"), ("oak", "test")}


@pytest.mark.parametrize("file", ["labels.yaml", "classes.yml", "train.lst"])
def test_a_file_that_no_importer_reads_and_that_names_images_is_asked_about(tmp_path: Path, file: str) -> None:
    root = tree(tmp_path, *(f"{name}_{at}.jpg" for name in ("cat", "dog") for at in range(3)))
    write(root / file, "".join(f"cat_{at}.jpg: zebra\n" for at in range(3)))
    assert readings(root) == ["--format names"]


def test_masks_below_each_class_are_asked_about(tmp_path: Path) -> None:
    """As in MVTec: bottle/train/good, bottle/test/broken and bottle/ground_truth/broken."""
    names = ("train/good/1.png", "test/broken/1.png", "ground_truth/broken/1_mask.png")
    root = tree(tmp_path, *(f"{of}/{name}" for of in ("bottle", "cable") for name in names))
    with pytest.raises(ReadingsError, match="images of annotations in bottle/ground_truth, cable/ground_truth"):
        sniff(root)
    assert len(list(read(root, FoldersParams(splits="no")))) == 6


def test_frames_alone_are_no_class(tmp_path: Path) -> None:
    assert [row.label for row in read(tree(tmp_path, "frames/1.jpg", "frames/2.jpg"), FoldersParams())] == [None, None]


# --- annotation files beside images --------------------------------------------------------------------------------------

VOC = """<annotation><filename>{name}</filename><size><width>60</width><height>40</height><depth>3</depth></size>
<object><name>roo</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>30</ymax></bndbox></object></annotation>"""


@pytest.mark.parametrize("folder", ["annots", "xmls", "annotations/xmls", "labels"])
def test_voc_in_a_folder_of_any_name(tmp_path: Path, folder: str) -> None:
    from pipekit.builtin.importers import voc

    for number in (1, 2):
        picture(tmp_path / f"images/0000{number}.jpg")
        write(tmp_path / folder / f"0000{number}.xml", VOC.format(name=f"0000{number}.jpg"))
    assert find_importer(REGISTRY, tmp_path).importer == "voc"
    samples, failures = sort_out(voc.read(tmp_path, voc.VocParams()))  # type: ignore[arg-type]
    assert not failures
    assert [one.targets.boxes for one in samples] == [(Box(0.0, 0.0, 20.0, 30.0, "roo"),)] * 2


def test_xml_files_without_boxes_are_not_taken_for_voc(tmp_path: Path) -> None:
    """As LabelMe's web tool writes them: polygons below <annotation>."""
    picture(tmp_path / "Images/1.jpg")
    write(
        tmp_path / "Other/1.xml", "<annotation><object><name>a</name><polygon><pt><x>1</x></pt></polygon></object></annotation>"
    )
    from pipekit.builtin.importers import voc

    assert not voc.sniff(tmp_path)


@pytest.mark.parametrize(
    ("image", "annotation"),
    [
        ("a.jpg", "a.json"),
        ("images/1.jpg", "annots/1.xml"),
        ("images/7.jpg", "ground-truth/7.txt"),
        ("train/images/img_1.png", "train/gt_img_1.txt"),
        ("Images/1.jpg", "Annotations/1.txt"),
    ],
)
def test_an_annotation_with_a_short_name_or_number_is_asked_about(tmp_path: Path, image: str, annotation: str) -> None:
    root = tree(tmp_path, image, annotation)
    with pytest.raises(ReadingsError, match=f"has {annotation}, which names its images"):
        find_importer(REGISTRY, root)


@pytest.mark.parametrize(
    ("names", "file"),
    [
        ("jpg/image_1.jpg jpg/image_2.jpg", "imagelabels.mat"),  # Oxford's flowers
        ("cars_train/cars_train/1.jpg cars_test/cars_test/1.jpg", "devkit/cars_meta.mat"),
        ("images/1.jpg images/2.jpg", "labels.xlsx"),
    ],
)
def test_a_file_that_can_not_be_searched_is_asked_about_where_no_folder_says_a_class(
    tmp_path: Path, names: str, file: str
) -> None:
    root = tree(tmp_path, *names.split(), file)
    with pytest.raises(ReadingsError, match=f"has {file}, which may say what its images show"):
        find_importer(REGISTRY, root)
    tree(root, *(f"{name.rpartition('/')[0]}/{at}/{at}.jpg" for name in names.split() for at in ("rose", "tulip")))
    assert find_importer(REGISTRY, root).importer == "folders"


def test_a_split_that_lies_in_a_folder_of_its_own_name_is_no_class(tmp_path: Path) -> None:
    root = tree(tmp_path, "cars_train/cars_train/1.jpg", "cars_test/cars_test/2.jpg")
    assert [(row.label, row.split) for row in read(root, FoldersParams()) if isinstance(row, Sample)] == [
        (None, "test"),
        (None, "train"),
    ]


def test_words_of_which_each_split_has_its_own_are_no_classes(tmp_path: Path) -> None:
    root = tree(
        tmp_path, *(f"{split}_images/{name}_{at}.jpg" for at in range(3) for split, name in (("train", "a"), ("test", "b")))
    )
    assert find_importer(REGISTRY, root).importer == "folders"
    tree(root, *(f"test_images/a_{at}.jpg" for at in range(3)))
    assert find_importer(REGISTRY, root).importer == "names"


def test_a_caption_by_the_name_of_an_image_is_no_annotation(tmp_path: Path) -> None:
    assert find_importer(REGISTRY, tree(tmp_path, "cat/1.jpg", "cat/1.txt", "dog/2.jpg", "dog/2.txt")).importer == "folders"


def test_a_dataset_in_a_folder_of_its_own_is_asked_about(tmp_path: Path) -> None:
    picture(tmp_path / "fridge/images/1.jpg")
    write(tmp_path / "fridge/annotations/1.xml", VOC.format(name="1.jpg"))
    assert readings(tmp_path) == ["give fridge --format voc", "--format folders"]


def test_tables_beside_folders_of_structure_are_named(tmp_path: Path) -> None:
    root = tree(tmp_path, *(f"images/face_{at}a.jpg" for at in range(4)), "test/other_1.jpg")
    write(root / "data/legend.csv", "user,image,emotion\n" + "".join(f"1,face_{at}a.jpg,happy\n" for at in range(4)))
    with pytest.raises(ReadingsError, match=r"folder images, whose .*; data/legend\.csv beside them names images"):
        find_importer(REGISTRY, root)
    write(root / "legend.csv", "image,emotion\n" + "".join(f"images/face_{at}a.jpg,happy\n" for at in range(4)))
    assert readings(root)[0] == "give legend.csv --format csv"


# --- masks beside images -------------------------------------------------------------------------------------------------


def painted(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, pixels)


def test_masks_beside_their_images_are_no_images_of_a_class(tmp_path: Path) -> None:
    for name in ("benign (1).png", "benign (1)_mask.png", "benign (1)_mask_1.png", "2.jpg", "2_seg.png", "3_mask.png"):
        picture(tmp_path / "benign" / name)
    rows = list(read(tmp_path, FoldersParams()))
    assert [row.id for row in rows if isinstance(row, Sample)] == ["benign/2.jpg", "benign/3_mask.png", "benign/benign (1).png"]
    assert [row.id for row in rows if isinstance(row, Adjusted)] == ["benign/2.jpg"] + ["benign/benign (1).png"] * 2
    assert len(list(read(tmp_path, FoldersParams(masks_beside=True)))) == 6


def test_a_mask_by_its_images_name_is_told_from_a_copy_of_the_picture(tmp_path: Path) -> None:
    scene = np.random.default_rng(0).integers(0, 90, (6, 8, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    few = np.zeros((96, 128, 1), np.uint8)
    smooth = np.tile(np.linspace(0, 255, 128).astype(np.uint8)[None, :, None], (96, 1, 1))
    for name, other in (("few", few), ("smooth", smooth), ("copy", scene)):
        painted(tmp_path / "crack" / f"{name}.jpg", scene)
        painted(tmp_path / "crack" / f"{name}.png", other)
    rows = list(read(tmp_path, FoldersParams()))
    assert [row.id for row in rows if isinstance(row, Adjusted)] == ["crack/few.jpg", "crack/smooth.jpg"]
    assert [row.id for row in rows if isinstance(row, Sample)] == [
        f"crack/{n}" for n in ("copy.jpg", "copy.png", "few.jpg", "smooth.jpg")
    ]


# --- LabelMe -------------------------------------------------------------------------------------------------------------

LABELME = '{"shapes": [{"label": "a", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}], "imagePath": "%s"}'


def labelme_rows(root: Path) -> tuple[list[Sample], dict[str, str]]:
    from pipekit.builtin.importers import labelme
    from pipekit.builtin.importers.boxes import BoxedParams

    return sort_out(labelme.read(root, BoxedParams()))  # type: ignore[arg-type]


def test_a_labelme_file_that_names_itself_is_about_the_image_beside_it(tmp_path: Path) -> None:
    picture(tmp_path / "desk.jpg")
    write(tmp_path / "desk.json", LABELME % "desk.json")
    samples, failures = labelme_rows(tmp_path)
    assert not failures
    assert [(one.id, len(one.targets.boxes)) for one in samples] == [("desk.jpg", 1)]


def test_pictures_elsewhere_are_not_images_of_labelme(tmp_path: Path) -> None:
    """As where the converted masks lie beside the folder of annotated images."""
    for name in ("data/1.jpg", "data/2.jpg", "voc/SegmentationClass/1.png", "voc/JPEGImages/1.jpg"):
        picture(tmp_path / name)
    write(tmp_path / "data/1.json", LABELME % "1.jpg")
    samples, failures = labelme_rows(tmp_path)
    assert [one.id for one in samples] == ["data/1.jpg", "data/2.jpg"]
    why = "1 image, of which no JSON file names one: not read"
    assert failures == {"voc/JPEGImages": why, "voc/SegmentationClass": why}


def test_a_list_of_transcriptions_is_no_list_of_classes(tmp_path: Path) -> None:
    from pipekit.builtin.importers import image_list

    root = tree(tmp_path, *(f"imgs/word_{at}.jpg" for at in range(10)))
    words = ["EXIT", "HOTEL", "HOTEL", "Main", "Street", "Open", "24h", "No", "Parking", "Cafe"]
    write(root / "label.txt", "".join(f"imgs/word_{at}.jpg {word}\n" for at, word in enumerate(words)))
    assert "9 different words in 10 lines are too many to be classes" in str(image_list.sniff(root).reason)  # type: ignore[union-attr]
    with pytest.raises(ReadingsError, match=r"label\.txt, which names its images"):
        find_importer(REGISTRY, root)
    write(root / "label.txt", "".join(f"imgs/word_{at}.jpg {at}\n" for at in range(10)))  # numbers of classes, one image each
    assert find_importer(REGISTRY, root).importer == "image_list"


# --- YOLO, tables --------------------------------------------------------------------------------------------------------


def yolo_tree(root: Path, label: str, line: str) -> Path:
    picture(root / "images/train/a.jpg")
    write(root / label, line)
    return root


def test_yolo_takes_the_names_of_classes_from_a_yaml_file_of_any_name(tmp_path: Path) -> None:
    from pipekit.builtin.importers import yolo

    root = yolo_tree(tmp_path, "labels/train/a.txt", "1 0.5 0.5 0.5 0.5")
    write(root / "example.yaml", "names:\n  0: person\n  1: bench\n")
    write(root / "args.yaml", "epochs: 3\n")
    (sample,) = (found for found in yolo.read(root, yolo.YoloParams()) if isinstance(found, Sample))
    assert [box.label for box in sample.targets.boxes] == ["bench"]


def test_labels_of_another_format_are_not_read_as_yolo(tmp_path: Path) -> None:
    """KITTI's lines begin with the class's name; read as YOLO's, each of them failed or, without files, nothing was said."""
    root = yolo_tree(tmp_path, "labels/train/a.txt", "Car 0.00 0 -1.57 1 2 30 20 1.5 1.6 3.7 1 1.8 9 -1.6")
    with pytest.raises(ReadingsError, match=r"labels/train/a\.txt, which names its images"):
        find_importer(REGISTRY, root)


def test_label_files_that_belong_to_no_image_are_an_error(tmp_path: Path) -> None:
    from pipekit.builtin.importers import yolo

    root = yolo_tree(tmp_path, "labels/a.txt", "0 0.5 0.5 0.5 0.5")
    with pytest.raises(UserError, match=r"no label file below .* has the name of an image"):
        list(yolo.read(root, yolo.YoloParams()))


def test_tables_of_boxes_with_corners_of_other_names(tmp_path: Path) -> None:
    from pipekit.builtin.importers import box_csv

    picture(tmp_path / "a.jpg")
    table = "img_fName,img_w,img_h,class_label,bbx_xtl,bbx_ytl,bbx_xbr,bbx_ybr\na.jpg,60,40,culex,1,2,30,20\n"
    write(tmp_path / "boxes.csv", table)
    assert find_importer(REGISTRY, tmp_path).importer == "box_csv"
    (sample,) = box_csv.read(tmp_path, box_csv.BoxCsvParams())
    assert isinstance(sample, Sample)
    assert sample.targets.boxes == (Box(1, 2, 30, 20, "culex"),)


def test_a_file_that_names_a_quarter_of_the_images_is_asked_about(tmp_path: Path) -> None:
    root = tree(tmp_path, *(f"dataset/picture_{at}.jpg" for at in range(8)))
    write(root / "dataset/_annotations.test.jsonl", '{"image": "picture_1.jpg", "prefix": "?", "suffix": "3"}\n' * 2)
    assert find_importer(REGISTRY, root).importer == "folders"  # one in eight
    write(root / "dataset/_annotations.train.jsonl", "".join(f'{{"image": "picture_{at}.jpg"}}\n' for at in (2, 3)))
    with pytest.raises(ReadingsError, match=r"_annotations\.train\.jsonl, which names its images"):
        find_importer(REGISTRY, root)


def test_a_table_in_a_folder_of_tables_names_images_beside_that_folder(tmp_path: Path) -> None:
    from pipekit.builtin.importers import csv

    root = tree(tmp_path, *(f"images/scan_{at}.jpg" for at in range(4)))
    table = write(root / "labels/train.csv", "Filename,Label\n" + "".join(f"scan_{at}.jpg,weed{at % 2}\n" for at in range(4)))
    assert readings(root) == ["give labels/train.csv --format csv", "--format folders"]
    params = REGISTRY.check_params(REGISTRY.get("importer", "csv").params_type(), {})
    rows = [row for row in csv.read(table, params) if isinstance(row, Sample)]  # type: ignore[arg-type]
    assert [row.image for row in rows] == [str(root / f"images/scan_{at}.jpg") for at in range(4)]


# --- recordings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "choices"),
    [
        ("S1_Seq1.jpg S1_Seq2.jpg S2_Seq1.jpg TS1.jpg", ["--format folders:labels=none", "--format names"]),
        ("cam1.jpg cam2.jpg IMG_1.jpg IMG_2.jpg", ["--format folders:labels=none", "--format names"]),
        ("Subject01/1.jpg Subject02/1.jpg", ["--format folders:labels=none", "--format folders:labels=first"]),
        ("train/fold_1/1.jpg test/fold_2/1.jpg", ["--format folders:labels=none", "--format folders:labels=first"]),
        (
            "S1/walk/1.jpg S1/run/1.jpg S2/walk/1.jpg",
            ["--format folders:labels=last", "--format folders:labels=none", "--format folders:labels=first"],
        ),
        (
            "session1/Seq2/1.jpg session2/Seq1/1.jpg",
            ["--format folders:labels=none", "--format folders:labels=first"],
        ),
    ],
)
def test_subjects_and_recordings_are_asked_about(tmp_path: Path, names: str, choices: list[str]) -> None:
    assert readings(tree(tmp_path, *names.split())) == choices


def test_the_options_choose_how_folders_of_recordings_are_read(tmp_path: Path) -> None:
    root = tree(tmp_path, "S1/walk/1.jpg", "S2/run/1.jpg")
    for labels, expected in {"none": [None, None], "first": ["S1", "S2"], "last": ["walk", "run"]}.items():
        assert [row.label for row in read(root, FoldersParams(labels=labels))] == expected  # type: ignore[arg-type]
    with pytest.raises(ReadingsError, match="called S1, S2, which may be subjects"):
        list(read(root, FoldersParams()))


def test_one_folder_of_another_name_makes_them_classes(tmp_path: Path) -> None:
    root = tree(tmp_path, "s1/1.jpg", "sedan1/1.jpg")
    assert [row.label for row in read(root, FoldersParams())] == ["s1", "sedan1"]


# --- upper and lower case ------------------------------------------------------------------------------------------------

COCO = (
    '{{"images": [{{"id": 1, "file_name": "{name}"}}], "categories": [{{"id": 1, "name": "roo"}}], '
    '"annotations": [{{"image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}}]}}'
)
BOX_CSV = "filename,class,xmin,ymin,xmax,ymax\n{name},roo,1,1,9,9\n"


def rows_of(importer: str, root: Path) -> list[Any]:
    component = REGISTRY.get("importer", importer)
    module, params = component.load(), component.params_type()
    values = {"path": root} if "path" in params.model_fields else {}
    more = (root / "written",) if "out_dir" in inspect.signature(module.read).parameters else ()
    return list(module.read(root, params(**values), *more))


@pytest.mark.parametrize(
    ("importer", "annotations", "text"),
    [
        ("voc", "0af.xml", VOC),
        ("voc", "Annotations/0af.xml", VOC),
        ("coco", "x.json", COCO),
        ("box_csv", "x.csv", BOX_CSV),
        ("yolo", "labels/0af.txt", "0 0.5 0.5 0.2 0.2"),
    ],
)
def test_an_image_is_found_in_another_case_if_only_one_fits(tmp_path: Path, importer: str, annotations: str, text: str) -> None:
    folder = "images/" if importer == "yolo" else ""
    picture(tmp_path / f"{folder}0AF.jpg")
    write(tmp_path / annotations, text.format(name="0af.jpg"))
    rows = rows_of(importer, tmp_path)
    samples, failures = sort_out(rows)
    assert [(row.id, len(row.targets.boxes)) for row in samples] == [(f"{folder}0AF.jpg", 1)]
    assert not failures
    assert [row.how for row in rows if isinstance(row, Adjusted)] == [BY_OTHER_CASE]

    picture(tmp_path / f"{folder}0Af.jpg")
    if importer == "yolo":  # two images fit, and neither is chosen
        with pytest.raises(UserError, match="no label file"):
            rows_of(importer, tmp_path)
        return
    samples, failures = sort_out(rows_of(importer, tmp_path))
    assert failures
    assert not any(row.targets.boxes for row in samples)


def test_an_image_is_not_given_away_that_another_annotation_names_exactly(tmp_path: Path) -> None:
    from pipekit.builtin.importers import voc

    picture(tmp_path / "A.jpg")
    for name in ("A", "a"):
        write(tmp_path / f"{name}.xml", VOC.format(name=f"{name}.jpg"))
    samples, failures = sort_out(voc.read(tmp_path, voc.VocParams()))  # type: ignore[arg-type]
    assert [row.id for row in samples] == ["A.jpg"]
    assert failures == {"a.jpg": "no such file; a.xml names it"}


VIA = '{{"a": {{"filename": "{name}", "regions": [], "file_attributes": {{}}}}}}'
CREATE_ML = '[{{"image": "{name}", "annotations": []}}]'


@pytest.mark.parametrize(
    ("importer", "annotations", "text"),
    [
        ("box_csv", "x.csv", BOX_CSV),
        ("via", "x.json", VIA),
        ("createml", "x.json", CREATE_ML),
        ("image_list", "train.txt", "{name} roo"),
        ("csv", "x.csv", "path,label\n{name},roo\n"),
        ("coco", "x.json", COCO),
    ],
)
def test_images_that_were_found_by_the_last_parts_of_their_paths_are_counted(
    tmp_path: Path, importer: str, annotations: str, text: str
) -> None:
    """The paths of another machine are no certain match, so the import says how many there were."""
    picture(tmp_path / "a/0.jpg")
    for stated, said in (("/home/someone/pets/a/0.jpg", [BY_LAST_PARTS]), ("a/0.jpg", [])):
        write(tmp_path / annotations, text.format(name=stated))
        rows = rows_of(importer, tmp_path / annotations)
        assert [Path(row.image).name for row in sort_out(rows)[0]] == ["0.jpg"]
        assert [row.how for row in rows if isinstance(row, Adjusted)] == said
