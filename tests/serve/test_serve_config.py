"""What `omni serve` is told, and what it refuses before it binds anything."""

import argparse

import pytest

from omni.base.config import data_path, load
from omni.base.errors import ConfigError
from omni.serve.arguments import add_arguments
from omni.serve.command import page_address, resolve
from omni.serve.config import ServeConfig


def parse(*flags, environment=None) -> ServeConfig:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return resolve(parser.parse_args(flags), environment or {})


def test_the_packaged_file_holds_the_defaults():
    assert load(ServeConfig, data_path("configs", "serve", "default.yaml")) == ServeConfig()


def test_flags_win_over_set_and_the_environment_brings_the_token():
    config = parse("--set", "port=1", "--set", "limits.idle_s=5", "--port", "2", "--sessions", "7", "--token",
                   "1234567890", environment={"OMNI_TOKEN": "from-the-environment"})
    assert (config.port, config.limits.idle_s, config.limits.sessions, config.token) == (2, 5, 7, "1234567890")
    assert parse(environment={"OMNI_TOKEN": "from-the-environment"}).token == "from-the-environment"


@pytest.mark.parametrize("flags", [
    ("--host", "0.0.0.0"), ("--host", "0.0.0.0", "--https"), ("--host", "192.0.2.2", "--token", "long-enough"),
    ("--host", "::"), ("--host", "example.org")])
def test_others_are_let_in_only_with_a_token_and_tls(flags):
    with pytest.raises(ConfigError, match="needs a token and TLS") as caught:
        parse(*flags)
    assert "\n" not in str(caught.value)


def test_with_both_others_are_let_in():
    config = parse("--host", "192.0.2.2", "--https", "--token", "long-enough")
    assert page_address(config, 8765) == "https://192.0.2.2:8765/#token=long-enough"
    assert page_address(parse("--host", "::1"), 80) == "http://[::1]:80/"


@pytest.mark.parametrize("flags, words", [
    (("--set", "limits.session=2"), "sessions"), (("--port", "99999"), "65535"), (("--token", "short"), "8 or more"),
    (("--set", "limits.stall_s=0"), "positive"), (("--set", "webrtc.ice_servers=[{uri: x}]"), "url"),
    (("--config", "serve/defalt"), "default")])
def test_mistakes_are_named(flags, words):
    with pytest.raises(ConfigError, match=words):
        parse(*flags)
