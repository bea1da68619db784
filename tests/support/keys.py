"""Pairs of keys for signatures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Keys:
    private: Path
    public: Path


def make_keys(folder: Path, name: str) -> Keys:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, keys = ec.generate_private_key(ec.SECP256R1()), Keys(folder / f"{name}.pem", folder / f"{name}.pub.pem")
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    keys.private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    keys.public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return keys
