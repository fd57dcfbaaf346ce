"""Who may connect: decisions on headers alone."""

import pytest

from omni.serve.config import ServeConfig
from omni.serve.limits import MAX_ADDRESSES, Access, AccessError, ConnectionRate, machine_addresses

LAN = ServeConfig(host="0.0.0.0", https=True, token="correct-horse")


def status(call, *args) -> int:
    with pytest.raises(AccessError) as caught:
        call(*args)
    return caught.value.status


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "localhost", "[::1]:8765", "LOCALHOST:1"])
def test_a_loopback_server_answers_to_its_own_names(host):
    assert Access(ServeConfig()).check_host(host) == host


@pytest.mark.parametrize("host", [None, "", "evil.example", "evil.example:8765", "127.0.0.1.evil.example", "localhost.",
                                  "localhost:x", "user@localhost", "localhost/x", "192.0.2.2", "[::1", "127.0.0.1 "])
def test_any_other_name_is_refused_whatever_it_resolves_to(host):
    assert status(Access(ServeConfig()).check_host, host) == 421


def test_a_server_for_the_network_answers_to_its_addresses_and_the_names_it_was_given():
    config = ServeConfig(host="0.0.0.0", https=True, token="correct-horse", allowed_hosts=("omni.lan",))
    access = Access(config, own_names=["192.0.2.2", "fd00::2", "box"])
    for host in ("192.0.2.2:8765", "[fd00::2]:8765", "box", "omni.lan:8765", "localhost"):
        assert access.check_host(host) == host
    assert status(access.check_host, "192.0.2.3") == 421


def test_origin_must_be_this_page_or_an_allowed_one():
    access = Access(ServeConfig(allowed_origins=("https://friend.example",)))
    access.check_origin(None, "localhost:8765")
    access.check_origin("http://localhost:8765", "localhost:8765")
    access.check_origin("https://friend.example", "localhost:8765")
    for origin in ("null", "http://localhost", "https://localhost:8765", "http://evil.example",
                   "http://localhost:8765.evil.example", "https://friend.example.evil", ""):
        assert status(access.check_origin, origin, "localhost:8765") == 403


def test_the_token_may_come_in_three_ways_and_only_whole():
    access = Access(LAN, own_names=[])
    access.check_token({"Authorization": "Bearer correct-horse"}, {})
    access.check_token({"Authorization": "bearer correct-horse"}, {})
    access.check_token({}, {"token": "correct-horse"})
    access.check_token({}, {}, ["omni", "omni-token.correct-horse"])
    access.check_token({}, {}, ["realtime", "openai-insecure-api-key.correct-horse"])
    for headers, query, protocols in [
            ({}, {}, []), ({"Authorization": "Bearer correct-hors"}, {}, []), ({"Authorization": "Bearer "}, {}, []),
            ({"Authorization": "Basic correct-horse"}, {}, []), ({}, {"token": "correct-horse "}, []),
            ({}, {"token": "naïve"}, []), ({}, {}, ["correct-horse"])]:
        assert status(access.check_token, headers, query, protocols) == 401
    Access(ServeConfig()).check_token({}, {})


def test_a_bucket_refills_and_addresses_do_not_share_one():
    rate = ConnectionRate(burst=2, per_s=0.5)
    rate.take("10.0.0.1", 0.0)
    rate.take("10.0.0.1", 0.0)
    assert status(rate.take, "10.0.0.1", 1.0) == 429
    rate.take("10.0.0.2", 1.0)
    rate.take("10.0.0.1", 2.0)
    assert status(rate.take, "10.0.0.1", 2.0) == 429


def test_an_ipv6_network_is_one_address_and_a_mapped_one_its_ipv4():
    rate = ConnectionRate(burst=1, per_s=0.1)
    rate.take("2001:db8::1", 0.0)
    assert status(rate.take, "2001:db8::ffff:1", 0.0) == 429
    rate.take("2001:db8:0:1::1", 0.0)
    rate.take("::ffff:10.0.0.1", 0.0)
    assert status(rate.take, "10.0.0.1", 0.0) == 429
    rate.take("not an address", 0.0)


def test_buckets_are_bounded():
    rate = ConnectionRate(burst=1, per_s=0.1)
    for number in range(MAX_ADDRESSES + 50):
        rate.take(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
    assert len(rate._buckets) == MAX_ADDRESSES


def test_the_machines_addresses_are_not_loopback():
    assert not any(address.is_loopback or address.is_link_local for address in machine_addresses())
