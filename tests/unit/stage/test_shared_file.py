"""One file that several write: nobody's word is lost, on local disk and on gs://."""

import errno
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from google.api_core.exceptions import Forbidden
from google.auth.exceptions import DefaultCredentialsError
from google.cloud.storage import Blob
from waiting import killed_at_the_end

from stage.errors import StageError
from stage.shared_file import change_file, locked


def test_a_file_is_changed_after_what_it_holds(tmp_path):
    path = str(tmp_path / "new" / "file")
    shown = []

    def append(content):
        shown.append(content)
        return (content or b"") + b"x"

    change_file(path, append)
    change_file(path, append)
    change_file(path, shown.append)
    assert shown == [None, b"x", b"xx"]
    assert (tmp_path / "new" / "file").read_bytes() == b"xx"


COUNTER = """
import sys
from stage.shared_file import change_file
for _ in range(50):
    change_file(sys.argv[1], lambda content: b"%d" % (int(content or 0) + 1))
"""


def test_processes_that_count_lose_nothing(tmp_path):
    processes = [subprocess.Popen([sys.executable, "-c", COUNTER, str(tmp_path / "count")]) for _ in range(3)]
    with killed_at_the_end(*processes):
        assert [process.wait() for process in processes] == [0, 0, 0]
    assert (tmp_path / "count").read_bytes() == b"150"


WAITER = """
import sys
from stage.shared_file import locked
with locked(sys.argv[1], name=".lock"):
    pass
"""


def test_who_waits_for_a_lock_says_so(tmp_path, capsys):
    said = f"{tmp_path}/.lock: another process holds it; waiting until it has ended\n"
    with ExitStack() as stack:
        with locked(str(tmp_path), name=".lock"):
            assert capsys.readouterr().err == ""
            waiting = subprocess.Popen([sys.executable, "-c", WAITER, str(tmp_path)], stderr=subprocess.PIPE, text=True)
            stack.enter_context(killed_at_the_end(waiting))
            assert waiting.stderr.readline() == said
            assert waiting.poll() is None
        assert waiting.communicate(timeout=60)[1] == ""
        assert waiting.returncode == 0


def test_who_does_not_wait_for_a_lock_is_refused(tmp_path, capsys):
    with (
        locked(str(tmp_path), name=".lock"),
        pytest.raises(StageError, match=r"^taken$"),
        locked(str(tmp_path), name=".lock", refusal="taken"),
    ):
        pytest.fail("it was locked twice")
    assert capsys.readouterr().err == ""
    with locked(str(tmp_path), name=".lock", refusal="taken"):
        pass


def test_a_lock_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StageError) as caught, locked(str(tmp_path / "file" / "below"), name=".lock"):
        pytest.fail("it was locked")
    assert str(caught.value) == f"{tmp_path}/file/below/.lock: cannot be written: Not a directory"


def test_a_lock_is_left_to_whoever_the_umask_lets_write(tmp_path):
    before = os.umask(0)
    try:
        with locked(str(tmp_path), name=".lock"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / ".lock").stat().st_mode & 0o777 == 0o666


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def without_locks(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", without_locks)
    with pytest.raises(StageError) as caught, locked(str(tmp_path), name=".lock"):
        pytest.fail("it was locked")
    assert str(caught.value) == (
        f"{tmp_path}/.lock: cannot be locked: No locks available; expected a file system with locks, such as a local "
        "disk"
    )


class Bucket(BaseHTTPRequestHandler):
    """As much of Cloud Storage's JSON API as one object needs, with its rule about generations."""

    generation = 0
    content = b""

    def do_GET(self) -> None:
        url, bucket = urlsplit(self.path), type(self)
        asked = parse_qs(url.query)
        # The client asks for the bucket itself too, in the background.
        if not unquote(url.path).endswith("/b/bucket/o/deep/CURRENT") or not bucket.generation:
            self._answer(404, b"{}")
        elif asked.get("ifGenerationMatch", [str(bucket.generation)]) != [str(bucket.generation)]:
            self._answer(412, b"{}")
        elif asked.get("alt") == ["media"]:
            self._answer(200, bucket.content)
        else:
            self._answer(200, json.dumps(self._resource()).encode())

    def do_POST(self) -> None:
        body, bucket = self.rfile.read(int(self.headers["Content-Length"])), type(self)
        if parse_qs(urlsplit(self.path).query)["ifGenerationMatch"] != [str(bucket.generation)]:
            self._answer(412, b"{}")
            return
        boundary = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])
        assert boundary is not None
        content = body.split(b"--" + boundary[1].encode())[2]
        bucket.content = content.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
        bucket.generation += 1
        self._answer(200, json.dumps(self._resource()).encode())

    def _resource(self) -> dict[str, str]:
        return {"name": "deep/CURRENT", "bucket": "bucket", "generation": str(type(self).generation)}

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bucket]]:
    handler = type("OneBucket", (Bucket,), {})
    with ThreadingHTTPServer(("localhost", 0), handler) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://localhost:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield handler
        server.shutdown()
        thread.join()


def test_an_object_is_written_over_what_was_read_alone(bucket):
    path, shown = "gs://bucket/deep/CURRENT", []
    change_file(path, lambda content: b"1" if content is None else None)
    change_file(path, lambda content: b"2" if content is None else None)
    assert (bucket.generation, bucket.content) == (1, b"1")

    def change(content):
        shown.append(content)
        if len(shown) == 1:  # a rival comes between
            bucket.generation, bucket.content = 2, b"7"
        return content + b"!"

    change_file(path, change)
    assert (shown, bucket.generation, bucket.content) == ([b"1", b"7"], 3, b"7!")


def test_an_object_that_others_write_all_the_time_is_given_up(bucket, monkeypatch):
    slept = []
    monkeypatch.setattr("stage.shared_file.time.sleep", slept.append)

    def change(content):
        bucket.generation += 1
        return b"mine"

    with pytest.raises(StageError, match=r"^gs://bucket/deep/CURRENT: cannot be changed: others write it all the time"):
        change_file("gs://bucket/deep/CURRENT", change)
    assert (bucket.generation, bucket.content) == (20, b"")
    assert (slept[:2], max(slept)) == ([0.05, 0.1], 2)


def test_an_object_that_is_deleted_before_it_is_read_is_none(bucket, monkeypatch):
    download, shown = Blob.download_as_bytes, []
    bucket.generation, bucket.content = 1, b"1"

    def delete_and_download(blob, **keys):
        bucket.generation = 0
        return download(blob, **keys)

    monkeypatch.setattr(Blob, "download_as_bytes", delete_and_download)
    change_file("gs://bucket/deep/CURRENT", shown.append)
    assert shown == [None]


@pytest.mark.parametrize("error", [ConnectionError, DefaultCredentialsError, Forbidden])
def test_a_bucket_that_refuses_is_named(monkeypatch, error):
    def refuse(*_):
        raise error("refused")

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://localhost:1")
    monkeypatch.setattr("google.cloud.storage.Client.bucket", refuse)
    with pytest.raises(StageError, match=r"gs://bucket/x: cannot be changed: .*refused"):
        change_file("gs://bucket/x", refuse)


def test_credentials_that_name_no_project_will_do(tmp_path, monkeypatch):
    """As a user's outside Google Cloud."""
    of_a_user = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "t"}
    (tmp_path / "credentials.json").write_text(json.dumps(of_a_user))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "credentials.json"))
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("google.auth._cloud_sdk.get_project_id", lambda: None)
    monkeypatch.setattr("google.cloud.storage.Client.bucket", _refuse)
    with pytest.raises(StageError, match="gs://bucket/x: cannot be changed: refused"):
        change_file("gs://bucket/x", _refuse)


def test_without_google_s_client_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.cloud.storage", None)
    expected = (
        "gs://bucket/x: expected Google's client, found none: pip install '.[gcp]' in a checkout of ssl-two-tower"
    )
    with pytest.raises(StageError, match=f"^{re.escape(expected)}$"):
        change_file("gs://bucket/x", _refuse)


def _refuse(*_: object) -> None:
    raise ConnectionError("refused")
