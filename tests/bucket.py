"""A local stand-in for Google Cloud Storage: its JSON API over HTTP, in memory.

What gcsfs, TensorStore and google-cloud-storage ask of a bucket in a run, and no more:
https://docs.cloud.google.com/storage/docs/json_api/v1. There are no folders, an object
is seen once it is whole, and none can be appended to.
"""

import contextlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

FIRST = "--==0=="  # what gcsfs puts between the parts of an upload


class Bucket(ThreadingHTTPServer):
    """All buckets in one; `objects` has (generation, content) by name."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects, self.uploads = {}, {}
        self.lock, self.generation = threading.RLock(), 0

    def handle_error(self, *_):
        """A client that was killed, or has heard enough."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def variables(self) -> dict[str, str]:
        """The environment in which gs:// is this."""
        return {
            "STORAGE_EMULATOR_HOST": self.url,
            "TENSORSTORE_GCS_HTTP_URL": self.url,
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "none",
            "GOOGLE_CLOUD_PROJECT": "none",
            "FSSPEC_GCS": json.dumps({"token": "anon"}),
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # it would ask Google itself
        }

    def names(self, prefix: str = "") -> list[str]:
        with self.lock:
            return sorted(name for name in self.objects if name.startswith(prefix))

    def put(self, name: str, content: bytes) -> int:
        with self.lock:
            self.generation += 1
            self.objects[name] = self.generation, content
            return self.generation

    def described(self, name: str) -> dict:
        generation, content = self.objects[name]
        return {
            "kind": "storage#object",
            "bucket": "bucket",
            "name": name,
            "size": str(len(content)),
            "generation": str(generation),
            "metageneration": "1",
            "timeCreated": "2026-01-01T00:00:00.000Z",
            "updated": "2026-01-01T00:00:00.000Z",
        }

    def listed(self, prefix="", delimiter="", start="", end="") -> dict:
        items, prefixes = [], set()
        with self.lock:
            for name in self.names(prefix):
                inside = name[len(prefix) :]
                if name < start or (end and name >= end):
                    continue
                if delimiter and delimiter in inside:
                    prefixes.add(prefix + inside.partition(delimiter)[0] + delimiter)
                else:
                    items.append(self.described(name))
        return {"items": items, "prefixes": sorted(prefixes)}

    def failed(self, name: str, asked: dict) -> int:
        """The status of an unmet condition on an object's generation, else 0."""
        now = self.objects[name][0] if name in self.objects else 0
        if int(asked.get("ifGenerationMatch", now)) != now:
            return 412
        return 304 if int(asked.get("ifGenerationNotMatch", -1)) == now else 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, code: int, content=b"", **headers):
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
            headers.setdefault("Content-Type", "application/json")
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def asked(self) -> tuple[str | None, dict, bytes]:
        """(name of the object, None for a bucket or a list; parameters; body)."""
        size = int(self.headers.get("Content-Length") or 0)
        url = urlsplit(self.path)
        found = re.search(r"/b/[^/]+/o/([^/]+)", url.path)
        query = {k: v[-1] for k, v in parse_qs(url.query).items()}
        return unquote(found[1]) if found else None, query, self.rfile.read(size)

    def do_GET(self):
        name, query, _ = self.asked()
        store = self.server
        with store.lock:
            if name is None and not urlsplit(self.path).path.endswith("/o"):
                return self.answer(200, {"kind": "storage#bucket", "name": "bucket"})
            if name is None:
                keys = dict(startOffset="start", endOffset="end")
                keys |= dict(prefix="prefix", delimiter="delimiter")
                wanted = {keys[k]: v for k, v in query.items() if k in keys}
                return self.answer(200, store.listed(**wanted))
            failed = store.failed(name, query)
            if name not in store.objects:
                return self.answer(404, {"error": {"code": 404, "message": name}})
            if failed:
                return self.answer(failed)
            if query.get("alt") != "media":
                return self.answer(200, store.described(name))
            generation, content = store.objects[name]
        known = dict(x_goog_generation=str(generation), x_goog_metageneration="1")
        known["x_goog_stored_content_length"] = str(len(content))
        part = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not part:
            return self.answer(200, content, **known)
        first, last = part[1], part[2]
        start = int(first) if first else len(content) - int(last)
        stop = min(int(last) + 1, len(content)) if first and last else len(content)
        if start >= len(content):
            return self.answer(416, **known)
        known["Content_Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        return self.answer(206, content[start:stop], **known)

    def do_HEAD(self):
        self.do_GET()

    def do_DELETE(self):
        name, query, _ = self.asked()
        with self.server.lock:
            failed = self.server.failed(name, query)
            if name not in self.server.objects:
                return self.answer(404, {"error": {"code": 404, "message": name}})
            if failed:
                return self.answer(failed)
            del self.server.objects[name]
        return self.answer(204)

    def do_POST(self):
        name, query, body = self.asked()
        if self.path.startswith("/batch"):
            return self.deletes(body.decode())
        if "upload_id" in query:
            return self.chunk(query["upload_id"], body)
        kind = query.get("uploadType")
        if kind == "resumable":
            upload = f"upload{id(object())}_{len(self.server.uploads)}"
            name = query.get("name") or json.loads(body)["name"]
            self.server.uploads[upload] = (name, query, bytearray())
            where = f"{self.server.url}{self.path}&upload_id={upload}"
            return self.answer(200, Location=where)
        if kind == "media":
            return self.finished(query["name"], query, body)
        if kind == "multipart":
            _, about, content = body.split(FIRST.encode(), 2)
            about, content = (x.split(b"\n\n", 1)[1] for x in (about, content))
            content = content.removesuffix(f"\n{FIRST}--".encode())
            return self.finished(json.loads(about)["name"], query, content)
        found = re.search(r"/(rewriteTo/b/[^/]+|moveTo)/o/([^/?]+)", self.path)
        if found and name in self.server.objects:
            target = unquote(found[2])
            with self.server.lock:
                self.server.put(target, self.server.objects[name][1])
                about = self.server.described(target)
                if found[1] == "moveTo":
                    del self.server.objects[name]
                    return self.answer(200, about)
            return self.answer(200, {"done": True, "resource": about})
        return self.answer(404, {"error": {"code": 404, "message": self.path}})

    do_PUT = do_POST

    def chunk(self, upload: str, body: bytes):
        """A part of a resumable upload; the last one says how many bytes there are."""
        name, query, content = self.server.uploads[upload]
        content += body
        total = self.headers.get("Content-Range", "/*").rpartition("/")[2]
        if total == "*":
            return self.answer(308, Range=f"bytes=0-{len(content) - 1}")
        return self.finished(name, query, bytes(content))

    def finished(self, name: str, query: dict, content: bytes):
        with self.server.lock:
            failed = self.server.failed(name, query)
            if failed:
                return self.answer(failed)
            self.server.put(name, content)
            return self.answer(200, self.server.described(name))

    def deletes(self, text: str):
        """The answers of a batch of deletions."""
        parts = []
        for name in re.findall(r"DELETE /storage/v1/b/[^/]+/o/(\S+)", text):
            gone = self.server.objects.pop(unquote(name), None)
            code = "204 No Content" if gone else "404 Not Found"
            parts.append(
                f"--of\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 {code}"
            )
        text = "\r\n".join([*parts, "--of--"])
        return self.answer(
            200, text.encode(), Content_Type="multipart/mixed; boundary=of"
        )


@contextlib.contextmanager
def bucket():
    """The stand-in, served until the block ends."""
    server = Bucket()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
