#!/usr/bin/env python3
"""A client of oblivious DNS over HTTPS that shares no line with shoji: RFC 9230 and the base mode of
RFC 9180 (X25519, HKDF-SHA256, AES-128-GCM), written out over Debian's python3-cryptography and curl.

oblivious.py CERTIFICATES TARGET PROXY NAME [VIEW]: asks TARGET (https://NAME:PORT/PATH) for the A record of a name by way
of PROXY (a URL), and prints the response code and the last four octets of the reply before its OPT record. VIEW is the
octet of shoji's EDNS option.
"""
import hashlib
import hmac
import os
import struct
import subprocess
import sys
import urllib.parse

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

OPTION = 65083


def extract(salt, key):
    return hmac.new(salt or b"\0" * 32, key, hashlib.sha256).digest()


def expand(prk, info, length):
    out, block, i = b"", b"", 0
    while len(out) < length:
        i += 1
        block = hmac.new(prk, block + info + bytes([i]), hashlib.sha256).digest()
        out += block
    return out[:length]


def field(b):
    return struct.pack("!H", len(b)) + b


def cut(b):
    n = struct.unpack("!H", b[:2])[0]
    assert len(b) >= 2 + n
    return b[2:2 + n], b[2 + n:]


def labeled(suite):
    def l_extract(salt, label, key):
        return extract(salt, b"HPKE-v1" + suite + label + key)

    def l_expand(prk, label, info, length):
        return expand(prk, struct.pack("!H", length) + b"HPKE-v1" + suite + label + info, length)
    return l_extract, l_expand


def sender(public, info):
    """SetupBaseS: the encapsulated key, a function that encrypts once, and one that exports."""
    own = X25519PrivateKey.generate()
    enc = own.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    l_extract, l_expand = labeled(b"KEM" + b"\0\x20")
    shared = own.exchange(X25519PublicKey.from_public_bytes(public))
    secret = l_expand(l_extract(b"", b"eae_prk", shared), b"shared_secret", enc + public, 32)
    l_extract, l_expand = labeled(b"HPKE" + b"\0\x20\0\1\0\1")
    context = b"\0" + l_extract(b"", b"psk_id_hash", b"") + l_extract(b"", b"info_hash", info)
    secret = l_extract(secret, b"secret", b"")
    key, nonce = l_expand(secret, b"key", context, 16), l_expand(secret, b"base_nonce", context, 12)
    exporter = l_expand(secret, b"exp", context, 32)
    return enc, lambda head, text: AESGCM(key).encrypt(nonce, text, head), lambda label, n: l_expand(exporter, b"sec", label, n)


def question(name, view):
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
    options = b"" if view is None else struct.pack("!HHB", OPTION, 1, view)
    return struct.pack("!HHHHHH", 0, 0x0100, 1, 0, 0, 1) + labels + b"\0\0\1\0\1" + b"\0" + struct.pack("!HHIH", 41, 1232, 0, len(options)) + options


def fetch(certificates, url, body=None):
    command = ["curl", "-sS", "--http2", "--cacert", certificates, "--resolve", "dns1.example:443:127.0.0.1", "--resolve", "dns1.example:8443:127.0.0.1", url]
    if body is not None:
        command += ["-f", "-H", "Content-Type: application/oblivious-dns-message", "-H", "Accept: application/oblivious-dns-message", "--data-binary", "@-"]
    return subprocess.run(command, input=body, stdout=subprocess.PIPE, check=True).stdout


def main():
    certificates, target, proxy, name = sys.argv[1:5]
    view = int(sys.argv[5]) if len(sys.argv) > 5 else None
    to = urllib.parse.urlsplit(target)
    all_configs, _ = cut(fetch(certificates, f"https://{to.netloc}/.well-known/odohconfigs"))
    assert all_configs[:2] == b"\0\1"
    contents, _ = cut(all_configs[2:])
    assert contents[:6] == b"\0\x20\0\1\0\1"
    public, _ = cut(contents[6:])
    key_id = expand(extract(b"", contents), b"odoh key id", 32)
    query = question(name, view)
    plain = field(query) + field(b"\0" * (-len(query) % 128))
    enc, seal, export = sender(public, b"odoh query")
    head = b"\1" + field(key_id)
    sent = head + field(enc + seal(head, plain))
    where = urllib.parse.urlencode({"targethost": to.netloc, "targetpath": to.path})
    reply = fetch(certificates, f"{proxy}?{where}", sent)
    assert reply[:1] == b"\2"
    nonce, rest = cut(reply[1:])
    encrypted, rest = cut(rest)
    assert not rest and len(nonce) == 16
    prk = extract(plain + field(nonce), export(b"odoh response", 16))
    text = AESGCM(expand(prk, b"odoh key", 16)).decrypt(expand(prk, b"odoh nonce", 12), encrypted, b"\2" + field(nonce))
    message, rest = cut(text)
    padding, rest = cut(rest)
    assert not rest and not any(padding) and (len(message) + len(padding)) % 468 == 0
    at = message.rindex(b"\0\0\x29")  # the OPT record
    print("rcode", message[3] & 15, "data", ".".join(str(x) for x in message[at - 4:at]))


main()
