"""SHA-512 crypt (`$6$`), the form in which Asterisk's `password_format=crypt` keeps a password.

Python's own `crypt` module is gone since 3.13. The method is Ulrich Drepper's "Unix crypt using SHA-256 and SHA-512"
(akkadia.org/drepper/SHA-crypt.txt), with its default of 5000 rounds.
"""

from __future__ import annotations

from hashlib import sha512

_ROUNDS = 5000
_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def sha512_crypt(password: str, salt: str) -> str:
    """The hash as it stands in a file: `$6$<salt>$<86 characters>`. Of the salt, 16 characters count."""
    key, salt_bytes = password.encode(), salt[:16].encode()
    alternate = sha512(key + salt_bytes + key).digest()
    first = sha512(key + salt_bytes + _stretched(alternate, len(key)))
    length = len(key)
    while length:
        first.update(alternate if length & 1 else key)
        length >>= 1
    digest = first.digest()
    repeated_key = _stretched(sha512(key * len(key)).digest(), len(key))
    repeated_salt = _stretched(sha512(salt_bytes * (16 + digest[0])).digest(), len(salt_bytes))
    for turn in range(_ROUNDS):
        step = sha512(repeated_key if turn & 1 else digest)
        if turn % 3:
            step.update(repeated_salt)
        if turn % 7:
            step.update(repeated_key)
        step.update(digest if turn & 1 else repeated_key)
        digest = step.digest()
    return f"$6${salt_bytes.decode()}${_encoded(digest)}"


def _stretched(block: bytes, length: int) -> bytes:
    return (block * (length // len(block) + 1))[:length]


def _encoded(digest: bytes) -> str:
    """crypt's own base 64, on bytes taken from three thirds of the digest in rotating order."""
    text = ""
    order = (0, 21, 42)
    for _ in range(21):
        text += _digits(digest[order[0]] << 16 | digest[order[1]] << 8 | digest[order[2]], 4)
        order = ((order[1] + 1), (order[2] + 1), (order[0] + 1))
    return text + _digits(digest[63], 2)


def _digits(number: int, count: int) -> str:
    return "".join(_ALPHABET[number >> 6 * place & 63] for place in range(count))
