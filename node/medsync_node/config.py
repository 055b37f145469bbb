"""A node's settings: `config.toml` in its home, then `MEDSYNC_*` variables, then flags; the later one wins, all are checked.

One table names every setting with its default, its check and what to say of it: the commented file that `medsync
init` writes is made from the same table.
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from medsync_node.home import MAX_SOCKET_PATH
from medsync_node.passphrase import PROMPT, check_source, read_secret
from medsync_protocol.errors import OperatorError

T = TypeVar("T")

DEFAULT_PORT: Final = 4404
MAX_LISTEN: Final = 16  # addresses of one node: more is a mistake
LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("text", "json")
SYNCHRONOUS: Final = ("own", "full", "normal")


class BadSetting(OperatorError):
    """A setting that has no meaning, is misspelt, or contradicts another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiConfig:
    """Where the HTTP API is served. `listen` (host, port): None is the socket alone. Paths are absolute.

    `client_authority`: PEM certificates; over TCP only callers with a certificate by one of them are answered.
    """

    socket: Path
    token_file: Path
    listen: tuple[str, int] | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    client_authority: Path | None = None
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainConfig:
    """How this node reads the chain. `rpc` None: finality rests on the operator. `depth` in blocks: then settled."""

    rpc: str | None = None
    depth: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings. `listen` and `announce` are multiaddrs; `announce` empty: what is listened on."""

    listen: tuple[str, ...] = (f"/ip4/0.0.0.0/tcp/{DEFAULT_PORT}",)
    announce: tuple[str, ...] = ()
    passphrase_from: str = field(default=PROMPT, repr=False)
    api: ApiConfig
    chain: ChainConfig = ChainConfig()
    synchronous: str = "own"
    log_level: str = "info"
    log_format: str = "text"


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("expected a text")
    return value.strip()


def _one_of(choices: tuple[str, ...]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return str(value)

    return check


def _optional(check: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda value: None if value in (None, "") else check(value)


def _addresses(value: Any) -> tuple[str, ...]:
    listed = [one.strip() for one in value.split(",")] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or len(listed) > MAX_LISTEN:
        raise ValueError(f"expected at most {MAX_LISTEN} multiaddrs such as /ip4/0.0.0.0/tcp/{DEFAULT_PORT}")
    addresses = tuple(_text(one) for one in listed if one)
    for address in addresses:
        parts = address.split("/")
        if (
            len(parts) < 5
            or parts[0]
            or parts[1] not in ("ip4", "ip6", "dns", "dns4", "dns6")
            or parts[3] != "tcp"
        ):
            raise ValueError(f"expected multiaddrs such as /ip4/0.0.0.0/tcp/{DEFAULT_PORT}")
        _port(parts[4])
    return addresses


def _port(value: Any) -> int:
    if not str(value).isdecimal() or not 0 <= int(value) <= 65_535:
        raise ValueError("expected a port from 0 (any) to 65535")
    return int(value)


def _host_port(value: Any) -> tuple[str, int]:
    host, colon, port = _text(value).rpartition(":")
    host = host.strip("[]")
    try:
        ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise ValueError("expected HOST:PORT with an IP address, such as 127.0.0.1:8404") from error
    if not colon:
        raise ValueError("expected HOST:PORT, such as 127.0.0.1:8404")
    return "127.0.0.1" if host == "localhost" else host, _port(port)


def _url(value: Any) -> str:
    parts = urlsplit(_text(value))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an http or https URL of a Starknet JSON-RPC")
    return _text(value)


def _named(check: Callable[[Any], str]) -> Callable[[Any], str]:
    """For a setting that may hold a secret: its value, or env:NAME or file:PATH where that stands."""

    def read(value: Any) -> str:
        kind, _, rest = str(value).partition(":")
        if kind not in ("env", "file"):
            return check(value)
        try:
            return check(read_secret(str(value)))
        except ValueError as error:
            raise ValueError(f"what {kind}:{rest} holds: {error}") from error

    return read


def _truth(value: Any) -> bool:
    if value not in (True, False, "true", "false"):
        raise ValueError("expected true or false")
    return value in (True, "true")


def _depth(value: Any) -> int:
    if isinstance(value, bool) or not str(value).isdecimal() or not 0 <= int(value) <= 100_000:
        raise ValueError("expected a number of blocks, 0 to 100000")
    return int(value)


@dataclass(frozen=True, slots=True)
class Setting:
    """`name` is its place in the file (`table.key`); `shown` what the commented file shows; `about` one line for people."""

    name: str
    check: Callable[[Any], Any]
    shown: str
    about: str

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "MEDSYNC_" + self.name.upper().replace(".", "_")


SETTINGS: Final = (
    Setting("listen", _addresses, f'["/ip4/0.0.0.0/tcp/{DEFAULT_PORT}"]', "multiaddrs for other members; port 0: any"),
    Setting("announce", _addresses, '["/dns/medsync.example.org/tcp/4404"]', "where others reach them, if elsewhere"),
    Setting("passphrase_from", check_source, '"prompt"', "of the key file: env:NAME, file:PATH or prompt"),
    Setting("synchronous", _one_of(SYNCHRONOUS), '"own"', "which commits wait for the platter: own, full or normal"),
    Setting("api.socket", _optional(_text), '"api.sock"', "the API's unix socket: mode 0600, no token"),
    Setting("api.listen", _optional(_host_port), '"127.0.0.1:8404"', "the API over TCP as well; off by default"),
    Setting("api.token_file", _optional(_text), '"token"', "the bearer token that TCP wants; made when missing"),
    Setting("api.certificate", _optional(_text), '"tls.pem"', "TLS: without it only loopback is listened on"),
    Setting("api.private_key", _optional(_text), '"tls.key"', "TLS: the certificate's key"),
    Setting("api.client_authority", _optional(_text), '"clients.pem"', "mutual TLS: who signs the certificates that callers must have"),
    Setting("api.read_only", _truth, "true", "refuse what would change the record; the node goes on replicating"),
    Setting("chain.rpc", _optional(_named(_url)), '"http://127.0.0.1:5050"', "a Starknet JSON-RPC that this node trusts; env:NAME or file:PATH when it holds a key"),
    Setting("chain.depth", _depth, "10", "blocks above a checkpoint until it counts as settled without L1"),
    Setting("log.level", _one_of(LEVELS), '"info"', "debug, info, warning or error; never patient data"),
    Setting("log.format", _one_of(FORMATS), '"text"', "text or json, on stderr"),
)  # fmt: skip
SECRET_SETTINGS: Final = ("passphrase_from", "chain.rpc")  # what may say `file:PATH` or `env:NAME` of a secret
_BY_NAME: Final = {setting.name: setting for setting in SETTINGS}


def load(home: Path, environment: Mapping[str, str], flags: Mapping[str, Any]) -> Config:
    """The settings of a home. `flags` by setting name; None values are flags not given. Raises BadSetting."""
    chosen: dict[str, tuple[Any, str]] = {}
    for name, value in _read_file(home / "config.toml").items():
        if name not in _BY_NAME:
            raise _unknown(name)
        chosen[name] = value, "config.toml"
    for setting in SETTINGS:
        if setting.variable in environment:
            chosen[setting.name] = environment[setting.variable], f"${setting.variable}"
    for name, value in flags.items():
        if value is not None:
            chosen[name] = value, f"--{name.replace('.', '-').replace('_', '-')}"
    checked = {name: _checked(name, value, where) for name, (value, where) in chosen.items()}
    config = _assemble(home.absolute(), checked)
    for problem in _api_problems(config.api):
        raise problem
    return config


def _checked(name: str, value: Any, where: str) -> Any:
    try:
        return _BY_NAME[name].check(value)
    except ValueError as error:
        raise BadSetting(f"{name} ({where}): {error}", advice=f"it is: {_BY_NAME[name].about}") from error


def _assemble(home: Path, given: Mapping[str, Any]) -> Config:
    def path(name: str, default: str | None) -> Path | None:
        text = given.get(name) or default
        return None if text is None else home / Path(text).expanduser()

    socket, token_file = path("api.socket", "api.sock"), path("api.token_file", "token")
    assert socket is not None and token_file is not None, "both have defaults"
    api = ApiConfig(
        socket=socket, token_file=token_file, listen=given.get("api.listen"),
        certificate=path("api.certificate", None), private_key=path("api.private_key", None),
        client_authority=path("api.client_authority", None), read_only=given.get("api.read_only", False),
    )  # fmt: skip
    defaults = Config(api=api)
    return Config(
        listen=given.get("listen", defaults.listen),
        announce=given.get("announce", ()),
        passphrase_from=given.get("passphrase_from", defaults.passphrase_from),
        api=api,
        chain=ChainConfig(rpc=given.get("chain.rpc"), depth=given.get("chain.depth", defaults.chain.depth)),
        synchronous=given.get("synchronous", defaults.synchronous),
        log_level=given.get("log.level", defaults.log_level),
        log_format=given.get("log.format", defaults.log_format),
    )


def _api_problems(api: ApiConfig) -> Iterator[BadSetting]:
    if len(str(api.socket).encode()) > MAX_SOCKET_PATH:
        yield BadSetting(
            f"the API socket's path is longer than {MAX_SOCKET_PATH} bytes",
            advice="use a home with a shorter path, or set api.socket to one",
        )
    if (api.certificate is None) != (api.private_key is None):
        yield BadSetting("TLS needs both api.certificate and api.private_key", advice="set the other one too")
    if api.client_authority is not None and api.certificate is None:
        yield BadSetting(
            "api.client_authority asks callers for certificates, and without TLS nobody shows one",
            advice="set api.certificate and api.private_key, or unset it",
        )
    if (
        api.listen is not None
        and api.certificate is None
        and not ipaddress.ip_address(api.listen[0]).is_loopback
    ):
        yield BadSetting(
            "api.listen is no loopback address, and without TLS the token and the record would travel in clear",
            advice="set api.certificate and api.private_key, or listen on 127.0.0.1 behind a proxy that speaks TLS",
        )


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BadSetting(
            f"cannot read {path.name}: {error.strerror}", advice="run as the user that owns this home"
        ) from error
    except ValueError as error:
        raise BadSetting(
            f"{path.name} is no TOML: {error}", advice="see https://toml.io, or delete the file"
        ) from error
    found: dict[str, Any] = {}
    for key, value in tables.items():
        found |= (
            {f"{key}.{inner}": one for inner, one in value.items()}
            if isinstance(value, dict)
            else {key: value}
        )
    return found


def _unknown(name: str) -> BadSetting:
    near = get_close_matches(name, _BY_NAME, 1)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(_BY_NAME)}"
    return BadSetting(f"config.toml: there is no setting {name!r}", advice=meant)


def require_known(name: str) -> None:
    """Raises BadSetting, with the nearest right one, for a name that is no setting."""
    if name not in _BY_NAME:
        raise _unknown(name)


def in_force(home: Path, environment: Mapping[str, str]) -> list[tuple[str, Any, str, str]]:
    """(name, value as given, where from, what it is) of every setting; None as value: off. Raises BadSetting."""
    given = _read_file(home / "config.toml")
    plain = Config(api=ApiConfig(socket=home, token_file=home))
    defaults = {
        "listen": list(plain.listen), "announce": [], "passphrase_from": plain.passphrase_from,
        "synchronous": plain.synchronous, "api.socket": "api.sock", "api.token_file": "token",
        "api.read_only": False, "chain.depth": plain.chain.depth, "log.level": plain.log_level, "log.format": plain.log_format,
    }  # fmt: skip
    found: list[tuple[str, Any, str, str]] = []
    for one in SETTINGS:
        if one.variable in environment:
            found.append((one.name, environment[one.variable], f"${one.variable}", one.about))
        elif one.name in given:
            found.append((one.name, given[one.name], "config.toml", one.about))
        else:
            found.append((one.name, defaults.get(one.name), "default", one.about))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """What can be made of a home's settings: `config` with those that have no meaning (`bad`, by name) left out.

    `config` None: not even the file can be read. `problems` are all there are, where `load` stops at the first.
    """

    config: Config | None
    problems: tuple[BadSetting, ...]
    bad: frozenset[str] = frozenset()


def readable(home: Path, environment: Mapping[str, str]) -> Readable:
    """Everything that is right and wrong with a home's settings; nothing is raised."""
    try:
        given = _read_file(home / "config.toml")
    except BadSetting as error:
        return Readable(config=None, problems=(error,))
    found = [_unknown(name) for name in given if name not in _BY_NAME]
    variables = {one.variable: one for one in SETTINGS}
    chosen = {name: (value, "config.toml") for name, value in given.items() if name in _BY_NAME}
    chosen |= {variables[v].name: (environment[v], f"${v}") for v in variables if v in environment}
    good, bad = {}, set()
    for name, (value, where) in chosen.items():
        try:
            good[name] = _checked(name, value, where)
        except OperatorError as error:
            bad.add(name)
            told = error if isinstance(error, BadSetting) else BadSetting(f"{name} ({where}): {error}", advice=error.advice)
            found.append(told)
    for variable in environment:
        near = get_close_matches(variable, variables, 1, cutoff=0.85)
        if variable.startswith("MEDSYNC_") and variable not in variables and near:
            found.append(BadSetting(f"${variable} sets nothing", advice=f"did you mean ${near[0]}?"))
    config = _assemble(home.absolute(), good)
    if not any(name.startswith("api.") for name in bad):  # what a bad one would have been is not known
        found += _api_problems(config.api)
    return Readable(config=config, problems=tuple(found), bad=frozenset(bad))


def commented(chosen: Mapping[str, str]) -> str:
    """The text of a new `config.toml`: every setting with its meaning, those in `chosen` set (values as TOML)."""
    lines = ["# Settings of this node. MEDSYNC_* variables win over this file, flags win over both.", ""]
    table = ""
    for setting in SETTINGS:
        head, dot, key = setting.name.rpartition(".")
        if dot and head != table:
            lines += [f"[{head}]"]
            table = head
        value = chosen.get(setting.name)
        lines += [
            f"# {setting.about}",
            f"{'# ' if value is None else ''}{key} = {value or setting.shown}",
            "",
        ]
    return "\n".join(lines)
