"""MNIST, Fashion-MNIST and KMNIST: 60,000 + 10,000 images of 28 x 28 pixels in four idx files."""

from __future__ import annotations

from mpidcl.stream.datasets.base import Arrays, DataSet, Download, Info, SourceFile
from mpidcl.stream.datasets.idx import read_images, read_labels

NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def _info(
    name: str, places: tuple[str, ...], hashes: tuple[str, ...], folders: tuple[str, ...], *,
    home: str, licence: str, unpacked: tuple[str | None, ...] = (None,) * 4, seen: bool = True,
) -> Info:  # fmt: skip
    return Info(
        name=name, shape=(1, 28, 28), classes=10, train=60_000, test=10_000, seen=seen,
        home=home, licence=licence,
        folders=(name, *folders),
        files=tuple(SourceFile(*facts) for facts in zip(NAMES, hashes, unpacked, strict=True)),
        downloads=tuple(
            Download(tuple(place + file for place in places), value)
            for file, value in zip(NAMES, hashes, strict=True)
        ),
    )  # fmt: skip


class MNIST(DataSet):
    """Handwritten digits (LeCun, Cortes, Burges)."""

    info = _info(
        "mnist",
        ("http://yann.lecun.com/exdb/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"),
        (
            "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
        ("MNIST/raw",),
        home="http://yann.lecun.com/exdb/mnist/",
        licence="CC BY-SA 3.0, as commonly stated",
        unpacked=(
            "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    )

    def decode(self) -> Arrays:
        """Read the four idx files. Raises DataError."""
        side, classes = self.info.shape[1], self.info.classes
        train_images, train_labels, test_images, test_labels = self.sources()
        train_x, test_x = read_images(train_images, side), read_images(test_images, side)
        train_y = read_labels(train_labels, len(train_x), classes)
        return Arrays(train_x, train_y, test_x, read_labels(test_labels, len(test_x), classes))


class FashionMNIST(MNIST):
    """Articles of clothing (Xiao, Rasul, Vollgraf 2017)."""

    info = _info(
        "fashion-mnist",
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        (
            "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "md5:25c81989df183df01b3e8a0aad5dffbe",
            "md5:bef4ecab320f06d8554ea6380940ec79",
            "md5:bb300cfdad3c16e7a12a480ee83cd310",
        ),
        ("fashion", "FashionMNIST/raw"),
        home="https://github.com/zalandoresearch/fashion-mnist",
        licence="MIT",
        unpacked=(
            "sha256:c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "sha256:bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "sha256:5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "sha256:0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    )


class KMNIST(MNIST):
    """Cursive Japanese characters (Clanuwat and others 2018)."""

    info = _info(
        "kmnist",
        ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        (
            "md5:bdb82020997e1d708af4cf47b453dcf7",
            "md5:e144d726b3acfaa3e44228e80efcd344",
            "md5:5c965bf0a639b31b8f53240b1b52f4d7",
            "md5:7320c461ea6c1c855c0b718fb2a4b134",
        ),
        ("KMNIST/raw",),
        home="http://codh.rois.ac.jp/kmnist/",
        licence="CC BY-SA 4.0",
        seen=False,
    )
