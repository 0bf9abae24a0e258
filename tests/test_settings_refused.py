"""Settings that would give secrets away are refused before anything starts."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings, UnsafeEnvFile
from tests.harness import SECRET

LIVE_KEY = "sk_live_0123456789abcdefghijkl"


def settings(**given: str) -> Settings:
    return Settings(_env_file=None, **given)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("STRIPE_WEBHOOK_SECRET", "whsec_...", "placeholder"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_\u2026", "placeholder"),
        ("STRIPE_WEBHOOK_SECRET", f"{SECRET},whsec_short", "guessed"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_xxxxxxxxxxxxxxxxxxxxxxxx", "guessed"),
        ("STRIPE_API_KEY", "sk_test_...", "placeholder"),
        ("PAYDUE_INTERNAL_TOKEN", "fifteen-letters", "16 characters"),
        ("PAYDUE_TOKEN_LASTS", "86401", "86400"),
        ("PAYDUE_TOKEN_LASTS", "1000000000000", "86400"),
        ("PAYDUE_PUBLIC_URL", "http://pay.example.com", "https://"),
        ("PAYDUE_PUBLIC_URL", "https://pay.example.com/api", "not the address of a host"),
        ("PAYDUE_PUBLIC_URL", "https://me:secret-word@pay.example.com", "a user or a password"),
    ],
)
def test_what_would_give_secrets_away_is_refused(name: str, value: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why) as refused:
        settings(**{name: value})

    assert "secret-word" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STRIPE_WEBHOOK_SECRET", f" {SECRET}, {SECRET[::-1]},"),
        ("STRIPE_WEBHOOK_SECRET", ""),
        ("PAYDUE_TOKEN_LASTS", "86400"),
        ("PAYDUE_INTERNAL_TOKEN", "sixteen-letters!"),
        ("PAYDUE_PUBLIC_URL", "http://127.0.0.1:8000/"),
        ("PAYDUE_PUBLIC_URL", "https://pay.example.com"),
    ],
)
def test_what_gives_nothing_away_is_taken(name: str, value: str) -> None:
    settings(**{name: value})


@pytest.mark.parametrize("key", [LIVE_KEY, "rk_live_0123456789", "sk_org_0123456789"])
@pytest.mark.parametrize(
    "base", ["http://api.stripe.com", "https://stripe.example.com", "http://127.0.0.1.example.com"]
)
def test_a_live_key_is_sent_to_nobody_but_stripe(key: str, base: str) -> None:
    with pytest.raises(ValidationError, match="PAYDUE_STRIPE_API_BASE") as refused:
        settings(STRIPE_API_KEY=key, PAYDUE_STRIPE_API_BASE=base)

    assert key not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "base"),
    [
        (LIVE_KEY, "https://api.stripe.com/"),
        (LIVE_KEY, "http://127.0.0.1:12121"),
        (LIVE_KEY, "http://[::1]:12121"),
        (LIVE_KEY, "http://localhost:12121"),
        ("sk_test_1", "http://stripe-mock:12111"),
    ],
)
def test_a_key_may_go_to_stripe_or_stay_here_and_a_test_key_anywhere(key: str, base: str) -> None:
    settings(STRIPE_API_KEY=key, PAYDUE_STRIPE_API_BASE=base)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_an_env_file_that_others_may_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path(".env")
    file.write_text("PAYDUE_STRIPE_API_BASE=http://127.0.0.1:1")
    file.chmod(mode)

    with pytest.raises(UnsafeEnvFile, match="chmod 600"):
        Settings()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to somebody else")
def test_an_env_file_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path(".env")
    file.write_text("PAYDUE_CURRENCY=eur")
    file.chmod(0o600)
    os.chown(file, 65534, -1)

    with pytest.raises(UnsafeEnvFile, match="chown"):
        Settings()


def test_an_env_file_that_others_may_only_read_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path(".env")
    file.write_text("PAYDUE_CURRENCY=eur")
    file.chmod(0o644)

    assert Settings().currency == "eur"
