from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torchvision.datasets

from sqdr_qiskit.data import downloads, load_dataset
from sqdr_qiskit.errors import DataError, StorageError

from .conftest import FakeKMNIST


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def mirror(folder: Path) -> Iterator[str]:
    """The address of a web server for `folder` on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def test_download_reports_progress_and_prints_nothing(
    kmnist: FakeKMNIST, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    served = kmnist.write_gz(tmp_path / "served")
    calls: list[tuple[str, int, int | None, str]] = []
    with mirror(served) as address:
        # The first mirror is down: the second one is asked.
        monkeypatch.setattr(torchvision.datasets.KMNIST, "mirrors", ["http://127.0.0.1:9/", address])
        splits = load_dataset("kmnist", data_dir=tmp_path / "data", progress=lambda *call: calls.append(call))
    assert len(splits.train) == 40
    assert {what: done for what, done, *_ in calls} == {
        f"downloading {name}": len(data) for name, data in kmnist.gz.items()
    }
    assert all(total == len(kmnist.gz[what.split()[1]]) for what, _, total, _ in calls)
    assert {unit for *_, unit in calls} == {"bytes"}
    assert capfd.readouterr() == ("", "")
    assert not list((tmp_path / "data").rglob(".unpacking-*"))


def test_damaged_gz_is_downloaded_again(
    kmnist: FakeKMNIST, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = kmnist.write_gz(tmp_path / "served")
    raw = kmnist.write_gz(tmp_path / "data")
    name = "t10k-labels-idx1-ubyte.gz"
    (raw / name).write_bytes(kmnist.gz[name][:-7])
    with mirror(served) as address:
        monkeypatch.setattr(torchvision.datasets.KMNIST, "mirrors", [address])
        load_dataset("kmnist", data_dir=tmp_path / "data")
    assert (raw / name).read_bytes() == kmnist.gz[name]


def test_offline_error_says_which_files_go_where(kmnist: FakeKMNIST, tmp_path: Path) -> None:
    expected = (
        r"Data set KMNIST: train-images-idx3-ubyte\.gz is missing and cannot be downloaded \(.*refused.*\): "
        r"go online, or put train-images-idx3-ubyte\.gz .* t10k-labels-idx1-ubyte\.gz into .*KMNIST.raw\."
    )
    with pytest.raises(DataError, match=expected) as caught:
        load_dataset("kmnist", data_dir=tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_damaged_gz_offline_is_named_and_kept(kmnist: FakeKMNIST, tmp_path: Path) -> None:
    raw = kmnist.write_gz(tmp_path)
    (raw / "t10k-images-idx3-ubyte.gz").write_bytes(b"half a file")
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz is damaged and cannot be downloaded"):
        load_dataset("kmnist", data_dir=tmp_path)
    assert (raw / "t10k-images-idx3-ubyte.gz").read_bytes() == b"half a file"


def test_wrong_file_at_the_mirror_is_not_kept(
    kmnist: FakeKMNIST, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = kmnist.write_gz(tmp_path / "served")
    (served / "train-labels-idx1-ubyte.gz").write_bytes(b"<html>please log in</html>")
    with mirror(served) as address:
        monkeypatch.setattr(torchvision.datasets.KMNIST, "mirrors", [address])
        with pytest.raises(
            DataError, match=r"train-labels.*missing and cannot be downloaded \(wrong checksum\)"
        ):
            load_dataset("kmnist", data_dir=tmp_path / "data")
    assert not list((tmp_path / "data").rglob("train-labels*"))


def test_read_only_folder_with_gz_files_is_enough(
    kmnist: FakeKMNIST, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = kmnist.write_gz(tmp_path)
    monkeypatch.setattr(downloads, "writable", lambda folder: False)
    assert len(load_dataset("kmnist", data_dir=tmp_path).train) == 40
    assert sorted(path.name for path in raw.iterdir()) == sorted(kmnist.gz)


def test_read_only_folder_without_a_file_says_so(
    kmnist: FakeKMNIST, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kmnist.write_gz(tmp_path, leave_out="train-labels-idx1-ubyte.gz")
    monkeypatch.setattr(downloads, "writable", lambda folder: False)
    with pytest.raises(
        StorageError, match=r"has no usable train-labels-idx1-ubyte\.gz and cannot be written to"
    ):
        load_dataset("kmnist", data_dir=tmp_path)


def test_data_dir_that_is_a_file_says_so(kmnist: FakeKMNIST, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match=r"Data folder .*file.* cannot be written to"):
        load_dataset("kmnist", data_dir=tmp_path / "file")


def test_full_disk_leaves_nothing_half_written(
    kmnist: FakeKMNIST, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = kmnist.write_gz(tmp_path)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torchvision.datasets.utils, "extract_archive", full)
    with pytest.raises(StorageError, match=r"Cannot write the KMNIST files to .*: No space left on device\."):
        load_dataset("kmnist", data_dir=tmp_path)
    assert sorted(path.name for path in raw.iterdir()) == sorted(kmnist.gz)


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, ".cache/sqdr-qiskit/data"),
        ("linux", {"XDG_CACHE_HOME": "/elsewhere"}, "/elsewhere/sqdr-qiskit/data"),
        ("darwin", {}, "Library/Caches/sqdr-qiskit/data"),
        ("win32", {}, "AppData/Local/sqdr-qiskit/data"),
        ("linux", {"SQDR_DATA_DIR": "~/images"}, "images"),
    ],
)
def test_default_data_dir(
    platform: str, environment: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "SQDR_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert downloads.default_data_dir() == tmp_path / expected
