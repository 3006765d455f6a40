"""A proxy by which Google's addresses lead to an emulator of gs://: TensorFlow knows no other addresses."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CERTIFICATE = """
openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -keyout key.pem -out certificate.pem -days 1
-subj /CN=googleapis.com -addext subjectAltName=DNS:www.googleapis.com,DNS:storage.googleapis.com
"""
DIRECTORY = b"--part\r\n\r\n{}\r\n--part\r\n\r\n\r\n--part--"
"""An upload of nothing."""


@contextmanager
def google_addresses(emulator: int, directory: Path) -> Iterator[dict[str, str]]:
    """Runs the proxy.

    Args:
        emulator: Port of the emulator on localhost.
        directory: Where to put its certificate and key.

    Yields:
        The environment in which TensorFlow takes that way, and looks for no credentials.
    """
    subprocess.run(CERTIFICATE.split(), cwd=directory, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(directory / "certificate.pem", directory / "key.pem")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_CONNECT(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.connection = tls.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)

        def do_GET(self) -> None:
            body = b"".join(self._body())
            del self.headers["Transfer-Encoding"], self.headers["Content-Length"]
            if not body and "uploadType=media" in self.path:  # TensorFlow makes a directory; the emulator would fail
                self.path = self.path.replace("=media", "=multipart")
                self.headers.replace_header("Content-Type", "multipart/related; boundary=part")
                body = DIRECTORY
            with closing(HTTPConnection("localhost", emulator)) as connection:
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                content = answer.read()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                self.send_header(name, value.replace("http://", "https://"))  # where an upload goes on
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_GET  # noqa: N815 (as the library calls them)

        def _body(self) -> Iterator[bytes]:
            if self.headers["Transfer-Encoding"] != "chunked":
                yield self.rfile.read(int(self.headers.get("Content-Length", 0)))
                return
            while size := int(self.rfile.readline(), base=16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("localhost", 0), Handler) as proxy:
        threading.Thread(target=proxy.serve_forever).start()
        try:
            yield {
                "https_proxy": f"http://localhost:{proxy.server_port}",
                "CURL_CA_BUNDLE": str(directory / "certificate.pem"),
                "GOOGLE_AUTH_TOKEN_FOR_TESTING": "of nobody",
            }
        finally:
            proxy.shutdown()
