"""The environment becomes settings, or one sentence says what to do."""

import base64
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from funnel.core.pace import Rate
from funnel.settings import ROOT, SettingsError, load
from funnel.store.db import open_engine
from tests.databases import Databases

HOSTED = {
    "DATABASE_URL": "postgres://alice:sesame@db.example.org/notes",
    "FUNNEL_MAIL": "smtp://bob:tulip@mail.example.org:587",
    "FUNNEL_KEYS": "1:a2V5",
}


def as_webhook_key(public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> str:
    return base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


WEBHOOK_KEY = as_webhook_key(ec.generate_private_key(ec.SECP256R1()).public_key())


def test_nothing_needs_to_be_set() -> None:
    settings = load({})
    assert settings.home == Path("var").absolute()
    assert settings.content == ROOT
    assert settings.database_url == f"sqlite:///{settings.home / 'funnel.db'}"
    assert (settings.host, settings.port, settings.base_url) == ("127.0.0.1", 8000, "http://127.0.0.1:8000")
    assert (settings.mail, settings.redis_url, settings.keys, settings.token) == ("outbox", None, None, None)
    assert (settings.day_ms, settings.lease_ms, settings.batch_size) == (86_400_000, 15_000, 200)
    assert (settings.rate, settings.domain_rates, settings.warm_up_ms) == (None, {}, None)
    assert (settings.webhook_key, settings.smtp_connections, settings.metrics_port) == ("", 4, None)
    assert settings.embedded
    assert settings.local_mail
    assert not settings.secure


def test_an_empty_variable_is_as_good_as_none() -> None:
    names = ["FUNNEL_HOME", "FUNNEL_CONTENT", "DATABASE_URL", "PORT", "FUNNEL_HOST", "FUNNEL_BASE_URL", "FUNNEL_MAIL"]
    names += ["SENDGRID_API_KEY", "SENDGRID_API_URL", "FUNNEL_BATCH", "FUNNEL_DAY", "FUNNEL_LEASE"]
    names += ["SENDGRID_WEBHOOK_KEY", "FUNNEL_RATE", "FUNNEL_DOMAIN_RATES", "FUNNEL_WARMUP", "FUNNEL_SMTP_CONNECTIONS"]
    names += ["FUNNEL_METRICS_PORT"]
    assert load(dict.fromkeys(names, "")) == load({})


def test_a_platforms_environment_is_taken_as_it_is() -> None:
    settings = load(
        {**HOSTED, "REDIS_URL": "rediss://r.example.org", "PORT": "5000", "FUNNEL_BASE_URL": "https://n.example/"}
    )
    assert settings.database_url == HOSTED["DATABASE_URL"]
    assert (settings.host, settings.port, settings.base_url) == ("0.0.0.0", 5000, "https://n.example")
    assert settings.redis_url == "rediss://r.example.org"
    assert settings.secure
    assert not settings.embedded
    assert not settings.local_mail


@pytest.mark.parametrize(
    ("env", "field", "value"),
    [
        ({"PORT": "1"}, "port", 1),
        ({"PORT": "65535"}, "port", 65535),
        ({"PORT": "9000"}, "base_url", "http://127.0.0.1:9000"),
        ({"FUNNEL_HOME": "/srv/notes"}, "database_url", "sqlite:////srv/notes/funnel.db"),
        ({"FUNNEL_HOST": "0.0.0.0"}, "host", "0.0.0.0"),
        ({**HOSTED, "FUNNEL_HOST": "127.0.0.1"}, "host", "127.0.0.1"),
        ({"FUNNEL_DAY": "24h"}, "day_ms", 86_400_000),
        ({"FUNNEL_DAY": "2s"}, "day_ms", 2_000),
        ({"FUNNEL_DAY": "500ms"}, "day_ms", 500),
        ({"FUNNEL_DAY": "15m"}, "day_ms", 900_000),
        ({"FUNNEL_LEASE": "1s"}, "lease_ms", 1_000),
        ({"FUNNEL_BATCH": "1000"}, "batch_size", 1000),
        ({"FUNNEL_MAIL": "sendgrid", "SENDGRID_API_KEY": "k"}, "sendgrid_url", "https://api.sendgrid.com"),
        (
            {"FUNNEL_MAIL": "sendgrid", "SENDGRID_API_KEY": "k", "SENDGRID_API_URL": "https://api.eu.sendgrid.com/"},
            "sendgrid_url",
            "https://api.eu.sendgrid.com",
        ),
        ({"FUNNEL_TOKEN": "t"}, "token", "t"),
        ({"FUNNEL_RATE": "100/s"}, "rate", Rate(100, 1_000)),
        ({"FUNNEL_RATE": " 50000/h "}, "rate", Rate(50_000, 3_600_000)),
        (
            {"FUNNEL_DOMAIN_RATES": "gmail.com=20/s, *=50/m"},
            "domain_rates",
            {"gmail.com": Rate(20, 1_000), "*": Rate(50, 60_000)},
        ),
        ({"FUNNEL_WARMUP": "2026-11-22"}, "warm_up_ms", 1_795_305_600_000),
        ({"FUNNEL_SMTP_CONNECTIONS": "16"}, "smtp_connections", 16),
        ({"FUNNEL_METRICS_PORT": "9100"}, "metrics_port", 9100),
        ({"SENDGRID_WEBHOOK_KEY": WEBHOOK_KEY}, "webhook_key", WEBHOOK_KEY),
    ],
)
def test_a_setting_has_its_effect(env: dict[str, str], field: str, value: object) -> None:
    assert getattr(load(env), field) == value


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"PORT": "0"}, "PORT must be a whole number from 1 to 65535"),
        ({"PORT": "65536"}, "PORT must be a whole number"),
        ({"PORT": "-1"}, "PORT must be a whole number"),
        ({"PORT": "http"}, "PORT must be a whole number"),
        ({"PORT": "8000.0"}, "PORT must be a whole number"),
        ({"FUNNEL_BATCH": "0"}, "FUNNEL_BATCH must be a whole number from 1 to 1000"),
        ({"FUNNEL_BATCH": "1001"}, "FUNNEL_BATCH must be a whole number from 1 to 1000"),
        ({"FUNNEL_MAIL": "carrier-pigeon"}, "FUNNEL_MAIL must be outbox, smtp://user:password@host:port or sendgrid"),
        ({"FUNNEL_MAIL": "smtps://bob:tulip@mail.example.org"}, "FUNNEL_MAIL must be outbox"),
        ({"FUNNEL_MAIL": "smtp://"}, "FUNNEL_MAIL must be smtp://"),
        ({"FUNNEL_MAIL": "smtp://bob:tulip@"}, "FUNNEL_MAIL must be smtp://"),
        ({"FUNNEL_MAIL": "sendgrid"}, "needs SENDGRID_API_KEY"),
        ({"FUNNEL_BASE_URL": "notes.example.org"}, "FUNNEL_BASE_URL must be a web address"),
        ({"FUNNEL_BASE_URL": "ftp://notes.example.org"}, "FUNNEL_BASE_URL must be a web address"),
        ({"FUNNEL_BASE_URL": "https://"}, "FUNNEL_BASE_URL must be a web address"),
        ({"FUNNEL_DAY": "2"}, "FUNNEL_DAY must be a duration like 2s, 15m or 24h"),
        ({"FUNNEL_DAY": "0s"}, "FUNNEL_DAY must be a duration"),
        ({"FUNNEL_DAY": "-2s"}, "FUNNEL_DAY must be a duration"),
        ({"FUNNEL_DAY": "2 s"}, "FUNNEL_DAY must be a duration"),
        ({"FUNNEL_DAY": "1d"}, "FUNNEL_DAY must be a duration"),
        ({"FUNNEL_DAY": "9999999h"}, "FUNNEL_DAY must be a duration"),
        ({"FUNNEL_LEASE": "soon"}, "FUNNEL_LEASE must be a duration"),
        ({"FUNNEL_RATE": "100"}, "FUNNEL_RATE must be a rate like 100/s, 6000/m or 50000/h"),
        ({"FUNNEL_RATE": "0/s"}, "FUNNEL_RATE must be a rate"),
        ({"FUNNEL_DOMAIN_RATES": "20/s"}, "FUNNEL_DOMAIN_RATES must be like gmail.com=20/s,*=50/s"),
        ({"FUNNEL_DOMAIN_RATES": "gmail.com=fast"}, "FUNNEL_DOMAIN_RATES must be a rate like 100/s"),
        ({"FUNNEL_DOMAIN_RATES": "*=1/s,*=2/s"}, "FUNNEL_DOMAIN_RATES names * twice"),
        (
            {"FUNNEL_PROXIES": "one"},
            "FUNNEL_PROXIES must be a number of proxies, or networks like 10.0.0.0/8, fd00::/8",
        ),
        ({"FUNNEL_PROXIES": "17"}, "FUNNEL_PROXIES must be 16 proxies at most"),
        ({"FUNNEL_VISITOR_RATE": "many"}, "FUNNEL_VISITOR_RATE must be a rate like"),
        ({"FUNNEL_FORM_RATE": "0/m"}, "FUNNEL_FORM_RATE must be a rate like"),
        ({"FUNNEL_USUAL_RATE": "2"}, "FUNNEL_USUAL_RATE must be a rate like"),
        ({"FUNNEL_CONFIRM_RATE": "-1/h"}, "FUNNEL_CONFIRM_RATE must be a rate like"),
        ({"FUNNEL_MX": "yes"}, "FUNNEL_MX must be on or off"),
        ({"FUNNEL_WARMUP": "22.11.2026"}, "FUNNEL_WARMUP must be a date like 2026-11-22"),
        ({"FUNNEL_WARMUP": "2026-11-31"}, "FUNNEL_WARMUP must be a date"),
        ({"FUNNEL_SMTP_CONNECTIONS": "0"}, "FUNNEL_SMTP_CONNECTIONS must be a whole number from 1 to 16"),
        ({"FUNNEL_SMTP_CONNECTIONS": "17"}, "FUNNEL_SMTP_CONNECTIONS must be a whole number from 1 to 16"),
        ({"FUNNEL_METRICS_PORT": "0"}, "FUNNEL_METRICS_PORT must be a whole number from 1 to 65535"),
    ],
)
def test_a_malformed_setting_is_named_with_what_to_write(env: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(env)
    assert says in str(refused.value)
    assert "tulip" not in str(refused.value)


@pytest.mark.parametrize(
    "key",
    [
        "tulip",
        WEBHOOK_KEY[:-4],
        WEBHOOK_KEY + "é",
        base64.b64encode(b"tulip").decode(),
        as_webhook_key(ec.generate_private_key(ec.SECP384R1()).public_key()),
        as_webhook_key(rsa.generate_private_key(65537, 2048).public_key()),
    ],
    ids=["no base64", "cut off", "not ASCII", "no key", "another curve", "another kind"],
)
def test_only_the_kind_of_key_that_the_webhook_signs_with_is_taken(key: str) -> None:
    with pytest.raises(SettingsError, match="SENDGRID_WEBHOOK_KEY must be the verification key") as refused:
        load({"SENDGRID_WEBHOOK_KEY": key})
    assert key not in str(refused.value)


@pytest.mark.parametrize("missing", ["FUNNEL_MAIL", "FUNNEL_KEYS"])
@pytest.mark.parametrize("empty", [True, False])
def test_a_database_elsewhere_requires_mail_and_keys(missing: str, empty: bool) -> None:
    env = {name: value for name, value in HOSTED.items() if name != missing}
    if empty:
        env[missing] = ""
    with pytest.raises(SettingsError, match=f"with DATABASE_URL set, {missing} is required") as refused:
        load(env)
    assert not [secret for secret in ("sesame", "tulip", "a2V5") if secret in str(refused.value)]


@pytest.mark.parametrize(
    "mail",
    [
        {"FUNNEL_MAIL": "outbox"},
        {"FUNNEL_MAIL": "smtp://127.0.0.1:2525"},
        {"FUNNEL_MAIL": "smtp://localhost"},
        {"FUNNEL_MAIL": "smtp://bob:tulip@[::1]:25"},
        {"FUNNEL_MAIL": "sendgrid", "SENDGRID_API_KEY": "k", "SENDGRID_API_URL": "http://127.0.0.1:9999"},
    ],
)
def test_a_shorter_day_works_with_mail_that_stays_on_this_machine(mail: dict[str, str]) -> None:
    assert load({**mail, "FUNNEL_DAY": "2s"}).day_ms == 2000


@pytest.mark.parametrize(
    "mail",
    [
        {"FUNNEL_MAIL": "smtp://bob:tulip@mail.example.org"},
        {"FUNNEL_MAIL": "smtp://127.0.0.1.example.org"},
        {"FUNNEL_MAIL": "smtp://127.0.0.1@mail.example.org"},
        {"FUNNEL_MAIL": "smtp://localhost@mail.example.org:25"},
        {"FUNNEL_MAIL": "sendgrid", "SENDGRID_API_KEY": "tulip"},
        {"FUNNEL_MAIL": "sendgrid", "SENDGRID_API_KEY": "tulip", "SENDGRID_API_URL": "https://api.eu.sendgrid.com"},
        {"FUNNEL_MAIL": "sendgrid", "SENDGRID_API_KEY": "tulip", "SENDGRID_API_URL": "http://10.0.0.1"},
    ],
)
def test_a_shorter_day_never_reaches_anybody_elses_inbox(mail: dict[str, str]) -> None:
    assert load({**mail, "FUNNEL_DAY": "24h"}).day_ms == 86_400_000
    with pytest.raises(SettingsError, match="FUNNEL_DAY is for demonstrations") as refused:
        load({**mail, "FUNNEL_DAY": "2s"})
    assert "tulip" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_form_of_a_postgresql_url_opens(scheme: str, databases: Databases) -> None:
    url = databases.fresh("postgresql")
    engine = open_engine(f"{scheme}://{url.partition('://')[2]}")
    try:
        assert engine.dialect.name == "postgresql"
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    finally:
        engine.dispose()


def test_the_command_line_says_it_in_one_sentence(tmp_path: Path) -> None:
    env = {
        "PATH": "",
        "FUNNEL_HOME": str(tmp_path),
        "FUNNEL_MAIL": "smtp://bob:tulip@mail.example.org",
        "FUNNEL_DAY": "2s",
    }
    found = subprocess.run(
        [sys.executable, "-m", "funnel", "migrate"], env=env, cwd=ROOT, capture_output=True, text=True
    )
    assert found.returncode == 1
    assert found.stderr == (
        "Error: FUNNEL_DAY is for demonstrations: it works only with a mail provider on this machine\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_strangers_are_met_more_strictly_where_mail_leaves_this_machine() -> None:
    near, far = load({}), load({"FUNNEL_MAIL": "smtp://alice:sesame@mail.example.org"})
    assert (near.mx, far.mx) == (False, True)
    assert near.limits.domain.count > far.limits.domain.count
    assert near.limits.usual.count > far.limits.usual.count
    assert near.limits.visitor == far.limits.visitor


def test_pages_answer_to_the_name_that_the_operator_gave_and_to_any_without_one() -> None:
    assert load({"FUNNEL_BASE_URL": "https://Notes.example.org:8443/"}).host_name == "notes.example.org"
    assert load({}).host_name is None
