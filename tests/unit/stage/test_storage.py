"""Files that appear whole or not at all."""

import hashlib
import io
import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO

import pytest

from stage import storage
from stage.errors import StageError, StorageError
from stage.probe import check_writable


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("a", "b"), "a/b"),
        (("a/", "b", "c/d"), "a/b/c/d"),
        (("/", "b"), "/b"),
        (("gs://bucket/", "b"), "gs://bucket/b"),
        (("", "b"), "b"),
    ],
)
def test_paths_are_joined_by_slashes(parts, expected):
    assert storage.join(*parts) == expected


def test_what_is_written_is_read_again_and_leaves_nothing_beside_it(tmp_path):
    path = str(tmp_path / "new" / "folders" / "file")
    storage.write_bytes(path, b"one")
    storage.write_bytes(path, b"two")
    assert storage.read_bytes(path) == b"two"
    assert [p.name for p in (tmp_path / "new" / "folders").iterdir()] == ["file"]
    assert storage.sha256(path) == hashlib.sha256(b"two").hexdigest()


def test_of_a_file_that_is_read_in_blocks_each_is_digested(tmp_path):
    content = b"x" * (1 << 20) + b"y"
    (tmp_path / "file").write_bytes(content)
    assert storage.sha256(str(tmp_path / "file")) == hashlib.sha256(content).hexdigest()


def test_a_compressed_file_is_read_as_it_lies(tmp_path):
    storage.write_bytes(str(tmp_path / "x.gz"), b"not gzip")
    assert storage.read_bytes(str(tmp_path / "x.gz")) == b"not gzip"
    assert storage.sha256(str(tmp_path / "x.gz")) == hashlib.sha256(b"not gzip").hexdigest()


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch):
    path = tmp_path / "file"
    storage.write_bytes(str(path), b"old")

    def full(descriptor):
        assert os.fstat(descriptor).st_size == 3  # nothing of it waits in a buffer
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StageError) as caught:
        storage.write_bytes(str(path), b"new")
    assert str(caught.value) == f"{path}: cannot be written: No space left on device"
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_cannot_be_read_or_written_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StageError, match="nowhere: cannot be read: No such file or directory"):
        storage.read_bytes(str(tmp_path / "nowhere"))
    with pytest.raises(StageError, match=r"file/below: cannot be written: (Not a directory|File exists)"):
        storage.write_bytes(str(tmp_path / "file" / "below"), b"")
    with pytest.raises(StageError, match="cannot be written: Is a directory"):
        storage.write_bytes(str(tmp_path), b"")
    for path in ("s4://x/y", "s3://x/y", "file:///x/y", "hdfs://x/y", "http://x/y", "gs:///y", "gs://", "gs://x//y"):
        with pytest.raises(StageError, match=f"^{path}: expected a local path or gs://BUCKET/PATH$"):
            storage.read_bytes(path)


def test_sizes_are_those_of_all_files_below(tmp_path):
    for name, size in (("a", 1), ("sub/b", 2), ("sub/deep/c", 0), (".hidden", 3)):
        storage.write_bytes(str(tmp_path / name), b"x" * size)
    (tmp_path / "empty").mkdir()
    assert storage.sizes(str(tmp_path)) == {"a": 1, "sub/b": 2, "sub/deep/c": 0, ".hidden": 3}
    assert storage.sizes(f"{tmp_path}/") == storage.sizes(str(tmp_path))
    assert storage.sizes(str(tmp_path / "nowhere")) == {}


def test_a_file_in_the_place_of_a_directory_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert storage.names(str(tmp_path / "file")) == set()
    with pytest.raises(StageError, match="file: cannot be listed: Not a directory"):
        storage.sizes(str(tmp_path / "file"))
    with pytest.raises(StageError, match="file: cannot be listed: Not a directory"):
        storage.clear(str(tmp_path / "file"), keep="x")


@pytest.mark.parametrize(
    ("use", "done"),
    [(storage.read_bytes, "read"), (storage.sha256, "read"), (storage.exists, "read"), (storage.delete, "deleted")],
)
def test_what_the_system_refuses_is_named(tmp_path, use, done):
    path = f"{tmp_path}/{'x' * 300}"
    with pytest.raises(StageError, match=f"^{path}: cannot be {done}: File name too long$"):
        use(path)


def test_files_and_directories_are_there_until_deleted(tmp_path):
    storage.write_bytes(str(tmp_path / "sub" / "b"), b"")
    assert storage.exists(str(tmp_path / "sub"))
    assert storage.exists(str(tmp_path / "sub" / "b"))
    storage.delete(str(tmp_path / "sub" / "b"))
    assert not storage.exists(str(tmp_path / "sub" / "b"))
    storage.delete(str(tmp_path / "sub"))
    assert not storage.exists(str(tmp_path / "sub"))
    storage.delete(str(tmp_path / "sub"))


def test_whether_a_directory_can_be_written_is_known_at_once(tmp_path):
    check_writable(str(tmp_path / "new"))
    assert storage.sizes(str(tmp_path / "new")) == {}
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StageError, match="cannot be written"):
        check_writable(str(tmp_path / "file"))


class _Upload(io.BytesIO):
    """What becomes an object when it is closed, as on gs://; a signal that came meanwhile is answered after that."""

    def __init__(self, store: "_Store", path: str) -> None:
        super().__init__()
        self._store, self._path = store, path

    def close(self) -> None:
        if not self.closed:
            self._store.objects[self._path] = self.getvalue()
            super().close()
            if self._store.interrupts:
                raise KeyboardInterrupt


class _Store:
    """As much of a file system as an upload takes."""

    def __init__(self, *, interrupts: bool) -> None:
        self.objects = {"bucket/a": b"old"}
        self.interrupts = interrupts

    def create_dir(self, path: str, recursive: bool) -> None:
        """Objects need none."""

    def open_output_stream(self, path: str, *, compression: str | None = "detect") -> _Upload:
        assert compression is None  # by default pyarrow packs what is called .gz
        return _Upload(self, path)

    def delete_file(self, path: str) -> None:
        del self.objects[path]


def test_an_interruption_while_an_upload_ends_deletes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    store = _Store(interrupts=True)
    monkeypatch.setattr(storage, "resolve", lambda path: (store, path.removeprefix("gs://")))
    with pytest.raises(KeyboardInterrupt):
        storage.write_bytes("gs://bucket/a", b"new")
    assert store.objects == {"bucket/a": b"new"}


def test_half_an_upload_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(file: IO[bytes]) -> None:
        file.write(b"ha")
        raise KeyboardInterrupt

    store = _Store(interrupts=False)
    monkeypatch.setattr(storage, "resolve", lambda path: (store, path.removeprefix("gs://")))
    with pytest.raises(KeyboardInterrupt):
        storage.write_file("gs://bucket/b", write)
    assert store.objects == {"bucket/a": b"old"}


def _write_half(directory: str) -> None:
    Path(directory, "half").write_bytes(b"")
    Path(directory, "no such", "file").write_bytes(b"")


def test_a_library_writes_and_reads_local_files_of_a_bucket(bucket: str, tmp_path: Path) -> None:
    with storage.writable_as_local(f"{bucket}/deep") as local:
        assert "://" not in local
        Path(local, "below").mkdir()
        Path(local, "below", "a").write_bytes(b"1")
        Path(local, "b").write_bytes(b"2")
        assert storage.sizes(f"{bucket}/deep") == {}
    assert not Path(local).exists()
    assert storage.sizes(f"{bucket}/deep") == {"below/a": 1, "b": 1}
    assert storage.names(f"{bucket}/deep") == {"below", "b"}
    with storage.readable_as_local(f"{bucket}/deep", ["below/a"]) as local:
        assert storage.sizes(local) == {"below/a": 1}
        assert Path(local, "below", "a").read_bytes() == b"1"
    with pytest.raises(FileNotFoundError), storage.writable_as_local(f"{bucket}/other") as local:
        _write_half(local)
    assert storage.sizes(f"{bucket}/other") == {}
    with pytest.raises(StageError, match="gs://bucket/no: cannot be read"):
        storage.copy(f"{bucket}/no", str(tmp_path / "copy"))


def test_local_files_are_read_where_they_are_and_appear_once_all_are_written(tmp_path: Path) -> None:
    with storage.writable_as_local(str(tmp_path / "new")) as local:
        Path(local, "a").write_bytes(b"1")
        Path(local, "below").mkdir()
        Path(local, "below", "b").write_bytes(b"22")
        (written,) = (tmp_path / "new").iterdir()
        assert Path(local) == written
        assert storage.is_partial(f"{written.name}/below/b")
    assert storage.sizes(str(tmp_path / "new")) == {"a": 1, "below/b": 2}
    assert not written.exists()
    with pytest.raises(FileNotFoundError), storage.writable_as_local(str(tmp_path / "new")) as local:
        _write_half(local)
    assert storage.sizes(str(tmp_path / "new")) == {"a": 1, "below/b": 2}
    with storage.readable_as_local(str(tmp_path / "new"), ["a"]) as local:
        assert local == str(tmp_path / "new")
    assert (tmp_path / "new" / "a").read_bytes() == b"1"
    (tmp_path / "new" / "a").unlink()
    (tmp_path / "new" / "a").mkdir()
    with (
        pytest.raises(StageError, match=rf"^{tmp_path}/new/a: cannot be written: Is a directory$"),
        storage.writable_as_local(str(tmp_path / "new")) as local,
    ):
        Path(local, "a").write_bytes(b"1")


def test_a_copy_says_which_of_the_two_files_failed_and_leaves_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_COPIED_AT_ONCE", 3)
    (tmp_path / "there").write_bytes(b"7 bytes")
    (tmp_path / "taken").mkdir()
    storage.copy(str(tmp_path / "there"), str(tmp_path / "deep/copy"))
    assert (tmp_path / "deep/copy").read_bytes() == b"7 bytes"
    for source in (tmp_path / "lacking", Path("/proc/self/mem")):  # the other opens, but has no byte at its start
        with pytest.raises(StageError, match=f"^{source}: cannot be read: "):
            storage.copy(str(source), str(tmp_path / "never"))
    with pytest.raises(StageError, match=f"^{tmp_path}/taken: cannot be written: "):
        storage.copy(str(tmp_path / "there"), str(tmp_path / "taken"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "taken", "there"]


@pytest.mark.parametrize(
    ("emulator", "where"),
    [
        (None, ("https", "", False)),
        ("host:9", ("http", "host:9", True)),
        ("https://host:9/", ("https", "host:9", True)),
    ],
)
def test_a_bucket_is_google_s_unless_an_emulator_is_named(
    monkeypatch: pytest.MonkeyPatch, emulator: str | None, where: tuple[str, str, bool]
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    if emulator is not None:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator)
    system, bare = storage.resolve("gs://bucket/a/b/")
    _, (options,) = system.__reduce__()
    assert bare == "bucket/a/b"
    assert (options["scheme"], options["endpoint_override"], options["anonymous"]) == where
    assert options["retry_time_limit"] == timedelta(minutes=1)


def test_a_store_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")  # where nothing listens
    monkeypatch.setattr(storage, "GIVE_UP_AFTER", timedelta(seconds=1))
    begin = time.monotonic()
    with pytest.raises(StorageError, match=r"^gs://bucket/CURRENT: cannot be read: .*Could not connect"):
        storage.exists("gs://bucket/CURRENT")
    assert time.monotonic() - begin < 30


class EmptyBucket(BaseHTTPRequestHandler):
    """Has no object; counts connections, which stay open."""

    protocol_version = "HTTP/1.1"
    connections = 0

    def setup(self) -> None:
        super().setup()
        EmptyBucket.connections += 1

    def do_GET(self) -> None:
        listed = self.path.partition("?")[0].endswith("/o")
        content = json.dumps({"kind": "storage#objects"} if listed else {"error": {"code": 404}}).encode()
        self.send_response(200 if listed else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def empty_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("localhost", 0), EmptyBucket) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://localhost:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("empty_bucket")
def test_paths_of_a_process_share_their_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(storage.exists(f"gs://bucket/{name}") for name in "abcde")
    assert EmptyBucket.connections == 1
    process = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: process + 1)
    assert not storage.exists("gs://bucket/a")
    assert EmptyBucket.connections == 2


def test_a_path_with_two_dots_behind_a_link_is_where_the_shell_has_it(tmp_path, monkeypatch):
    (tmp_path / "real" / "deep" / "bin").mkdir(parents=True)
    (tmp_path / "lex").mkdir()
    (tmp_path / "lex" / "bin").symlink_to("../real/deep/bin")
    monkeypatch.chdir(tmp_path)
    for base in ("lex/bin/../ds", f"{tmp_path}/lex/bin/../ds/"):
        storage.write_bytes(storage.join(base, "file"), b"x")
        assert (tmp_path / "real" / "deep" / "ds" / "file").read_bytes() == b"x"
        assert storage.sizes(base) == {"file": 1}
        assert storage.is_within(base, "real/deep")
        assert not storage.is_within(base, "lex")
        storage.delete(base)
    assert storage.sizes("lex/bin/..") == {}
    assert storage.names("lex/bin/..") == {"bin"}
    assert sorted(os.listdir("lex")) == ["bin"]


def test_what_lies_within_a_directory_by_its_name_or_by_where_links_lead_is_within_it(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to("../far")
    (tmp_path / "alias").symlink_to("out")
    for name in ("out", "alias"):
        for directory in ("out", "alias", "far"):
            assert storage.is_within(f"{tmp_path}/{name}/link/file", f"{tmp_path}/{directory}")
        assert not storage.is_within(f"{tmp_path}/far/file", f"{tmp_path}/{name}")
        assert not storage.is_within(f"{tmp_path}/out", f"{tmp_path}/{name}/link")


def test_the_last_name_of_a_path_may_be_a_link_which_is_deleted_itself(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "file").write_bytes(b"x")
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("far/file")
    assert storage.from_root(f"{tmp_path}/a/../link/x/") == f"{tmp_path}/link/x"
    (tmp_path / "a" / "elsewhere").symlink_to("../far")
    assert storage.from_root(f"{tmp_path}/far/../a/elsewhere/../link") == f"{tmp_path}/link"
    storage.delete(f"{tmp_path}/a/../link")
    assert sorted(os.listdir(tmp_path)) == ["a", "far"]
    assert os.listdir(tmp_path / "far") == ["file"]


def test_names_that_are_not_utf_8_are_named(tmp_path):
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "good").write_bytes(b"x")
    named = os.fsencode(tmp_path / "dir") + b"/\xe9"
    os.mkdir(named)
    for use in (storage.sizes, lambda path: storage.clear(path, keep="good")):
        with pytest.raises(StorageError) as caught:
            use(str(tmp_path / "dir"))
        assert str(caught.value) == (
            f"{tmp_path}/dir: cannot be listed: expected names in UTF-8, got {named!r}; rename it"
        )
    for use in (storage.exists, storage.sizes, storage.read_bytes, storage.open_input, check_writable):
        with pytest.raises(StorageError, match=r"\\udce9.*': expected a path in UTF-8$"):
            use(os.fsdecode(named))
    with pytest.raises(StorageError, match=r"^'gs://b/\\udce9': expected a path in UTF-8$"):
        storage.exists("gs://b/\udce9")
