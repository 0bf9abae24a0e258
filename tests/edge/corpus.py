"""Bytes that readers of HTTP have disagreed about, each with the requests Paydue reads in them.

`<n>` is the number of the case, three digits, by which its requests are known wherever they arrive.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

HOST = b"Host: paydue\r\n"
CHUNKED = HOST + b"Transfer-Encoding: chunked\r\n"
FIVE = HOST + b"Content-Length: 5\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
# A body that would be a request to whoever takes the body's end for earlier than it is.
SMUGGLED = b"GET /<n>/smuggled HTTP/1.1\r\nHost: paydue\r\nX: "

Believed = tuple[tuple[str, str, bytes], ...]
REFUSED: Believed = ()
POSTED: Believed = (("POST", "/<n>", b"hello"),)


@dataclass(frozen=True)
class Case:
    """`believed` are the requests that are answered; then the connection goes on, or it ends."""

    name: str
    raw: bytes
    believed: Believed
    goes_on: bool

    def numbered(self, number: int) -> "Case":
        digits = f"{number:03}"
        return Case(
            self.name,
            self.raw.replace(b"<n>", digits.encode()),
            tuple(
                (method, target.replace("<n>", digits), body.replace(b"<n>", digits.encode()))
                for method, target, body in self.believed
            ),
            self.goes_on,
        )


def post(headers: bytes, body: bytes, line: bytes = b"POST /<n> HTTP/1.1") -> bytes:
    return line + b"\r\n" + headers + b"\r\n" + body


def accepted(kind: str, raws: Iterable[bytes], believed: Believed = POSTED) -> Iterator[Case]:
    for number, raw in enumerate(raws):
        yield Case(f"{kind}, accepted {number}", raw, believed, goes_on=True)


def last(kind: str, raws: Iterable[bytes], believed: Believed = POSTED) -> Iterator[Case]:
    for number, raw in enumerate(raws):
        yield Case(f"{kind}, last {number}", raw, believed, goes_on=False)


def refused(kind: str, raws: Iterable[bytes]) -> Iterator[Case]:
    for number, raw in enumerate(raws):
        yield Case(f"{kind}, refused {number}", raw, REFUSED, goes_on=False)


def lengths() -> Iterator[Case]:
    good = (b"5", b"05", b"0000000000000005", b" 5", b"5 ", b"\t5", b"5\t", b"  5  ")
    bad = (
        b"+5", b"-5", b"", b" ", b"5,5", b"5, 5", b"5;", b"0x5", b"5.0", b"5e0", b"5 5",
        b"5\x0b", b"5\x00", b"\x005", b"\xd9\xa5", b"five", b"5h", b"18446744073709551621",
        b"5\r\n 5", b"18446744073709551616", b"99999999999999999999999999", b"\r\n 5", b"5_0",
        b"#5", b"\"5\"",
    )  # fmt: skip
    kind = "content-length"
    yield from accepted(
        kind, (post(HOST + b"Content-Length:%b\r\n" % one, b"hello") for one in good)
    )
    yield from refused(kind, (post(HOST + b"Content-Length:%b\r\n" % one, b"hello") for one in bad))


def two_lengths() -> Iterator[Case]:
    pairs = (
        (b"5", b"5"), (b"5", b"6"), (b"0", b"5"), (b"5", b"0"), (b"5", b""), (b"", b"5"),
        (b"5", b"+5"), (b"5", b"5, 5"),
    )  # fmt: skip
    lines = [b"Content-Length: %b\r\ncontent-length: %b\r\n" % pair for pair in pairs]
    lines += [b"Content-Length: 5\r\nX-Between: 1\r\nContent-Length: 5\r\n"]
    yield from refused("two lengths", (post(HOST + one, b"hello") for one in lines))


def length_and_coding() -> Iterator[Case]:
    codings = (b"chunked", b"Chunked", b"identity", b"gzip, chunked", b"x", b"\tchunked")
    body = b"0\r\n\r\n" + SMUGGLED
    length = b"Content-Length: %d\r\n" % len(body)
    both = [
        headers
        for coding in codings
        for line in [b"Transfer-Encoding: %b\r\n" % coding]
        for headers in (length + line, line + length)
    ]
    yield from refused("length and coding", (post(HOST + one, body) for one in both))


def codings() -> Iterator[Case]:
    good = (
        b"chunked",
        b"Chunked",
        b"CHUNKED",
        b" chunked",
        b"\tchunked",
        b"chunked ",
    )
    bad = (
        b"chunked\t", b"xchunked", b"chunkedx", b"chunked;q=1", b"chunked, chunked",
        b"gzip, chunked", b"chunked, gzip", b"identity", b"identity, chunked",
        b"chunked, identity", b"\x0bchunked", b"\x0cchunked", b"\x00chunked", b"chunked\x00",
        b",chunked", b"chunked,", b"\"chunked\"", b"'chunked'", b"chunk", b"cow", b"",
        b"chunked\r\n identity", b"\r\n chunked", b"\r\n\tchunked", b"chunked\xa0",
        b"\xa0chunked", b"chun\xefked", b"chunked chunked", b"chunked\x0b", b"x,chunked",
        b"chunked\r chunked", b"deflate", b"trailers, chunked",
    )  # fmt: skip
    kind = "transfer-encoding"
    lines = HOST + b"Transfer-Encoding:%b\r\n"
    yield from accepted(kind, (post(lines % one, HELLO) for one in good))
    yield from refused(kind, (post(lines % one, HELLO) for one in bad))
    two = (
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: %b\r\n" % one
        for one in (b"chunked", b"identity", b"gzip", b"")
    )
    yield from refused("two codings", (post(HOST + one, HELLO) for one in two))


def coding_names() -> Iterator[Case]:
    """A length that is right, and beside it a line that some readers take for a coding."""
    ignored = (
        b"Transfer_Encoding: chunked\r\n", b"X-Transfer-Encoding: chunked\r\n",
        b"Transfer-Encodin: chunked\r\n", b"TransferEncoding: chunked\r\n", b"TE: chunked\r\n",
        b"Transfer-Encoding-: chunked\r\n", b"X: Transfer-Encoding: chunked\r\n",
    )  # fmt: skip
    spoilt = (
        b"Transfer-Encoding : chunked\r\n", b" Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding\t: chunked\r\n", b"Transfer-Encoding\x00: chunked\r\n",
        b"Transfer-Encoding\xa0: chunked\r\n", b"Transfer Encoding: chunked\r\n",
        b"Transfer-\r\nEncoding: chunked\r\n", b"X: y\nTransfer-Encoding: chunked\r\n",
        b"X: y\rTransfer-Encoding: chunked\r\n", b"X:\nTransfer-Encoding: chunked\r\n",
        b"X: y\r\n\tTransfer-Encoding: chunked\r\n", b"\x0bTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding\x0b: chunked\r\n", b"Transfer-Encoding chunked\r\n",
        b"Transfer-Encoding\r\n: chunked\r\n", b"\rTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding; chunked\r\n", b"Transfer-Encoding= chunked\r\n",
    )  # fmt: skip
    yield from accepted("a name like a coding's", (post(FIVE + one, b"hello") for one in ignored))
    yield from refused("a spoilt coding", (post(FIVE + one, b"hello") for one in spoilt))


def chunk_sizes() -> Iterator[Case]:
    good = (
        b"5", b"05", b"0000000005", b"5;ext", b"5;a=b", b"5;a=\"b\"", b"5;a=b;c=d",
        b"5;" + b"a" * 9000, b"5;a=\";\"", b"5;a=\"\\\"\"",
    )  # fmt: skip
    bad = (
        b" 5", b"\t5", b"0x5", b"5h", b"-5", b"+5", b"5_0", b"fffffffffffffffff",
        b"10000000000000005", b"5\n", b"5\r", b"5\r\r", b"5;\x00", b"5;a\nb", b"5;a\rb",
        b"5;a=\"\r\n\"", b"", b"G", b"5.0", b"5,", b"5#", b"5 5", b"\xd9\xa5", b"5\x00",
        b"5\x0b", b"0x", b"5 ", b"5\t", b"5;a\x7fb", b"5 ;a",
    )  # fmt: skip
    rest = b"\r\nhello\r\n0\r\n\r\n"
    yield from accepted("chunk size", (post(CHUNKED, one + rest) for one in good))
    yield from refused("chunk size", (post(CHUNKED, one + rest) for one in bad))


def chunk_ends() -> Iterator[Case]:
    bad = (
        b"5\r\nhello0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhelloxx0\r\n\r\n", b"5\r\nhello \r\n0\r\n\r\n", b"5\r\nhelloworld\r\n0\r\n\r\n",
        b"4\r\nhello\r\n0\r\n\r\n", b"5\nhello\n0\n\n", b"5\r\nhello\r\n\r\n0\r\n\r\n",
        b"5\rXhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\n\r\n", b"5\r\nhello\r\n0\r\r\n",
        b"5\r\nhello\n\r0\r\n\r\n", b"5\r\nhello\r\n-0\r\n\r\n",
    )  # fmt: skip
    good = (
        b"5\r\nhello\r\n00\r\n\r\n", b"5\r\nhello\r\n0000000000\r\n\r\n",
        b"5\r\nhello\r\n0;ext\r\n\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n",
    )  # fmt: skip
    yield from refused("chunk end", (post(CHUNKED, one) for one in bad))
    yield from accepted("chunk end", (post(CHUNKED, one) for one in good))


def trailers() -> Iterator[Case]:
    good = (
        b"X: y\r\n", b"Host: other\r\n", b"Authorization: Bearer x\r\n",
        b"Stripe-Signature: t=1,v1=0\r\n", b"Upgrade: x\r\nConnection: Upgrade\r\n",
        b"A: b\r\n" * 150,
    )  # fmt: skip
    bad = (
        b"X: y\n", b"X: y\r\n z\r\n", b"X\x00: y\r\n", b"X\r\n", b" X: y\r\n", b"X : y\r\n",
        b"X: \x00\r\n", b"X: y\rZ: z\r\n", b"Content-Length: 50\r\n",
    )  # fmt: skip
    body = b"5\r\nhello\r\n0\r\n%b\r\n"
    yield from accepted("trailer", (post(CHUNKED, body % one) for one in good))
    yield from refused("trailer", (post(CHUNKED, body % one) for one in bad))
    yield from last("trailer", [post(CHUNKED, body % b"Connection: close\r\n")])


def upgrades() -> Iterator[Case]:
    wanted = [
        b"Connection: %b\r\nUpgrade: %b\r\n" % (connection, protocol)
        for connection in (b"Upgrade", b"upgrade", b"keep-alive, Upgrade")
        for protocol in (b"x", b"websocket", b"h2c", b"TLS/1.0, HTTP/1.1")
    ]
    length = len(SMUGGLED)
    smuggled: Believed = (("POST", "/<n>", SMUGGLED),)
    bodies = (post(HOST + one + b"Content-Length: %d\r\n" % length, SMUGGLED) for one in wanted)
    yield from accepted("upgrade with a length", bodies, smuggled)
    yield from accepted("upgrade in chunks", (post(CHUNKED + one, HELLO) for one in wanted))
    plain = (post(HOST + one, b"", b"GET /<n> HTTP/1.1") for one in wanted)
    yield from accepted("upgrade without a body", plain, (("GET", "/<n>", b""),))
    closing = post(FIVE + b"Connection: close, Upgrade\r\nUpgrade: x\r\n", b"hello")
    yield from last("upgrade", [closing])
    both = post(CHUNKED + b"Content-Length: 5\r\n" + wanted[0], HELLO)
    yield from refused("upgrade", [both, post(CHUNKED + wanted[0], b"5\r\nhelloX")])


def connects() -> Iterator[Case]:
    lines = (
        b"CONNECT paydue:80 HTTP/1.1", b"CONNECT /<n> HTTP/1.1", b"CONNECT paydue:80 HTTP/1.0",
        b"CONNECT http://paydue/<n> HTTP/1.1", b"connect paydue:80 HTTP/1.1",
    )  # fmt: skip
    yield from refused("connect", (post(HOST, SMUGGLED, one) for one in lines))
    yield from refused("connect with a body", (post(FIVE, b"hello", one) for one in lines[:2]))


def versions() -> Iterator[Case]:
    bad = (
        b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1", b"HTTP/1.",
        b"HTTP/.1", b"HTTP /1.1", b"HTTP/1.1 ", b"http/1.1", b"HTTP/ 1.1", b"HTTP/1.1x",
        b"XTTP/1.1", b"HTTP/1,1", b"HTTP/3.0", b"HTTP/1.1\t", b"ICE/1.0", b"HTTP/1.1\x00",
    )  # fmt: skip
    yield from refused("version", (post(FIVE, b"hello", b"POST /<n> " + one) for one in bad))
    yield from refused("version", [b"GET /<n>\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
    old = b"POST /<n> HTTP/1.0"
    yield from refused(
        "http/1.0",
        [post(CHUNKED, HELLO, old), post(CHUNKED + b"Content-Length: 5\r\n", HELLO, old)],
    )
    lone = (FIVE, FIVE + b"Connection: keep-alive\r\n", b"Content-Length: 5\r\n")
    yield from last("http/1.0", (post(one, b"hello", old) for one in lone))
    yield from last("http/1.0", [post(HOST, b"", b"GET /<n> HTTP/1.0")], (("GET", "/<n>", b""),))
    # llhttp reads it and does not say that it is no HTTP; the connection ends like one of HTTP/1.0.
    yield from last("rtsp", [post(FIVE, b"hello", b"POST /<n> RTSP/1.0")])
    upgrade = b"Connection: Upgrade\r\nUpgrade: x\r\n"
    yield from last("http/1.0 upgrade", [post(FIVE + upgrade, b"hello", old)])


def request_lines() -> Iterator[Case]:
    bad = (
        b" POST /<n> HTTP/1.1", b"POST\t/<n> HTTP/1.1", b"POST /<n>\tHTTP/1.1",
        b"POST /<n>\x00 HTTP/1.1", b"POST /<n>\r HTTP/1.1", b"POST /<n> x HTTP/1.1",
        b"POST /<n>#x HTTP/1.1", b"post /<n> HTTP/1.1", b"PO ST /<n> HTTP/1.1", b"POST HTTP/1.1",
        b"POST  HTTP/1.1", b"POST <n> HTTP/1.1", b"P\x00ST /<n> HTTP/1.1",
        b"POST /<n>\xff HTTP/1.1", b"P(ST /<n> HTTP/1.1", b"POST /<n>\x0b HTTP/1.1",
        b"POST /<n>\x7f HTTP/1.1",
    )  # fmt: skip
    yield from refused("request line", (post(FIVE, b"hello", one) for one in bad))
    yield from refused(
        "line end",
        [
            post(FIVE, b"hello").replace(b"1.1\r\n", b"1.1\n", 1),
            post(FIVE, b"hello").replace(b"1.1\r\n", b"1.1\r", 1),
        ],
    )
    spaced = (b"POST  /<n> HTTP/1.1", b"POST /<n>  HTTP/1.1")
    yield from accepted("more spaces", (post(FIVE, b"hello", one) for one in spaced))
    before = (b"\r\n", b"\r\n\r\n")
    yield from accepted("blank line before", (one + post(FIVE, b"hello") for one in before))
    absolute = (
        b"http://paydue/<n>", b"https://paydue/<n>", b"http://other/<n>",
        b"http://paydue:80/<n>",
    )  # fmt: skip
    lines = (b"POST %b HTTP/1.1" % one for one in absolute)
    yield from accepted("absolute form", (post(FIVE, b"hello", one) for one in lines))


def hosts() -> Iterator[Case]:
    good = (b"paydue", b"", b"paydue:80", b"[::1]:80", b"127.0.0.1", b" paydue ", b"PAYDUE", b"a,b")
    bad = (
        b"a b", b"a@b", b"a/b", b"a\x00b", b"a\tb", b"a\r\n b", b"a\xffb", b"a?b", b"a#b",
        b"a\\b", b"http://a", b"a\rb", b"\"a\"", b"<a>",
    )  # fmt: skip
    length = b"Content-Length: 5\r\n"
    yield from accepted("host", (post(b"Host:%b\r\n" % one + length, b"hello") for one in good))
    yield from refused("host", (post(b"Host:%b\r\n" % one + length, b"hello") for one in bad))
    several = (
        b"", HOST + HOST, HOST + b"Host: other\r\n", b"Host : paydue\r\n", b" Host: paydue\r\n",
        HOST + b"host: \r\n",
    )  # fmt: skip
    yield from refused("not one host", (post(one + length, b"hello") for one in several))


def header_lines() -> Iterator[Case]:
    bad = (
        b"X : y\r\n", b"X\r\n", b": y\r\n", b"X: \x00\r\n", b"X: a\rb\r\n", b"X: a\nb\r\n",
        b"X: a\r\n b\r\n", b"X: a\r\n\tb\r\n", b"X\x01: y\r\n", b"X: a\x0bb\r\n",
        b"X: a\x7fb\r\n", b"X(: y\r\n", b"X@: y\r\n", b"X/: y\r\n", b"X\xc3\xa9: y\r\n",
        b"X: y\n", b"X: y\r", b"X\t: y\r\n", b"\tX: y\r\n", b"X Y: z\r\n", b"\"X\": y\r\n",
        b"X: " + b"y" * 70_000 + b"\r\n", b"X: y\r\n" * 101, b"X" * 70_000 + b": y\r\n",
        b"X: \x1b[0m\r\n", b"X: y\r\r\n",
    )  # fmt: skip
    good = (
        b"X: y\r\n", b"X:y\r\n", b"X:\r\n", b"X:  y  \r\n", b"X: \xff\r\n", b"X: a\tb\r\n",
        b"X_Y: z\r\n", b"X: y\r\n" * 90, b"!#$%&'*+-.^_`|~: y\r\n", b"Content-Length-X: 9\r\n",
        b"X: y: z\r\n",
    )  # fmt: skip
    yield from refused("header", (post(FIVE + one, b"hello") for one in bad))
    yield from accepted("header", (post(FIVE + one, b"hello") for one in good))
    head = post(FIVE, b"")
    ends = (b"\n", b"\n\n", b"\r", b"\r\r\n")
    yield from refused("end of the head", (head[:-2] + one + b"hello" for one in ends))


def bodies_of_any_method() -> Iterator[Case]:
    for method in ("GET", "HEAD", "DELETE", "OPTIONS", "PUT", "PATCH", "TRACE"):
        line = f"{method} /<n> HTTP/1.1".encode()
        raws = (post(FIVE, b"hello", line), post(CHUNKED, HELLO, line))
        yield from accepted(f"body of {method}", raws, ((method, "/<n>", b"hello"),))
    yield from accepted("no length", [post(HOST, b"")], (("POST", "/<n>", b""),))
    inside = post(HOST + b"Content-Length: %d\r\n" % len(SMUGGLED), SMUGGLED)
    yield from accepted("a request as a body", [inside], (("POST", "/<n>", SMUGGLED),))
    second: Believed = (*POSTED, ("GET", "/<n>/second", b""))
    two = post(FIVE, b"hello") + post(HOST, b"", b"GET /<n>/second HTTP/1.1")
    yield from accepted("pipelined", [two], second)


def connection_options() -> Iterator[Case]:
    kept = (
        b"Connection: Content-Length\r\n", b"Connection: Transfer-Encoding\r\n",
        b"Connection: keep-alive\r\n", b"Keep-Alive: timeout=5\r\n",
        b"Connection: X\r\nX: y\r\n", b"Connection: Host\r\n", b"Connection: \r\n",
    )  # fmt: skip
    ended = (
        b"Connection: close\r\n", b"Connection: CLOSE\r\n", b"Connection: close, keep-alive\r\n",
        b"Connection: X, close\r\n", b"Proxy-Connection: close\r\n", b"Expect: 100-continue\r\n",
    )  # fmt: skip
    yield from accepted("connection", (post(FIVE + one, b"hello") for one in kept))
    yield from last("connection", (post(FIVE + one, b"hello") for one in ended))
    chunked = post(CHUNKED + b"Expect: 100-continue\r\n", HELLO)
    yield from last("expect", [chunked])


FAMILIES = (
    lengths, two_lengths, length_and_coding, codings, coding_names, chunk_sizes, chunk_ends,
    trailers, upgrades, connects, versions, request_lines, hosts, header_lines,
    bodies_of_any_method, connection_options,
)  # fmt: skip
CASES = [
    case.numbered(number)
    for number, case in enumerate(case for family in FAMILIES for case in family())
]
