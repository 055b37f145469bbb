"""Signatures, hashes, key derivation and sealing over libsodium. Draws no randomness: nonces and seeds come in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import nacl.bindings as sodium
import nacl.exceptions
from nacl._sodium import ffi, lib  # what nacl.bindings itself calls: its checks cost more than the cipher

from medsync_protocol.errors import BadSignature, Malformed

Entropy = Callable[[str, int], bytes]
"""(label, size) → that many unpredictable bytes. Tests give a deterministic one (DESIGN §3)."""

_NULL = ffi.NULL
_TAG = 16  # bytes that the AEAD adds
_allocate = ffi.new_allocator(should_clear_after_alloc=False)
_encrypt = lib.crypto_aead_xchacha20poly1305_ietf_encrypt
_decrypt = lib.crypto_aead_xchacha20poly1305_ietf_decrypt

SEALED_OVERHEAD = 24 + 16  # nonce and tag of `seal`
BOX_OVERHEAD = 32 + 24 + 16  # ephemeral key, nonce and tag of `box_to`


def blake2b(*parts: bytes, size: int = 32, key: bytes = b"") -> bytes:
    """BLAKE2b of the concatenated parts; `key` up to 64 bytes makes it a MAC or a derivation."""
    return hashlib.blake2b(b"".join(parts), digest_size=size, key=key).digest()


def derive(key: bytes, label: str, *parts: bytes, size: int = 32) -> bytes:
    """A key for one use from `key`: BLAKE2b keyed, label and parts framed by their lengths."""
    framed = [len(label).to_bytes(1, "big"), label.encode()]
    for part in parts:
        framed += [len(part).to_bytes(2, "big"), part]
    return hashlib.blake2b(b"".join(framed), digest_size=size, key=key).digest()


def signing_public(seed: bytes) -> bytes:
    """The Ed25519 public key (RFC 8032) of a 32-byte seed."""
    return sodium.crypto_sign_seed_keypair(seed)[0]


def sign(seed: bytes, domain: bytes, message: bytes) -> bytes:
    """64-byte Ed25519 signature over the domain and message, domain first with its length."""
    secret = _secret_key(seed)
    return sodium.crypto_sign(_framed(domain, message), secret)[:64]


def verify(public: bytes, domain: bytes, message: bytes, signature: bytes) -> None:
    """Raises BadSignature unless `signature` is by `public` over (domain, message)."""
    if len(public) != 32 or len(signature) != 64:
        raise BadSignature("key or signature has the wrong length")
    try:
        sodium.crypto_sign_open(signature + _framed(domain, message), public)
    except nacl.exceptions.CryptoError as error:
        raise BadSignature("signature does not verify under the key it names") from error


def _framed(domain: bytes, message: bytes) -> bytes:
    return len(domain).to_bytes(1, "big") + domain + message


_SECRET_KEYS: dict[bytes, bytes] = {}
_MAX_SECRET_KEYS = 64  # expanded seeds kept: a process signs with a handful of keys


def _secret_key(seed: bytes) -> bytes:
    secret = _SECRET_KEYS.get(seed)
    if secret is None:
        if len(_SECRET_KEYS) >= _MAX_SECRET_KEYS:
            _SECRET_KEYS.clear()
        secret = _SECRET_KEYS[seed] = sodium.crypto_sign_seed_keypair(seed)[1]
    return secret


def sealing_public(secret: bytes) -> bytes:
    """The X25519 public key (RFC 7748) of a 32-byte secret."""
    return sodium.crypto_scalarmult_base(secret)


def shared_key(secret: bytes, public: bytes) -> bytes:
    """32 bytes that both holders of an X25519 pair can compute. Raises Malformed for a bad public key."""
    try:
        return sodium.crypto_box_beforenm(public, secret)
    except (nacl.exceptions.CryptoError, ValueError) as error:
        raise Malformed("not a usable X25519 public key") from error


def box_to(public: bytes, plain: bytes, *, ephemeral: bytes, nonce: bytes) -> bytes:
    """`plain` readable by the holder of `public` only: ephemeral public key ‖ nonce ‖ crypto_box."""
    key = shared_key(ephemeral, public)
    return sealing_public(ephemeral) + nonce + sodium.crypto_box_afternm(plain, nonce, key)


def open_box(secret: bytes, boxed: bytes) -> bytes:
    """What `box_to` sealed. Raises Malformed when it doesn't open."""
    if len(boxed) < BOX_OVERHEAD:
        raise Malformed("box too short")
    try:
        return sodium.crypto_box_open_afternm(boxed[56:], boxed[32:56], shared_key(secret, boxed[:32]))
    except nacl.exceptions.CryptoError as error:
        raise Malformed("box does not open") from error


def aead_seal(key: bytes, nonce: bytes, plain: bytes, associated: bytes) -> bytes:
    """XChaCha20-Poly1305 (IETF): 16 bytes longer than `plain`; the nonce is 24 bytes."""
    if len(key) != 32 or len(nonce) != 24:
        raise ValueError("a key has 32 bytes and a nonce 24")
    size = len(plain) + _TAG
    sealed = _allocate("unsigned char[]", size)
    _encrypt(sealed, _NULL, plain, len(plain), associated, len(associated), _NULL, nonce, key)
    return bytes(ffi.buffer(sealed, size))


def aead_open(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    """What `aead_seal` sealed. Raises Malformed when key, nonce or associated data differ."""
    size = len(sealed) - _TAG
    if len(key) != 32 or len(nonce) != 24 or size < 0:
        raise Malformed("ciphertext does not open")
    plain = _allocate("unsigned char[]", size or 1)
    if _decrypt(plain, _NULL, _NULL, sealed, len(sealed), associated, len(associated), nonce, key):
        raise Malformed("ciphertext does not open")
    return bytes(ffi.buffer(plain, size))


def seal(key: bytes, plain: bytes, *, nonce: bytes, associated: bytes = b"") -> bytes:
    """Nonce ‖ ciphertext: for values at rest and gossip frames."""
    return nonce + aead_seal(key, nonce, plain, associated)


def unseal(key: bytes, sealed: bytes, associated: bytes = b"") -> bytes:
    """What `seal` sealed. Raises Malformed when it doesn't open."""
    if len(sealed) < SEALED_OVERHEAD:
        raise Malformed("sealed value too short")
    return aead_open(key, sealed[:24], sealed[24:], associated)
