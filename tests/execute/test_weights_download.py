"""Downloads go on where they stopped, are checked, and no half a file gets the name of a whole one."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench_core import PublishedFile
from bench_core.errors import WeightsError
from bench_core.weights.download import download, verify
from tests.helpers.file_server import FileServer, serving

CONTENT = bytes(range(256)) * 12_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(CONTENT) as files:
        yield files


def published(server: FileServer, name: str = "net.pth", sha256: str = "") -> PublishedFile:
    return PublishedFile(name=name, url=f"{server.address}/{name}", sha256=sha256)


def test_a_file_arrives_whole_with_its_hash_beside_it(server: FileServer, tmp_path: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    folder = tmp_path / "new" / "folder"
    file, digest = download(
        published(server, sha256=DIGEST), folder, lambda done, total: steps.append((done, total))
    )
    assert (file, digest) == (folder / "net.pth", DIGEST)
    assert file.read_bytes() == CONTENT
    assert sorted(path.name for path in folder.iterdir()) == ["net.pth", "net.pth.sha256"]
    assert (folder / "net.pth.sha256").read_text() == f"{DIGEST}  net.pth\n"
    assert steps[0] == (0, len(CONTENT)) and steps[-1] == (len(CONTENT), len(CONTENT)) and len(steps) > 2
    assert verify(file) == DIGEST


def test_a_download_that_was_cut_off_goes_on(server: FileServer, tmp_path: Path) -> None:
    server.cut_after = 2_000_000
    with pytest.raises(WeightsError, match="cannot be downloaded") as caught:
        download(published(server), tmp_path)
    assert "too early" in (caught.value.cause or "") and "goes on" in (caught.value.fix or "")
    assert not (tmp_path / "net.pth").exists()
    server.cut_after = None
    assert download(published(server), tmp_path)[0].read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=2000000-"]


@pytest.mark.parametrize("has_etag", [True, False])
def test_the_rest_of_another_file_is_not_appended(server: FileServer, tmp_path: Path, has_etag: bool) -> None:
    server.cut_after, server.has_etag = 2_000_000, has_etag
    with pytest.raises(WeightsError):
        download(published(server), tmp_path)
    server.content, server.cut_after = CONTENT[::-1], None
    assert download(published(server), tmp_path)[0].read_bytes() == CONTENT[::-1]
    assert server.ranges == [None, "bytes=2000000-" if has_etag else None]


def test_a_whole_part_is_taken_again_from_the_beginning(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "net.pth.part").write_bytes(CONTENT)
    (tmp_path / "net.pth.part.etag").write_text(server.etag)
    assert download(published(server), tmp_path)[0].read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT)}-", None]


@pytest.mark.parametrize("name", ["net.pth", f"net-{DIGEST[:8]}.pth"])
def test_another_file_than_the_published_one_is_refused(
    server: FileServer, tmp_path: Path, name: str
) -> None:
    server.content = b"another"
    expected = published(server, name, sha256="" if DIGEST[:8] in name else DIGEST[:12])
    with pytest.raises(WeightsError, match="not the file that was published") as caught:
        download(expected, tmp_path)
    assert hashlib.sha256(b"another").hexdigest() in (caught.value.cause or "")
    assert [path.suffix for path in tmp_path.iterdir()] in ([], [".etag"])


def test_a_file_that_changed_since_is_noticed(server: FileServer, tmp_path: Path) -> None:
    file, _ = download(published(server), tmp_path)
    file.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="not what it was"):
        verify(file)
    (tmp_path / "net.pth.sha256").unlink()
    verify(file)
    with pytest.raises(WeightsError, match="not what it was"):
        verify(file, published(server, sha256=DIGEST))


def test_refusals_and_a_missing_network_are_one_clear_error(server: FileServer, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(WeightsError, match=r"net\.pth cannot be downloaded") as caught:
        download(published(server), tmp_path)
    assert "404" in (caught.value.cause or "") and caught.value.place == f"{server.address}/net.pth"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = PublishedFile(name="net.pth", url=f"http://127.0.0.1:{free.getsockname()[1]}/net.pth")
        with pytest.raises(WeightsError) as caught:
            download(nobody, tmp_path)
    assert "no connection" in (caught.value.cause or "")
    assert "$SEGTRIAL_WEIGHTS" in (caught.value.fix or "")


def test_nothing_is_fetched_without_encryption(server: FileServer, tmp_path: Path) -> None:
    plain = PublishedFile(name="net.pth", url="http://example.org/net.pth")
    with pytest.raises(WeightsError, match="https only"):
        download(plain, tmp_path)
    server.location = "ftp://example.org/net.pth"
    with pytest.raises(WeightsError):
        download(published(server), tmp_path)
    assert not (tmp_path / "net.pth").exists()


def test_a_folder_that_cannot_be_written_is_one_clear_error(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="cannot be written"):
        download(published(server), tmp_path / "file")


def test_two_downloads_of_one_file_do_not_mix(server: FileServer, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    with (tmp_path / "net.pth.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(WeightsError, match="by another process"):
            download(published(server), tmp_path)
    download(published(server), tmp_path)
