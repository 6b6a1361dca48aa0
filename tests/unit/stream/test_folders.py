"""Folders of domains: small ones, written on the spot; what does not belong there is named."""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_serial import class_of, experiment

from mpidcl.errors import DataError, ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.stream.datasets import cache, image_files
from mpidcl.stream.datasets.catalogue import make
from mpidcl.stream.datasets.verify import listing, verify
from mpidcl.stream.serial.stream import SerialStream
from mpidcl.stream.tasks import StreamShape

DOMAINS = ("sketch", "photo", "paint")
CLASSES = ("ant", "bee", "cat")
OPTIONS: dict[str, Any] = {"folder": "small", "domains": DOMAINS, "classes": 3, "size": 8}
IMAGES = {"sketch": 10, "photo": 15, "paint": 20}
"""Of each class of a domain."""


def picture(path: Path, colour: Any, mode: str = "RGB", size: tuple[int, int] = (12, 9)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


@pytest.fixture
def folder(written: Path) -> Path:
    """Red tells the domain, green the class, blue the number of an image."""
    for d, domain in enumerate(DOMAINS):
        for c, name in enumerate(CLASSES):
            for number in range(IMAGES[domain]):
                suffix = "png" if number % 2 else "PNG"
                path = written / "small" / domain / name / f"{number:03}.{suffix}"
                picture(path, (100 * d, 50 * c, 10 * number))
    return written / "small"


def load(**options: Any) -> Any:
    return make("folders", OPTIONS | options).load()


def stream(agent: int = 0, agents: int = 2, **options: Any) -> SerialStream:
    settings: dict[str, Any] = {
        "tasks": 3,
        "classes_per_task": 3,
        "incremental": "domain",
        "domains": "own",
        "data": OPTIONS,
    }
    return SerialStream(experiment(agents=agents, dataset="folders", **settings | options), agent)


def test_rows_come_domain_by_domain_and_class_by_class(folder: Path) -> None:
    dataset = make("folders", OPTIONS)
    arrays = dataset.load()
    for pixels, labels, share in (
        (arrays.train_x, arrays.train_y, 0.8),
        (arrays.test_x, arrays.test_y, 0.2),
    ):
        domains = dataset.domain_of(labels)
        assert pixels.dtype == np.uint8 and pixels.shape[1:] == (3, 8, 8)
        assert np.array_equal(pixels[:, 0, 0, 0], 100 * domains)
        assert np.array_equal(pixels[:, 1, 0, 0], 50 * labels)
        found = [np.bincount(labels[domains == d]).tolist() for d in range(3)]
        assert found == [[round(IMAGES[domain] * share)] * 3 for domain in DOMAINS]
    blue = [pixels[:, 2, 0, 0] for pixels in (arrays.train_x, arrays.test_x)]
    first = [b[:n] for b, n in zip(blue, (8, 2), strict=True)]
    assert sorted(np.concatenate(first).tolist()) == list(range(0, 100, 10)), "no image is in both parts"


def test_tests_are_drawn_by_their_seed(folder: Path) -> None:
    parts = [load(test_seed=seed).test_x for seed in (0, 0, 1)]
    assert np.array_equal(parts[0], parts[1]) and not np.array_equal(parts[0], parts[2])
    half = load(test_share=0.5)
    assert len(half.test_y) == 3 * (5 + 8 + 10) and len(half.train_y) == 3 * (5 + 7 + 10)
    few = load(test_share=1e-9)
    assert len(few.test_y) == 9, "at least one of each class and domain"


def test_the_order_of_domains_is_the_order_of_tasks(folder: Path) -> None:
    for order in (DOMAINS, DOMAINS[::-1], DOMAINS[1:]):
        made = stream(tasks=len(order), data=OPTIONS | {"domains": order})
        for index, domain in enumerate(order):
            task, red = made.task(index), 100 * DOMAINS.index(domain) / 255
            for rows in (task.train, task.validation, task.test):
                assert np.allclose(rows.x()[:, 0], red)
                assert np.allclose(rows.x()[:, 1, 0, 0], 50 * class_of(task, rows) / 255)
            assert len(task.test) == 3 * IMAGES[domain] // 5
            assert task.classes == task.labels == (0, 1, 2) and task.head == 0


DRAWS = ("independent", "shared", "iid", "dirichlet", "classes")


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("agents", [1, 2, 4])
def test_all_draws_give_every_agent_rows_of_each_domain(folder: Path, draw: str, agents: int) -> None:
    options = {"draw": draw, "least_per_class": 2, "validation_share": 0.25}
    made = [stream(agent, agents, **options) for agent in range(agents)]
    assert made[0].shape == StreamShape((3, 8, 8), 1, 3, "domain")
    for index, domain in enumerate(DOMAINS):
        tasks = [one.task(index) for one in made]
        rows = [np.concatenate([t.train.index, t.validation.index]) for t in tasks]
        every = 3 * round(IMAGES[domain] * 0.8)
        assert all(np.allclose(t.train.x()[:, 0], 100 * index / 255) for t in tasks)
        assert all(len(t.test) == 3 * round(IMAGES[domain] * 0.2) for t in tasks)
        if draw in ("independent", "shared"):
            assert [len(each) for each in rows] == [every] * agents
        else:
            assert np.array_equal(np.unique(np.concatenate(rows)), np.sort(np.concatenate(rows)))
            assert sum(map(len, rows)) == every


def test_whole_classes_stay_with_an_agent_in_all_domains(folder: Path) -> None:
    for agent, wanted in ((0, {0, 2}), (1, {1})):
        made = stream(agent, draw="classes")
        for index in range(3):
            task = made.task(index)
            assert {*task.train.y.tolist()} | {*task.validation.y.tolist()} == wanted
            assert {*task.test.y.tolist()} == {0, 1, 2}


def test_fewer_classes_are_the_same_in_all_domains(folder: Path) -> None:
    made = stream(classes_per_task=2, draw="iid")
    classes = made.task(0).classes
    assert len(classes) == 2 and all(made.task(index).classes == classes for index in range(3))
    assert {*made.task(2).train.y.tolist()} == {0, 1}


def test_too_few_rows_name_class_and_domain(folder: Path) -> None:
    with pytest.raises(ExperimentError, match=r"at most 8, .*class 0 \(domain sketch\). Found 5 x 2"):
        stream(draw="dirichlet").task(2)
    with pytest.raises(ExperimentError, match=r"Task 1 .*0 \(domain photo\), 1 \(domain photo\).*Found \d+"):
        stream(train_per_class=13).task(1)


def test_without_domains_they_are_one_data_set(folder: Path) -> None:
    task = stream(tasks=1, incremental="class", domains="permute", validation_share=0).task(0)
    assert len(task.train) == 3 * (8 + 12 + 16) and len(np.unique(task.train.x()[:, 0])) == 3


def test_what_does_not_fit_is_refused_or_told() -> None:
    text = 'name = "x"\nagents = 2\n[stream]\ndataset = "{}"\ntasks = 4\nclasses_per_task = 7\n{}\n'
    for lines, says in {
        'domains = "own"': 'domains.*should not be "own" with incremental = "task"',
        'domains = "own"\nincremental = "domain"\nfirst_domain = "drawn"': 'first_domain.*should be "plain"',
    }.items():
        with pytest.raises(ExperimentError, match=says):
            from_toml(text.format("folders", lines))
    made = from_toml(text.format("folders", 'incremental = "domain"'))
    notes = [note for one, use in made.parts() for note in one.notes(use)]
    assert any('domains = "own" makes a task of each' in note for note in notes)
    with pytest.raises(ExperimentError, match="at most 3, the domains of the data set .sketch, photo, paint"):
        stream(tasks=4)
    with pytest.raises(ExperimentError, match="needs a data set that has domains.*Found digits"):
        SerialStream(experiment(incremental="domain", domains="own"), 0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"domains": ("a", "a")}, "should name each domain once"),
        ({"domains": ("a/b",)}, "should be names of folders"),
        ({"domains": ("..",)}, "should be names of folders"),
        ({"domains": ()}, "domains"),
        ({"folder": "a\0b"}, "should be the path of a folder"),
        ({"size": 4}, "size"),
        ({"test_share": 1.0}, "test_share"),
        ({"classes": 1}, "classes"),
    ],
)
def test_wrong_options(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ExperimentError, match=says):
        make("folders", OPTIONS | options)


def test_grey_palette_and_transparent_images_become_three_channels(folder: Path) -> None:
    for number, (mode, colour) in enumerate(
        {"L": 77, "RGBA": (77, 77, 77, 3), "LA": (77, 9), "1": 1, "P": 0}.items()
    ):
        picture(folder / "sketch" / "ant" / f"{number:03}.png", colour, mode)
        found = image_files.read_image(folder / "sketch" / "ant" / f"{number:03}.png", 8)
        assert found.shape == (3, 8, 8) and {*found.ravel().tolist()} <= {0, 77, 255}
    path = folder / "sketch" / "ant" / "x.JPEG"
    picture(path, (200, 100, 50), size=(64, 32))
    assert np.abs(image_files.read_image(path, 16)[:, 3, 3].astype(int) - [200, 100, 50]).max() <= 3


def test_images_are_shrunk_with_antialiasing() -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    path = Path(os.environ["MPIDCL_CACHE"]) / "stripes.png"
    Image.fromarray(stripes).save(path)
    middle = image_files.read_image(path, 8)[:, 2:6, 2:6]
    assert np.abs(middle.astype(int) - 128).max() <= 2


def _bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says how many pixels it unpacks to."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start, end = chunk(b"IHDR", header), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + start + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + end


def _swap(path: Path, other: Path) -> None:
    path.rename(other)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _half(path: Path) -> None:
    whole = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    Image.fromarray(whole).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _link(path: Path, target: Path) -> None:
    path.symlink_to(target)


DAMAGE: dict[str, tuple[Any, str]] = {
    "no domain": (
        lambda f: _swap(f / "paint", f.parent / "away"),
        r"small/paint: should be the folder of the domain paint. Found there: photo, sketch",
    ),
    "domain in capitals": (
        lambda f: _swap(f / "paint", f / "Paint"),
        r"domain paint. Paint is spelt otherwise: upper and lower case count",
    ),
    "no class": (
        lambda f: _swap(f / "photo" / "bee", f.parent / "away"),
        r"small/photo: should have the classes of sketch. Missing: bee. A class must be in all domains",
    ),
    "class in capitals": (
        lambda f: _swap(f / "photo" / "bee", f / "photo" / "Bee"),
        r"small/photo: .*Missing: bee. Bee is spelt otherwise",
    ),
    "a class more": (
        lambda f: picture(f / "photo" / "dog" / "1.png", 0),
        r"small/photo: should have the classes of sketch and no others. Found dog",
    ),
    "other number of classes": (
        lambda f: [picture(f / d / "dog" / f"{n}.png", 0) for d in DOMAINS for n in range(2)],
        r"should have 3 folders of classes \(`stream.data.classes`\). Found 4: ant, bee, cat, dog",
    ),
    "empty class": (
        lambda f: _empty(f / "photo" / "bee"),
        r"small/photo/bee: should hold at least 2 images .*Found 0",
    ),
    "one image": (
        lambda f: [p.unlink() for p in sorted((f / "photo" / "bee").iterdir())[1:]],
        r"small/photo/bee: .*Found 1",
    ),
    "other file": (
        lambda f: (f / "photo" / "bee" / "notes.txt").write_text("x"),
        r"bee/notes.txt: should be an image, .png, .jpg or .jpeg. Found another kind of file",
    ),
    "file among classes": (
        lambda f: (f / "photo" / "x.png").write_text("x"),
        r"photo/x.png: should be the folder of a class. Found a file",
    ),
    "folder among images": (
        lambda f: (f / "photo" / "bee" / "x.png").mkdir(),
        r"bee/x.png: should be a file with an image. Found a folder",
    ),
    "no image": (
        lambda f: (f / "photo" / "bee" / "x.png").write_text("no image at all"),
        r"bee/x.png: should be a readable PNG or JPEG image. Found: cannot identify",
    ),
    "another format": (
        lambda f: Image.new("RGB", (9, 9)).save(f / "photo" / "bee" / "x.png", "GIF"),
        r"bee/x.png: should be a readable PNG or JPEG image",
    ),
    "half an image": (lambda f: _half(f / "photo" / "bee" / "x.png"), r"bee/x.png: .*truncated"),
    "half a jpeg": (lambda f: _half(f / "photo" / "bee" / "x.jpg"), r"bee/x.jpg: .*truncated"),
    "bomb": (
        lambda f: (f / "photo" / "bee" / "x.png").write_bytes(_bomb(9_000, 9_000)),
        r"bee/x.png: should have at most 50,000,000 pixels. Found 9000 x 9000",
    ),
    "large bomb": (
        lambda f: (f / "photo" / "bee" / "x.png").write_bytes(_bomb(99_000, 99_000)),
        r"bee/x.png: .*Found: Image size .* exceeds limit",
    ),
    "16 bits": (
        lambda f: Image.fromarray(np.full((9, 9), 999, np.uint16)).save(f / "photo" / "bee" / "x.png"),
        r"bee/x.png: should have 8 bits per channel",
    ),
    "link out": (
        lambda f: _link(f / "photo" / "bee" / "x.png", f.parent / "away.png"),
        r"bee/x.png: should lie in .*small, .*Found a link to .*away.png",
    ),
    "class out": (
        lambda f: (_swap(f / "photo" / "bee", f.parent / "b"), _link(f / "photo" / "bee", f.parent / "b")),
        r"photo/bee: should lie in .*Found a link to",
    ),
    "dangling": (
        lambda f: _link(f / "photo" / "bee" / "x.png", f / "nothing.png"),
        r"bee/x.png: should lead to an image in .*small. Found a link that leads nowhere",
    ),
    "loop": (
        lambda f: _link(f / "photo" / "bee" / "x.png", f / "photo" / "bee" / "x.png"),
        r"bee/x.png: should lead to an image in .*small. Found a link that leads nowhere",
    ),
    "pipe": (
        lambda f: os.mkfifo(f / "photo" / "bee" / "x.png"),
        r"bee/x.png: should be a file with an image",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_what_should_not_be_there_is_named(folder: Path, case: str) -> None:
    damage, says = DAMAGE[case]
    damage(folder)
    with pytest.raises(DataError, match=says):
        load()


def test_every_kind_of_broken_image_is_a_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_files, "MOST_PIXELS", 10_000)
    random = np.random.default_rng(0)
    pixels, path = random.integers(0, 255, (20, 20, 3), np.uint8), tmp_path / "x"
    for kind in ("PNG", "JPEG"):
        Image.fromarray(pixels).save(path, kind)
        good = path.read_bytes()
        for _ in range(150):
            damaged = bytearray(good[: random.integers(1, len(good) + 1)])
            for place in random.integers(0, len(damaged), 3):
                damaged[place] = random.integers(256)
            path.write_bytes(damaged)
            with contextlib.suppress(DataError):
                assert image_files.read_image(path, 8).shape == (3, 8, 8)


def test_verify_tells_what_is_wrong(folder: Path) -> None:
    assert [(check.ok, check.found) for check in verify("folders", OPTIONS)] == [
        (True, "108 images of 3 classes"),
        (True, "27 images of 3 classes"),
    ]
    (folder / "photo" / "bee" / "x.png").write_text("no image at all")
    (check,) = verify("folders", OPTIONS)
    assert not check.ok and "bee/x.png: should be a readable PNG or JPEG image" in check.found


def test_hidden_files_links_inside_and_other_folders_are_no_matter(folder: Path) -> None:
    before = load()
    (folder / "photo" / "bee" / ".DS_Store").write_text("x")
    (folder / ".git").mkdir()
    picture(folder / "another" / "dog" / "1.png", 0)
    cache._rest.clear()
    assert np.array_equal(load().train_x, before.train_x)
    (folder / "photo" / "bee" / "link.png").symlink_to(folder / "photo" / "bee" / "000.PNG")
    cache._rest.clear()
    assert len(load().train_x) + len(load().test_x) == 3 * 45 + 1


def test_a_changed_or_renamed_class_or_image_makes_another_copy(folder: Path) -> None:
    prints = [make("folders", OPTIONS).fingerprint()]
    picture(folder / "photo" / "bee" / "001.png", (1, 2, 3))
    cache._rest.clear()
    prints.append(make("folders", OPTIONS).fingerprint())
    for domain in DOMAINS:
        (folder / domain / "bee").rename(folder / domain / "zebra")
    cache._rest.clear()
    prints.append(make("folders", OPTIONS).fingerprint())
    assert len({*prints}) == 3


def test_images_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load()
    monkeypatch.setattr(image_files, "read_image", lambda *_: pytest.fail("read again"))
    monkeypatch.setattr("mpidcl.stream.datasets.folders.read_image", lambda *_: pytest.fail("read again"))
    made = load()
    assert isinstance(made.train_x, np.memmap) and not made.train_x.flags.writeable


def test_it_is_found_by_path_by_name_and_in_the_current_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prints = {make("folders", OPTIONS | {"folder": name}).fingerprint() for name in ("small", str(folder))}
    monkeypatch.chdir(folder.parent)
    monkeypatch.delenv("MPIDCL_DATA")
    prints.add(make("folders", OPTIONS | {"folder": "./small"}).fingerprint())
    assert len(prints) == 1
    dataset = make("folders", OPTIONS)
    assert dataset.info.name == "folders-small" and dataset.here()
    assert dataset.origin() == "files whose hashes were never published" and dataset.note() == ""
    monkeypatch.chdir(tmp_path)
    assert not dataset.here()
    for ask in (dataset.origin, dataset.load):
        with pytest.raises(DataError, match="folders-small is not on this machine.*sketch, photo, paint"):
            ask()
    picture(folder.parent / "Small" / "Sketch" / "ant" / "1.png", 0)
    with pytest.raises(DataError, match=r"which holds Sketch"):
        make("folders", OPTIONS | {"folder": str(folder.parent / "Small")}).load()


def test_data_list_and_verify_know_the_published_ones(written: Path) -> None:
    def place() -> str:
        return next(line.place for line in listing() if line.info.name == "folders")

    assert place() == "not here"
    names = ("Art", "Clipart", "Product", "Real World")
    for domain in names:
        for name in range(65):
            for number in range(2):
                picture(written / "office-home" / domain / f"c{name}" / f"{number}.jpg", 99, "L", (8, 8))
    assert place() == f"{written / 'office-home'} (folders-office-home)"
    checks = verify("folders")
    assert [(check.ok, check.found) for check in checks] == [(True, "260 images of 65 classes")] * 2
    with pytest.raises(DataError, match="folders-pacs is not on this machine"):
        make("folders").load()


def test_more_pixels_than_memory_are_refused_before_they_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpidcl.stream.datasets.folders.memory_bytes", lambda: 10_000)
    with pytest.raises(DataError, match=r"10,000 bytes. Found 135 images of 8 x 8 pixels, 25,920 bytes"):
        load()
