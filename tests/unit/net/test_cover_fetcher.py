"""Covers are fetched from where they may be, as large as they may be, and from nowhere else."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import urlsplit

import aiohappyeyeballs
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from bookline.errors import CoverRefused, ProviderDown, Refused, SlowDown
from bookline.net.addresses import PROVIDER_HOSTS, CoverHosts, is_public
from bookline.net.cover_fetcher import GuardedCoverFetcher
from bookline.net.cover_rules import MOST_BYTES

GOOGLE = "https://books.google.com/books/content?id=1&zoom=1"


# ------------------------------------------------------------------ stand-ins
class Host:
    """A picture server on the loopback that sends exactly the bytes it is told to."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.heads: list[str] = []
        self.port = 0

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.name}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        try:
            writer.write(self.answers[head.split(" ")[1]])
            await writer.drain()
        except ConnectionError:
            pass  # it hung up: it had enough
        finally:
            writer.close()


def answer(status: str = "200 OK", body: bytes = b"", **headers: str) -> bytes:
    """An HTTP answer whose Content-Length is true unless it is given."""
    all_headers = {"Content_Length": str(len(body))} | headers
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in all_headers.items() if value]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body


def redirect(location: str) -> bytes:
    return answer("302 Found", Location=location)


class Names(AbstractResolver):
    """Answers of a name server, in turn; the last one again and again."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not found:
            raise OSError("no such name")
        return [
            ResolveResult(hostname=host, host=ip, port=port, family=_family(ip), proto=0, flags=0)
            for ip in found
        ]

    async def close(self) -> None:
        pass


def _family(ip: str) -> int:
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    host = Host()
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0)
    host.port = server.sockets[0].getsockname()[1]
    async with server:
        yield host


Make = Callable[..., GuardedCoverFetcher]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[GuardedCoverFetcher] = []

    def build(*hosts: str, names: Names | None = None, limit: float = 5.0) -> GuardedCoverFetcher:
        made.append(GuardedCoverFetcher(hosts, bool(hosts), "Bookline (test)", names, limit))
        return made[-1]

    yield build
    for fetcher in made:
        await fetcher.aclose()


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a connection was tried to; none is ever made."""
    tried: list[str] = []

    async def refuse(addr_infos: list[tuple[object, ...]], **_: object) -> Awaitable[None]:
        tried.extend(str(info[4][0]) for info in addr_infos)  # type: ignore[index]
        raise ConnectionRefusedError

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", refuse)
    return tried


# ------------------------------------------------------------------ what is fetched
async def test_a_picture_comes_with_its_bytes_headers_and_address(host: Host, make: Make) -> None:
    host.answers["/c?id=1"] = answer(body=b"picture", Content_Type="image/jpeg")

    got = await make(host.name).fetch(host.url("/c?id=1#top"))

    assert (got.status, got.body) == (200, b"picture")
    assert got.headers["content-type"] == "image/jpeg"
    assert got.url == host.url("/c?id=1")


async def test_we_say_who_we_are_and_ask_for_uncompressed_pictures(host: Host, make: Make) -> None:
    host.answers["/c"] = answer()

    await make(host.name).fetch(host.url("/c"))

    assert "User-Agent: Bookline (test)\r\n" in host.heads[0]
    assert "Accept-Encoding: identity\r\n" in host.heads[0]


async def test_three_redirects_are_followed(host: Host, make: Make) -> None:
    host.answers = {"/0": redirect("1"), "/1": redirect("/2"), "/2": redirect(host.url("/3"))}
    host.answers["/3"] = answer(body=b"picture")

    got = await make(host.name).fetch(host.url("/0"))

    assert (got.body, got.url) == (b"picture", host.url("/3"))


async def test_a_fourth_redirect_is_refused(host: Host, make: Make) -> None:
    host.answers = {f"/{at}": redirect(f"/{at + 1}") for at in range(4)}

    with pytest.raises(CoverRefused, match="3 redirects"):
        await make(host.name).fetch(host.url("/0"))


async def test_a_fetcher_works_again_after_it_was_closed(host: Host, make: Make) -> None:
    host.answers["/c"] = answer(body=b"picture")
    fetcher = make(host.name)
    await fetcher.fetch(host.url("/c"))
    await fetcher.aclose()
    await fetcher.aclose()

    assert (await fetcher.fetch(host.url("/c"))).body == b"picture"


# ------------------------------------------------------------------ where to
@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/c.jpg",
        "//evil.example/c.jpg",
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:1/c",
        "https://user@books.google.com/c",
        "/\\evil.example/c",
        "file:///etc/passwd",
        "http://[",
        "",
    ],
)
async def test_a_redirect_to_elsewhere_is_refused(host: Host, make: Make, location: str) -> None:
    host.answers["/c"] = redirect(location)

    with pytest.raises(CoverRefused):
        await make(host.name).fetch(host.url("/c"))

    assert len(host.heads) == 1


async def test_a_redirect_to_a_known_name_with_a_private_address_is_refused(
    host: Host, make: Make, connections: list[str]
) -> None:
    names = Names(["10.0.0.1"])
    fetcher = make("127.0.0.1:1", names=names)

    with pytest.raises(CoverRefused, match="not public"):
        await fetcher.fetch("https://covers.openlibrary.org/b/id/1-L.jpg")

    assert not connections


async def test_one_private_address_among_public_ones_is_enough_to_refuse(
    make: Make, connections: list[str]
) -> None:
    fetcher = make(names=Names(["8.8.8.8", "::ffff:127.0.0.1"]))

    with pytest.raises(CoverRefused, match=r"books\.google\.com has an address"):
        await fetcher.fetch(GOOGLE)

    assert not connections


async def test_a_name_that_changes_its_mind_is_never_connected_to_privately(
    make: Make, connections: list[str]
) -> None:
    """One look-up for each connection, and the connection goes to what was looked at."""
    names = Names(["8.8.8.8"], ["127.0.0.1"])
    fetcher = make(names=names)

    with pytest.raises(ProviderDown):
        await fetcher.fetch(GOOGLE)
    with pytest.raises(CoverRefused):
        await fetcher.fetch(GOOGLE)

    assert names.asked == ["books.google.com", "books.google.com"]
    assert connections == ["8.8.8.8"]


async def test_a_name_that_is_not_found_may_be_found_later(make: Make) -> None:
    with pytest.raises(ProviderDown, match=r"books\.google\.com"):
        await make(names=Names([])).fetch(GOOGLE)


async def test_a_trusted_host_is_asked_by_its_name(host: Host, make: Make) -> None:
    host.answers["/c"] = answer(body=b"picture")
    trusted = f"covers.test:{host.port}"

    await make(trusted, names=Names(["127.0.0.1"])).fetch(f"http://{trusted}/c")

    assert f"Host: {trusted}\r\n" in host.heads[0]


# ------------------------------------------------------------------ how much
async def test_eleven_megabytes_are_refused(host: Host, make: Make) -> None:
    host.answers["/c"] = answer(body=bytes(11 * 1024 * 1024), Content_Length="")

    with pytest.raises(CoverRefused, match="larger than 10 MB"):
        await make(host.name).fetch(host.url("/c"))


async def test_ten_megabytes_are_taken(host: Host, make: Make) -> None:
    host.answers["/c"] = answer(body=bytes(MOST_BYTES))

    assert len((await make(host.name).fetch(host.url("/c"))).body) == MOST_BYTES


async def test_a_declared_excess_is_refused_before_it_is_read(host: Host, make: Make) -> None:
    host.answers["/c"] = answer(body=b"x", Content_Length=str(MOST_BYTES + 1))

    with pytest.raises(CoverRefused, match="larger than 10 MB"):
        await make(host.name).fetch(host.url("/c"))


async def test_a_gzip_bomb_is_refused_by_what_it_unpacks_to(host: Host, make: Make) -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024), 1)
    host.answers["/c"] = answer(body=bomb, Content_Encoding="gzip")

    with pytest.raises(CoverRefused, match="larger than 10 MB"):
        await make(host.name).fetch(host.url("/c"))


async def test_a_cut_body_may_be_whole_the_next_time(host: Host, make: Make) -> None:
    host.answers["/c"] = answer(body=b"half", Content_Length="8")

    with pytest.raises(ProviderDown) as caught:
        await make(host.name).fetch(host.url("/c"))

    assert caught.value.code == "COVER_FAILED"


async def test_a_length_that_is_too_short_is_an_outage(host: Host, make: Make) -> None:
    host.answers["/c"] = answer(body=b"picture and more", Content_Length="7")

    with pytest.raises(ProviderDown):
        await make(host.name).fetch(host.url("/c"))


async def test_what_is_no_http_is_an_outage(host: Host, make: Make) -> None:
    host.answers["/c"] = b"SSH-2.0-OpenSSH_9.2\r\n\r\n"

    with pytest.raises(ProviderDown):
        await make(host.name).fetch(host.url("/c"))


async def test_a_host_that_says_nothing_is_left_in_time(make: Make) -> None:
    silent = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        name = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(ProviderDown) as caught:
            await make(name, limit=0.05).fetch(f"http://{name}/c")
        silent.set()

    assert caught.value.code == "COVER_TIMEOUT"


async def test_a_closed_port_is_an_outage(make: Make) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        name = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ProviderDown):
            await make(name).fetch(f"http://{name}/c")


# ------------------------------------------------------------------ what the status says
@pytest.mark.parametrize("status", [204, 206, 304, 400, 401, 403, 404, 410, 418])
async def test_other_answers_are_final_and_told_without_the_query(
    host: Host, make: Make, status: int
) -> None:
    host.answers["/c?imgtk=secret"] = answer(f"{status} No")

    with pytest.raises(CoverRefused, match=rf"^127\.0\.0\.1 answered {status}$"):
        await make(host.name).fetch(host.url("/c?imgtk=secret"))


@pytest.mark.parametrize("status", [408, 425, 500, 503])
async def test_an_outage_may_pass(host: Host, make: Make, status: int) -> None:
    host.answers["/c"] = answer(f"{status} No", Retry_After="7")

    with pytest.raises(ProviderDown) as caught:
        await make(host.name).fetch(host.url("/c"))

    assert caught.value.retry_after_seconds == 7


@pytest.mark.parametrize(
    "location",
    [
        "https://www.google.com/sorry/index?continue=https://books.google.com/x&q=E",
        "http://ipv4.google.com/sorry/index?q=E",
        "https://www.google.co.in/sorry",
    ],
)
async def test_googles_page_for_those_who_ask_too_often_is_a_rate_limit(
    host: Host, make: Make, location: str
) -> None:
    host.answers["/a"] = redirect(location)

    with pytest.raises(SlowDown, match="rate limiting"):
        await make(host.name).fetch(host.url("/a"))


@pytest.mark.parametrize(
    "location",
    ["https://www.google.com.evil.example/sorry/index", "https://evil.example/www.google.com/sorry/",
     "https://www.google.com/sorrynot", "https://google.evil/sorry/"],
)  # fmt: skip
async def test_a_page_that_only_looks_like_it_is_refused(
    host: Host, make: Make, location: str
) -> None:
    host.answers["/a"] = redirect(location)

    with pytest.raises(CoverRefused):
        await make(host.name).fetch(host.url("/a"))


@pytest.mark.parametrize(
    "url",
    [
        "https://archive.org/download/a/b.jpg",
        "https://ia800100.us.archive.org/view_archive.php?archive=/a.zip&file=b.jpg",
        "https://dn720306.ca.archive.org/0/items/a.jpg",
        "https://dn1.eu.archive.org/a.jpg",
    ],
)
def test_all_machines_of_the_archive_may_be_asked(url: str) -> None:
    assert CoverHosts().clean(url).text == url


@pytest.mark.parametrize(
    "url",
    [
        "https://evilarchive.org/a.jpg",
        "https://archive.org.evil.example/a",
        "https://ca.archive.evil",
    ],
)
def test_a_host_that_only_sounds_like_the_archive_is_refused(url: str) -> None:
    with pytest.raises(CoverRefused):
        CoverHosts().clean(url)


async def test_too_many_questions_say_when_to_come_back(host: Host, make: Make) -> None:
    at = datetime.now(UTC) + timedelta(seconds=30)
    host.answers["/c"] = answer("429 Slow", Retry_After=format_datetime(at, usegmt=True))

    with pytest.raises(SlowDown) as caught:
        await make(host.name).fetch(host.url("/c"))

    assert caught.value.retry_after_seconds == pytest.approx(30, abs=2)


# ------------------------------------------------------------------ addresses: URLs
@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://books.google.com/a?b=%2F", "https://books.google.com/a?b=%2F"),
        ("http://books.google.com:80/a", "https://books.google.com/a"),
        ("https://books.google.com:443/a", "https://books.google.com/a"),
        ("Https://Images.ISBNdb.com/Covers/A.jpg", "https://images.isbndb.com/Covers/A.jpg"),
        ("https://bks3.books.google.com?id=1", "https://bks3.books.google.com/?id=1"),
        ("https://ia80.us.archive.org/é#x", "https://ia80.us.archive.org/%C3%A9"),
        ("https://covers.openlibrary.org", "https://covers.openlibrary.org/"),
    ],
)
def test_an_address_is_made_https_and_plain(url: str, asked: str) -> None:
    assert CoverHosts().clean(url).text == asked


@pytest.mark.parametrize(
    "url",
    [
        "",
        " https://books.google.com/",
        "https://books.google.com/a b",
        "https://books.google.com/\r\nHost: evil.example",
        "https://books.google.com\\@evil.example/",
        "https://books.google.com/\x00",
        "https://books.google.com/\ud800",
        "https:///books.google.com/",
        "https://@books.google.com/",
        "https://user:secret@books.google.com/",
        "https://books.google.com@evil.example/",
        "https://evil.example/?books.google.com",
        "https://evil.example#books.google.com",
        "https://books.google.com.evil.example/",
        "https://evilbooks.google.com/",
        "https://books.google.com./",
        "https://boo\u212as.google.com/",
        "https://ｂooks.google.com/",
        "https://books%2egoogle.com/",
        "https://.books.google.com/",
        "https://" + "a" * 64 + ".books.google.com/",
        "https://books.google.com:8443/",
        "https://books.google.com:0/",
        "https://books.google.com:99999/",
        "https://books.google.com:/",
        "http://books.google.com:8080/",
        "ftp://books.google.com/",
        "//books.google.com/",
        "javascript:alert(1)",
        "https://127.0.0.1/",
        "https://8.8.8.8/",
        "https://[::1]/",
        "https://[::ffff:8.8.8.8]/",
        "https://[:::]/",
        "https://2130706433/",
        "https://localhost/",
        "https://books.google.com/" + "a" * 2_000,
    ],
)
def test_an_address_that_is_not_plainly_good_is_refused(url: str) -> None:
    with pytest.raises(CoverRefused) as caught:
        CoverHosts().clean(url)

    assert "secret" not in str(caught.value)


def _mangled() -> st.SearchStrategy[str]:
    pieces = ["https://", "http://", "books.google.com", "evil.example", "127.0.0.1", "[::1]", "@"]
    pieces += ["/", "\\", ":", ":443", "?", "#", ".", "%2f", "%00", "\t", " ", "//", "．", "。"]
    part = st.sampled_from(pieces) | st.text(max_size=3)
    return st.lists(part, max_size=8).map("".join).map("https://".__add__) | st.text()


@given(_mangled())
def test_no_input_gets_through_to_a_host_off_the_list(url: str) -> None:
    try:
        address = CoverHosts().clean(url)
    except CoverRefused:
        return

    for parsed in (urlsplit(address.text), urlsplit(address.text.replace("\\", "/"))):
        assert parsed.scheme == "https"
        assert parsed.hostname == address.host
        assert (parsed.port or 443) == address.port == 443
        assert "@" not in parsed.netloc
    assert address.host in PROVIDER_HOSTS or address.host.endswith(
        (".books.google.com", ".archive.org", ".isbndb.com")
    )
    assert address.text.isascii()
    assert address.text.isprintable()


@given(_mangled())
def test_cleaning_twice_is_cleaning_once(url: str) -> None:
    hosts = CoverHosts()
    try:
        once = hosts.clean(url)
    except CoverRefused:
        return

    if len(once.text) <= 2_000:
        assert hosts.clean(once.text) == once


@pytest.mark.parametrize(
    ("entry", "url", "allowed"),
    [
        ("img.test", "https://img.test/a", "https://img.test/a"),
        ("img.test", "http://img.test/a", "https://img.test/a"),
        ("IMG.test:8443", "https://img.test:8443/a", "https://img.test:8443/a"),
        ("img.test:8443", "https://img.test/a", None),
        ("img.test", "https://img.test:8443/a", None),
        ("img.test", "https://sub.img.test/a", None),
        ("10.0.0.1", "https://10.0.0.1/a", None),
    ],
)
def test_an_added_host_is_public_and_https(entry: str, url: str, allowed: str | None) -> None:
    hosts = CoverHosts([entry])

    if allowed is None:
        with pytest.raises(CoverRefused):
            hosts.clean(url)
    else:
        assert hosts.clean(url).text == allowed
        assert not hosts.may_be_private("img.test", 443)


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("127.0.0.1:9000", "http://127.0.0.1:9000/a"),
        ("[::1]:9000", "http://[::1]:9000/a"),
        ("img.test", "http://img.test/a"),
        ("img.test", "https://img.test/a"),
    ],
)
def test_a_private_host_may_be_http_when_it_is_allowed(entry: str, url: str) -> None:
    assert CoverHosts([entry], allow_private=True).clean(url).text == url


def test_allowing_private_hosts_frees_only_the_added_ones() -> None:
    hosts = CoverHosts(["127.0.0.1:9000"], allow_private=True)

    assert hosts.clean("http://books.google.com/a").scheme == "https"
    for url in ("http://127.0.0.1:9001/a", "http://127.0.0.1/a", "https://10.0.0.1/"):
        with pytest.raises(CoverRefused):
            hosts.clean(url)


@pytest.mark.parametrize("entry", ["", "https://img.test", "img.test/a", "*.test", "[:::]", "a:b"])
def test_a_bad_entry_of_the_list_is_refused_at_the_start(entry: str) -> None:
    with pytest.raises(Refused, match="COVER_HOSTS"):
        CoverHosts([entry])


# ------------------------------------------------------------------ addresses: IP
@pytest.mark.parametrize(
    "address", ["8.8.8.8", "142.250.74.110", "2607:f8b0::1", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1"),
        *("192.0.0.9", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "203.0.113.9"),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "100::1"),
        *("2001:db8::1", "2001::1", "3fff::1", "5f00::1", "64:ff9b:1::1", "::7f00:1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::"),
        *("", "books.google.com", "127.1"),
    ],
)
def test_an_address_of_a_private_or_special_net_is_not_public(address: str) -> None:
    assert not is_public(address)
