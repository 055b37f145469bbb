"""A finished Noise session over its TCP socket, without the layers between: reads whole buffers, writes whole batches.

The handshake is libp2p's; only its result is used here. Anything but Noise over a trio socket is refused.
"""

from __future__ import annotations

import os
from typing import Any, Final

import trio
from cryptography.exceptions import InvalidTag
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.security.noise.io import NoiseTransportReadWriter
from libp2p.security.secure_session import SecureSession

READ_BYTES: Final = 256 * 1024  # per system call; a chunk of 1 MiB then takes about five
MAX_PLAINTEXT: Final = 65535 - 16  # of one Noise message: its length field less the tag
_PREFIX: Final = 2


class NoiseWire:
    """Plaintext in and out; one reading and one writing task at a time."""

    def __init__(self, session: Any) -> None:
        """Raises TypeError for a session that is not what libp2p 0.8.1 builds over TCP with Noise."""
        noise: Any = session.conn if isinstance(session, SecureSession) else None
        raw = noise.read_writer.read_write_closer if isinstance(noise, NoiseTransportReadWriter) else None
        tcp = raw.stream if isinstance(raw, RawConnection) else None
        if noise is None or not isinstance(tcp, TrioTCPStream):
            raise TypeError(f"not a Noise session over TCP: {type(session).__name__}")
        self.session = session
        self._socket = tcp.stream.socket
        state = noise.noise_state.noise_protocol
        self._seal = state.cipher_state_encrypt.encrypt_with_ad
        self._open = state.cipher_state_decrypt.decrypt_with_ad
        self._cipher = b""
        self._plain: bytes = session._drain(None)
        self._at = 0

    async def take(self, size: int) -> bytes:
        """Exactly `size` bytes of plaintext. Raises trio.BrokenResourceError or ClosedResourceError at the end."""
        while len(self._plain) - self._at < size:
            await self._fill()
        start = self._at
        self._at = start + size
        return self._plain[start : self._at]

    async def _fill(self) -> None:
        """Read once and open the Noise messages that are whole."""
        await trio.lowlevel.wait_readable(self._descriptor())
        try:
            data = os.read(self._descriptor(), READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise trio.BrokenResourceError("the socket broke") from error
        if not data:
            raise trio.BrokenResourceError("the peer closed the connection")
        cipher = self._cipher + data if self._cipher else data
        opened = [self._plain[self._at :]] if self._at < len(self._plain) else []
        at, end = 0, len(cipher)
        while end - at >= _PREFIX:
            stop = at + _PREFIX + int.from_bytes(cipher[at : at + _PREFIX], "big")
            if stop > end:
                break
            try:
                opened.append(self._open(None, cipher[at + _PREFIX : stop]))
            except InvalidTag:
                self.abort()
                raise trio.BrokenResourceError("a Noise message does not open") from None
            at = stop
        self._cipher = cipher[at:]
        self._plain = opened[0] if len(opened) == 1 else b"".join(opened)
        self._at = 0

    async def write(self, plain: bytes) -> None:
        """Seal and write all of it. Raises OSError or trio.ClosedResourceError when the connection ends."""
        sealed = []
        for at in range(0, len(plain), MAX_PLAINTEXT):
            message = self._seal(None, plain[at : at + MAX_PLAINTEXT])
            sealed.append(len(message).to_bytes(_PREFIX, "big"))
            sealed.append(message)
        rest = memoryview(b"".join(sealed))
        while rest:
            try:
                rest = rest[os.write(self._descriptor(), rest) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._descriptor())

    def _descriptor(self) -> int:
        if (descriptor := self._socket.fileno()) < 0:
            raise trio.ClosedResourceError("the connection was closed here")
        return descriptor

    def abort(self) -> None:
        """Close the socket; whoever waits on it wakes with an error."""
        self._socket.close()
