"""A certificate for a try on a phone: made at the start, signed by itself, for this machine's addresses.

Browsers warn once and then treat the page as a secure context, which the microphone needs. The key lives in memory and,
while it is being loaded, in a file only this user can read.
"""

import datetime
import ipaddress
import ssl
import tempfile
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 30


def self_signed(names: Iterable[str], now: datetime.datetime) -> tuple[bytes, bytes]:
    """Make a certificate.

    Args:
        names: host names and addresses it is for (subjectAltName, RFC 5280 section 4.2.1.6).
        now: timezone-aware; it is valid from an hour before (clocks differ) for `VALID_DAYS` days.

    Returns:
        Certificate and private key, PEM.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "omni")])
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in sorted(set(names))])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False))
    certificate = builder.sign(key, hashes.SHA256())
    return (certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                              serialization.NoEncryption()))


def server_context(certificate: bytes, key: bytes) -> ssl.SSLContext:
    """A TLS 1.2+ context for the server. `ssl` loads keys from files only, so one exists for a moment."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.TemporaryDirectory(prefix="omni-tls-") as folder:  # mode 0700
        path = Path(folder, "both.pem")
        path.write_bytes(certificate + key)
        context.load_cert_chain(path)
    return context


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
