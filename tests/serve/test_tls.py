"""The certificate for a try on a phone."""

import datetime
import socket
import ssl
import threading

from cryptography import x509

from omni.serve.tls import VALID_DAYS, self_signed, server_context

NOW = datetime.datetime(2027, 3, 1, tzinfo=datetime.UTC)


def test_it_names_every_address_and_is_valid_from_just_before_now():
    certificate = x509.load_pem_x509_certificate(self_signed({"localhost", "192.0.2.2", "::1"}, NOW)[0])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert {str(ip) for ip in names.get_values_for_type(x509.IPAddress)} == {"192.0.2.2", "::1"}
    assert certificate.not_valid_before_utc < NOW
    assert certificate.not_valid_after_utc == NOW + datetime.timedelta(days=VALID_DAYS)


def test_a_client_that_trusts_it_connects_and_checks_the_name():
    pem, key = self_signed({"localhost"}, datetime.datetime.now(datetime.UTC))
    here, there = socket.socketpair()
    server = threading.Thread(target=lambda: server_context(pem, key).wrap_socket(there, server_side=True).close())
    server.start()
    trusting = ssl.create_default_context(cadata=pem.decode())
    with trusting.wrap_socket(here, server_hostname="localhost") as secure:
        assert secure.version() in ("TLSv1.2", "TLSv1.3")
    server.join(5)
