"""The web server: progress of studies, report files of theirs, and nothing else."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from html import unescape
from pathlib import Path

import pytest

from ganbench import api, cli, serve
from ganbench.results.store import Store

ROOT = Path(__file__).parents[1]
TINY = ["problem=ring8", "steps=20", "seeds=2", "batch_size=16", "probe_every=10", "samples=64", "neighbours=32",
        "network.mlp.width=8", "loss=hinge,minimax", "regularizer=none,r1"]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished study of two populations with four runs each."""
    return api.run(overrides=TINY, out=tmp_path_factory.mktemp("trained") / "study", workers=1).path


@pytest.fixture
def copy(trained, tmp_path):
    """Put a copy of the study somewhere under the served directory."""

    def to(name):
        shutil.copytree(trained, tmp_path / "served" / name)
        return tmp_path / "served" / name

    return to


@pytest.fixture
def ask(tmp_path):
    """Send one request to a server of the directory, as it is given, and return status, headers and body."""
    (tmp_path / "served").mkdir(exist_ok=True)
    server = serve.listen(serve.Site(tmp_path / "served"), "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def send(path="/", method="GET"):
        connection = http.client.HTTPConnection(*server.server_address, timeout=60)
        connection.putrequest(method, path, skip_accept_encoding=True)
        connection.endheaders()
        answer = connection.getresponse()
        got = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return got

    send.port = server.server_address[1]
    yield send
    server.shutdown()
    server.server_close()
    thread.join()


def page(answer, status=200):
    assert answer[0] == status
    return answer[2].decode()


# ------------------------------------------------------------------------------------------ progress


def test_progress_counts_runs_by_what_became_of_them(copy):
    study = serve.StudyFolder(copy("one"))
    assert study.progress().state == "complete"
    assert study.progress().share == 1
    one, two = sorted((study.path / "populations").iterdir())
    (one / "done.json").unlink()
    lines = (one / "series.jsonl").read_text().splitlines(keepends=True)
    # half of the steps, then half a line as a kill leaves it
    (one / "series.jsonl").write_text("".join(lines[:2]) + lines[2][:9])
    done = json.loads((two / "done.json").read_text())
    del done["sealed"]  # as an earlier version wrote it
    (two / "done.json").write_text(json.dumps({**done, "diverged_step": [-1, 3, -1, 0]}))
    at = study.progress()
    assert (at.planned, at.done, at.diverged, at.failed, at.running) == (8, 4, 2, 0, 4)
    assert at.share == (4 + 4 * 10 / 20) / 8
    assert (at.state, at.complete) == ("unfinished", False)
    (one / "failed.json").write_text('{"error": "RuntimeError: no", "details": ""}')
    at = study.progress()
    assert (at.done, at.failed, at.running, at.share) == (4, 4, 0, 0.5)


def test_progress_is_that_of_the_study_object(copy):
    path = copy("one")
    (next(iter(sorted((path / "populations").iterdir()))) / "done.json").unlink()
    at, runs = serve.StudyFolder(path).progress(), api.load(path).runs
    assert at.name == api.load(path).name
    assert at.planned == len(runs)
    assert at.done == runs["status"].isin(["done", "diverged"]).sum()
    assert at.running == (runs["status"] == "running").sum() == 4


def test_last_change_is_that_of_the_newest_result(copy):
    path = copy("one")
    for number, file in enumerate(sorted(path.rglob("*"))):
        os.utime(file, (1000 + number, 1000 + number))
    newest = next(path.glob("populations/*/series.jsonl"))
    os.utime(newest, (5000, 5000))
    os.utime(path / "lock", (9000, 9000))
    assert serve.StudyFolder(path).progress().changed == 5000


# ------------------------------------------------------------------------------------------ the index


def test_index_lists_studies_wherever_they_are_and_refreshes(ask, copy, tmp_path):
    copy("one")
    copy("deep/down/two")
    copy(".hidden/three")
    (tmp_path / "served" / "notes").mkdir()
    html = page(ask())
    assert html.count("8 of 8 runs, complete") == 2
    assert '<a href="/study/one/report.html">custom</a>' in html
    assert '<a href="/study/deep/down/two/report.html">custom</a>' in html
    assert '<meta http-equiv="refresh" content="30">' in html, "nothing is left to wait for"
    study = copy("later")
    next(study.glob("populations/*/done.json")).unlink()
    html = page(ask())
    assert "4 of 8 runs, unfinished" in html
    assert '<meta http-equiv="refresh" content="5">' in html


def test_index_tells_what_runs_where_while_a_command_is_at_work(ask, copy):
    study = Store(copy("one"))
    out = [
        {
            "population": f"p{i}",
            "where": "node<7>",
            "runs": 4,
            "step": 10,
            "steps": 20,
            "seconds": 200,
            "heard_seconds": 5,
        }
        for i in range(10)
    ]
    study.status_file.write_text(json.dumps({"host": "head", "seconds": 7300, "left_seconds": 60.0, "out": out}))
    assert "At work" not in page(ask()), "nobody holds it: this is what a kill has left"
    with study.lock():
        html = page(ask())
    assert "At work on head for 2 hours, about 1 minute left, heard 0 seconds ago." in html
    assert html.count("on node&lt;7&gt;: step 10 of 20, 4 runs, for 3 minutes, heard 5 seconds ago.") == 8
    assert "p7 on" in html
    assert "And 2 more populations." in html
    study.status_file.write_text('{"seconds": 3.0, "out": []}')
    with study.lock():
        assert "At work on ? for 3 seconds, heard" in page(ask())
    study.status_file.write_text('{"seconds": "x"}')
    with study.lock():
        assert "At work" not in page(ask())


def test_an_empty_directory_says_so_and_refreshes(ask):
    html = page(ask())
    assert "There are no studies in" in html
    assert '<meta http-equiv="refresh" content="5">' in html


def test_a_directory_that_is_a_study(trained):
    site = serve.Site(trained)
    assert list(site.studies()) == ["study"]
    assert site.locate("/study/study/report.html")[1] == "report.html"


def test_names_are_text_and_damage_is_told(ask, copy, tmp_path):
    evil = "<script>alert(1)</script>&\"'"
    path = copy(evil.replace("/", "_"))
    (path / "plan.yaml").write_text((path / "plan.yaml").read_text().replace("name: custom", "name: '<b>x</b>'"))
    (tmp_path / "served" / "bad").mkdir()
    (tmp_path / "served" / "bad" / "plan.yaml").write_text("schema: 1\n")
    status, headers, body = ask()
    html = page((status, headers, body))
    assert "<script" not in html
    assert "<b>" not in html
    assert "&lt;b&gt;x&lt;/b&gt;" in html
    assert "unreadable" in html
    assert "is damaged: it has no key 'name'; without it nothing of the study reads." in unescape(html)
    assert headers["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    link = html.split('<a href="', 1)[1].split('"', 1)[0]
    (path / "report.md").write_text("hello")
    assert ask(link.replace("report.html", "report.md"))[2] == b"hello"


# ------------------------------------------------------------------------------------------ files


def test_report_files_and_no_others(ask, copy, tmp_path):
    path = copy("one")
    (path / "figures").mkdir()
    files = {"report.md": b"# m", "results.csv": b"a,b", "results.json": b"{}", "figures/ring8-1.png": b"png"}
    for name, content in files.items():
        (path / name).write_bytes(content)
        status, headers, body = ask(f"/study/one/{name}")
        assert (status, body) == (200, content)
        assert headers["Content-Length"] == str(len(content))
        assert headers["X-Content-Type-Options"] == "nosniff"
    (path / "figures" / "x.html").write_text("no figure")
    (path / "figures" / ".png").write_text("hidden")
    secret = tmp_path / "secret.png"
    secret.write_text("secret")
    (path / "figures" / "link.png").symlink_to(secret)
    (path / "figures" / "folder.png").mkdir()
    population = next(path.glob("populations/*")).name
    for name in ("plan.yaml", "sessions.jsonl", "lock", f"populations/{population}/done.json", "figures/x.html",
                 "figures/.png", "figures/link.png", "figures/folder.png", "figures/", "figures", "", "results.parquet",
                 "figures/ring8-1.png/", "figures//ring8-1.png", "./report.md"):  # fmt: skip
        assert ask(f"/study/one/{name}")[0] == 404, name


WAYS_OUT = {
    400: ["/../../etc/passwd", "/../secret.md", "/study/../secret.md", "/study/one/../../secret.md",
          "/study/one/figures/../../../secret.md", "/study/one/%2e%2e/%2e%2e/secret.md", "/%2e%2e/secret.md",
          "/study/one/figures/%2e%2e%2f%2e%2e%2f%2e%2e%2fsecret.png", "/study/..%2fone/report.md", "*",
          "/study/one/figures/..\\..\\secret.png", "/study/one/report.md%00.png", "/study/one/report.md/..",
          "/study/two/../one/report.md", "/study/one/figures/%0asecret.png", "/%", "/study/one/%zz", "/%4",
          "http://127.0.0.1/", "http://x/../../etc/passwd", "study/one/report.md", "/\xff"],
    404: ["//etc/passwd", "/study//one/report.md", "/study/one/%ff", "/etc/passwd", "/secret.md",
          "/study/./one/report.md", "/index.html", "/study/", "/study", "/favicon.ico",
          "/study/one/" + "a" * 60_000, "/study/one/%F0%9F%92%A9"],
    414: ["/" + "a" * 65_536],
}  # fmt: skip


@pytest.mark.parametrize(("code", "path"), [(code, path) for code, paths in WAYS_OUT.items() for path in paths],
                         ids=lambda value: str(value)[:60])  # fmt: skip
def test_no_way_out_of_the_studies(ask, copy, tmp_path, capsys, code, path):
    (copy("one") / "report.md").write_text("inside")
    for folder in (tmp_path, tmp_path / "served"):
        for name in ("secret.md", "secret.png"):
            (folder / name).write_text("secret")
    got = raw(ask.port, b"GET " + path.encode("latin-1") + b" HTTP/1.0\r\n\r\n")
    assert got.split()[1] == str(code).encode()
    assert b"secret" not in got
    assert b"inside" not in got
    assert b"root:" not in got
    assert capsys.readouterr().err == ""


def raw(port, request):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as stream:
        stream.sendall(request)
        return b"".join(iter(lambda: stream.recv(4096), b""))


@pytest.mark.parametrize(
    "request_line",
    [b"\x00\x01\x02", b"GET", b"GET /", b"GET / HTTP/9.9", b"GET / FTP/1.0", b"\xff\xfe / HTTP/1.0",
     b"GET / x HTTP/1.0", b"", b" ", b"{}", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
)  # fmt: skip
def test_nonsense_is_refused_quietly_and_the_server_goes_on(ask, copy, capsys, request_line):
    copy("one")
    got = raw(ask.port, request_line + b"\r\n\r\n")
    assert got == b"" or b"Traceback" not in got
    assert b"one" not in got or request_line == b"GET /"
    assert ask()[0] == 200
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("hosts", "code"),
    [(["evil.example"], 421), (["evil.example:8000"], 421), (["localhost.evil.example"], 421),
     (["127.0.0.1.evil.io"], 421),
     (["evil@evil.example"], 421), ([""], 421), (["[::1"], 421), (["1.2.3"], 421), (["localhost", "evil.example"], 400),
     (["127.0.0.1"], 200), (["127.0.0.1:80"], 200), (["localhost"], 200), (["LOCALHOST:99"], 200),
     (["a.localhost"], 200),
     (["localhost."], 200), (["[::1]:8000"], 200), (["192.168.1.5"], 200), ([], 200)],
)  # fmt: skip
def test_only_hosts_that_cannot_be_another_site_are_answered(ask, hosts, code):
    lines = [f"Host: {host}".encode() for host in hosts]
    got = raw(ask.port, b"\r\n".join([b"GET / HTTP/1.0", *lines, b"", b""]))
    assert got.split()[1] == str(code).encode()


def test_the_name_that_it_is_bound_to_is_answered():
    assert serve.is_ours("gpu7.lab.example:8000", "GPU7.lab.example")
    assert not serve.is_ours("gpu7.lab.example", "0.0.0.0")


def test_names_that_are_no_text(ask, copy, tmp_path, trained, capsys):
    served = os.fsencode(tmp_path / "served")
    shutil.copytree(os.fsencode(trained), served + b"/\xff\xfe study")
    os.mkdir(served + b"/\xfd")
    (copy("one") / "report.md").write_text("hello")
    with open(served + b"/\xff\xfe study/report.md", "wb") as file:
        file.write(b"inside")
    html = page(ask())
    link = html.split('<a href="/study/%FF', 1)[1].split('"', 1)[0]
    assert raw(ask.port, f"GET /study/%FF{link.replace('.html', '.md')} HTTP/1.0\r\n\r\n".encode()).endswith(b"inside")
    assert ask("/study/one/report.md")[2] == b"hello"
    assert capsys.readouterr().err == ""


def test_damage_is_told_and_such_runs_are_not_counted_as_done(ask, copy):
    path = copy("one")
    file = sorted(path.glob("populations/*/done.json"))[0]
    file.write_text("{}")
    html = page(ask())
    assert "4 of 8 runs" in html
    told = "done.json' is damaged: it does not say how long training took; its 4 runs count as not ended."
    assert told in unescape(html)
    assert told not in html, "a quotation mark ends no attribute"
    series = file.with_name("series.jsonl")
    series.unlink()
    os.mkfifo(series)
    assert "4 of 8 runs" in page(ask()), "and a pipe is not waited for"
    shutil.rmtree(path / "populations")
    (path / "populations").write_text("x")
    assert "0 of 8 runs" in page(ask())
    assert "is no folder; all results are lost." in page(ask())


def test_head_is_get_without_a_body_and_nothing_else_is_answered(ask, copy):
    (copy("one") / "report.md").write_text("hello")
    status, headers, body = ask("/study/one/report.md", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "5", b"")
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert ask("/study/one/report.md", method)[0] == 501


# ------------------------------------------------------------------------------------------ reports


@pytest.fixture
def builds(monkeypatch):
    """Count the reports that are built, and build them in no time: each says how many there were before."""
    made = []

    def build(command, **options):
        assert command[:5] == [sys.executable, "-P", "-m", "ganbench", "report"]
        made.append(Path(command[5]))
        if build.error:
            return subprocess.CompletedProcess(command, 2, "", f"some warning\nError: {build.error}\n")
        build.meanwhile()
        (made[-1] / "report.html").write_text(f"report {len(made)}")
        return subprocess.CompletedProcess(command, 0, "", "")

    build.error, build.meanwhile = "", lambda: None
    monkeypatch.setattr(serve.subprocess, "run", build)
    made.clear()
    build.made = made
    return build


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(serve.time, "monotonic", lambda: now[0])
    return now


def touch(path, seconds):
    os.utime(next(path.glob("populations/*/series.jsonl")), (time.time() + seconds,) * 2)


def test_report_is_rebuilt_when_results_are_newer_and_not_too_often(copy, builds, clock):
    path = copy("one")
    study = serve.StudyFolder(path)
    study.fresh_report()
    study.fresh_report()
    assert len(builds.made) == 1, "what is up to date stays"
    touch(path, 100)
    study.fresh_report()
    assert len(builds.made) == 1, "not again at once"
    clock[0] += serve.REBUILD_SECONDS - 1
    study.fresh_report()
    assert len(builds.made) == 1
    clock[0] += 2
    study.fresh_report()
    assert len(builds.made) == 2
    clock[0] += 1e6
    study.fresh_report()
    assert [study.file("report.html").read_text(), len(builds.made)] == ["report 3", 3], "its stamp is in the past"


def test_a_slow_report_is_rebuilt_less_often(copy, builds, clock):
    path = copy("one")

    def work():
        clock[0] += 20

    builds.meanwhile = work
    study = serve.StudyFolder(path)
    study.fresh_report()
    # 20 s are 5 % of 400 s
    for passed, made in ((399, 1), (2, 2)):
        clock[0] += passed
        touch(path, 100)
        study.fresh_report()
        assert len(builds.made) == made


def test_what_changes_while_a_report_is_built_is_in_the_next_one(copy, builds, clock):
    path = copy("one")
    before = time.time() - 50
    for file in path.rglob("*"):
        os.utime(file, (before, before))
    builds.meanwhile = lambda: touch(path, -10)
    study = serve.StudyFolder(path)
    study.fresh_report()
    builds.meanwhile = lambda: None
    clock[0] += 1000
    study.fresh_report()
    assert len(builds.made) == 2
    clock[0] += 1000
    study.fresh_report()
    assert len(builds.made) == 2


def test_only_one_request_builds_and_others_get_the_old_report(ask, copy, builds):
    path = copy("one")
    (path / "report.html").write_text("old")
    os.utime(path / "report.html", (1, 1))
    begun, go_on = threading.Event(), threading.Event()

    def wait():
        begun.set()
        assert go_on.wait(30)

    builds.meanwhile = wait
    got = []
    first = threading.Thread(target=lambda: got.append(ask("/study/one/report.html")))
    first.start()
    assert begun.wait(30)
    assert page(ask("/study/one/report.html")) == "old"
    go_on.set()
    first.join()
    assert page(got[0]) == "report 1"
    assert len(builds.made) == 1


def test_a_report_that_cannot_be_built_is_one_sentence_and_the_old_one_stays(ask, copy, builds):
    path = copy("one")
    builds.error = "The file <x> is damaged."
    html = page(ask("/study/one/report.html"), 503)
    assert "The report could not be written: The file &lt;x&gt; is damaged." in html
    assert "some warning" not in html
    page(ask("/study/one/report.html"), 503)
    assert len(builds.made) == 1, "not at every click"
    (path / "report.html").write_text("old")
    assert page(ask("/study/one/report.html")) == "old"


# ------------------------------------------------------------------------------------------ the command


def start(folder):
    process = subprocess.Popen(
        [sys.executable, "-m", "ganbench", "serve", str(folder), "--port", "0"], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stdout is not None
    return process, process.stdout.readline()


def test_a_real_server_builds_a_real_report_and_ends_with_ctrl_c(copy, tmp_path):
    path = copy("one")
    process, line = start(tmp_path / "served")
    try:
        # nobody else on the network is let in unless --host says so
        assert line.startswith(f"Serving {tmp_path / 'served'} at http://127.0.0.1:")
        assert line.endswith("/ (Ctrl-C ends it)\n")
        port = int(line.rsplit(":", 1)[1].split("/")[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connection.request("GET", "/study/one/report.html")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, (path / "report.html").read_bytes())
        assert (path / "report.md").exists()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "Stopped.\n", "")


def test_serving_imports_nothing_heavy():
    heavy = ("torch", "pandas", "scipy", "sklearn", "matplotlib")
    script = f"import sys, ganbench.serve; print([m for m in {heavy!r} if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, text=True, capture_output=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["no"], "There is no directory 'no' to serve studies from."),
        (["file"], "There is no directory 'file' to serve studies from."),
        (["."], "Port {port} of 127.0.0.1 is in use; choose another --port."),
        ([".", "--port", "70000"], "The port must be between 0 and 65535, got 70000."),
        ([".", "--port", "-1"], "The port must be between 0 and 65535, got -1."),
        ([".", "--host", "192.0.2.1"], "Cannot listen on port {port} of '192.0.2.1': Cannot assign requested address."),
    ],
)
def test_mistakes_are_one_sentence(monkeypatch, capsys, tmp_path, arguments, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        chosen = arguments if "--port" in arguments else [*arguments, "--port", str(port)]
        monkeypatch.setattr(sys, "argv", ["ganbench", "serve", *chosen])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert printed.out == ""
    assert printed.err.startswith(f"Error: {told.format(port=port)}")
    assert len(printed.err.splitlines()) == 1


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_address_of_ipv6(tmp_path):
    try:
        server = serve.listen(serve.Site(tmp_path), "::1", 0)
    except Exception as error:
        pytest.skip(f"no IPv6 here: {error}")
    with server:
        assert server.address == f"http://[::1]:{server.server_address[1]}/"
