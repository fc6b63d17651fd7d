"""Downloads resume where they stopped, are checked, and no half a file gets the name of a whole one."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bench_core import PublishedFile
from bench_core.errors import WeightsError
from bench_core.weights.download import download, origin_of_hash, verify
from bench_core.weights.watch import Limits
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
    assert "too early" in (caught.value.cause or "") and "resumes" in (caught.value.fix or "")
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


def test_what_is_said_of_a_hash_is_what_was_compared(server: FileServer, tmp_path: Path) -> None:
    unknown, known = published(server), published(server, sha256=DIGEST)
    file, _ = download(unknown, tmp_path)
    assert origin_of_hash(file, unknown) == "recorded here, not published"
    assert origin_of_hash(file, known) == "as published"
    assert origin_of_hash(file, published(server, sha256=DIGEST[:8])) == "its first 8 digits as published"
    (tmp_path / "net.pth.sha256").unlink()
    assert origin_of_hash(file, unknown) == "neither published nor recorded"


@pytest.mark.parametrize("record", [b"", b"deadbeef  net.pth\n", b"\xff\xfe", b"x" * 10**6])
def test_a_damaged_record_is_said_and_not_passed_over(tmp_path: Path, record: bytes) -> None:
    file = tmp_path / "net.pth"
    file.write_bytes(CONTENT)
    (tmp_path / "net.pth.sha256").write_bytes(record)
    with pytest.raises(WeightsError, match="record of a file's SHA-256 is damaged") as caught:
        verify(file)
    assert caught.value.place == str(tmp_path / "net.pth.sha256")


@pytest.mark.parametrize(
    ("headers", "content", "cause"),
    [
        ({}, b"", "empty"),
        ({"Content-Encoding": "gzip"}, CONTENT, "compressed"),
        ({"Content-Encoding": "br"}, CONTENT, "compressed"),
        ({"Content-Type": "text/html; charset=utf-8"}, b"<html>sign in</html>", "web page"),
        ({"Content-Length": None, "Connection": "close"}, CONTENT, "does not say how long"),
        ({"Content-Length": "-1"}, CONTENT, "its length is '-1'"),
        ({"Content-Length": "many"}, CONTENT, "its length is 'many'"),
        ({"Content-Length": "9" * 17}, CONTENT, "more than"),
    ],
)
def test_an_answer_that_is_not_the_whole_file_as_it_is_is_refused(
    server: FileServer, tmp_path: Path, headers: dict[str, str | None], content: bytes, cause: str
) -> None:
    server.headers, server.content = headers, content
    with pytest.raises(WeightsError, match="cannot be downloaded") as caught:
        download(published(server), tmp_path)
    assert cause in (caught.value.cause or "") and caught.value.fix
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("chunks", [1, 7])
def test_chunks_mark_their_end_and_a_missing_one_is_noticed(
    server: FileServer, tmp_path: Path, chunks: int
) -> None:
    server.chunks, server.cut_after = chunks, 1_000_000
    with pytest.raises(WeightsError, match="cannot be downloaded"):
        download(published(server), tmp_path)
    assert not (tmp_path / "net.pth").exists()
    server.cut_after = None
    assert download(published(server), tmp_path)[0].read_bytes() == CONTENT


def test_an_end_that_nothing_marks_is_taken_where_the_whole_hash_is_known(
    server: FileServer, tmp_path: Path
) -> None:
    server.headers = {"Content-Length": None, "Connection": "close"}
    assert download(published(server, sha256=DIGEST), tmp_path)[0].read_bytes() == CONTENT
    server.cut_after = 1_000_000
    with pytest.raises(WeightsError, match="not the file that was published"):
        download(published(server, "cut.pth", sha256=DIGEST), tmp_path)
    assert not (tmp_path / "cut.pth").exists()


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": "bytes 5-9/10"},
        {"Content-Range": None},
        {"Content-Range": f"bytes 2000000-{len(CONTENT) - 1}/{len(CONTENT) + 1}"},
        {"ETag": None},
        {"ETag": '"another"'},
        {"Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT"},
    ],
    ids=["another place", "no place", "another length", "no version", "another version", "another date"],
)
def test_a_rest_that_is_not_the_rest_is_not_appended(
    server: FileServer, tmp_path: Path, headers: dict[str, str | None]
) -> None:
    server.cut_after = 2_000_000
    with pytest.raises(WeightsError):
        download(published(server), tmp_path)
    server.cut_after, server.is_deaf, server.headers = None, True, {}
    kept = server.content
    server.content = bytes(len(CONTENT))
    server.headers = headers
    if "ETag" not in headers:
        server.headers = {**headers, "ETag": f'"{hashlib.sha256(kept).hexdigest()[:16]}"'}
    with suppress(WeightsError):
        download(published(server), tmp_path)
    found = tmp_path / "net.pth"
    assert not found.exists() or found.read_bytes() == server.content


@pytest.mark.parametrize("stops_at", ["connection", "head", "body"])
@pytest.mark.parametrize(
    "limits",
    [Limits(seconds=0.3, patience=60), Limits(patience=0.3)],
    ids=["in all", "speed"],
)
def test_a_server_that_keeps_one_waiting_is_left(
    server: FileServer, tmp_path: Path, stops_at: str, limits: Limits
) -> None:
    server.stops_at = stops_at
    with pytest.raises(WeightsError, match="cannot be downloaded") as caught:
        download(published(server), tmp_path, limits=limits)
    assert "too slow" in (caught.value.cause or "")
    assert not (tmp_path / "net.pth").exists()


def test_a_file_larger_than_allowed_is_left(server: FileServer, tmp_path: Path) -> None:
    small = Limits(size=1000)
    with pytest.raises(WeightsError, match="cannot be downloaded") as caught:
        download(published(server), tmp_path, limits=small)
    assert "more than 1000" in (caught.value.cause or "")
    server.chunks = 50
    with pytest.raises(WeightsError) as caught:
        download(published(server), tmp_path, limits=small)
    assert "more than 1000" in (caught.value.cause or "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "net.pth",
        "https://",
        "https:///net.pth",
        "https://[::1/net.pth",
        "https://host:port/net.pth",
        "https://host:99999/net.pth",
        "https://a..b/net.pth",
        f"https://{'a' * 70}.org/net.pth",
        "https://ho st/net.pth",
        "https://host/\r\nnet.pth",
        "https://host\0/net.pth",
        "https://\ud800/net.pth",
        "file:///etc/passwd",
        "data:,x",
    ],
)
def test_a_garbled_address_is_one_clear_error(tmp_path: Path, url: str) -> None:
    with pytest.raises(WeightsError) as caught:
        download(PublishedFile(name="net.pth", url=url), tmp_path / "new")
    assert "not an address" in caught.value.message or "https only" in caught.value.message
    assert not (tmp_path / "new").exists()


def test_redirects_lead_to_no_place_without_encryption(server: FileServer, tmp_path: Path) -> None:
    for place in ("http://example.org/net.pth", "https://[bad/net.pth", "file:///etc/passwd"):
        server.location = place
        with pytest.raises(WeightsError):
            download(published(server), tmp_path)
    assert not (tmp_path / "net.pth").exists()


def test_links_in_the_folder_are_not_written_through(server: FileServer, tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    folder.mkdir()
    outside.write_bytes(b"mine")
    (folder / "net.pth.part").symlink_to(outside)
    with pytest.raises(WeightsError, match="cannot be written"):
        download(published(server), folder)
    (folder / "net.pth.part").unlink()
    for name in ("net.pth", "net.pth.sha256", "net.pth.part.etag"):
        (folder / name).symlink_to(outside)
    download(published(server), folder)
    assert outside.read_bytes() == b"mine"
    assert (folder / "net.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["../net.pth", "/net.pth", "a/b.pth", "..", "net\0.pth"])
def test_a_name_that_leads_elsewhere_writes_nothing(server: FileServer, tmp_path: Path, name: str) -> None:
    bad = published(server)
    object.__setattr__(bad, "name", name)
    with pytest.raises(WeightsError, match="not the plain name"):
        download(bad, tmp_path / "folder")
    assert list(tmp_path.iterdir()) == [] and server.ranges == []
