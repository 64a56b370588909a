"""canaille on SQLite, with the clients and users of the test."""

import datetime
import os

from asgiref.wsgi import WsgiToAsgi
from canaille import create_app
from canaille.app import models
from canaille.backends import Backend

LIFE = int(os.environ["LIFE"])
SERVER = f"127.0.0.1:{os.environ['PORT']}"
GRANTS = ["password", "client_credentials", "refresh_token"]

flask = create_app(
    config={
        "SECRET_KEY": "of no use, but long enough for a key",
        # Without it a client that cannot authenticate is answered by 500.
        "SERVER_NAME": SERVER,
        # What Authlib, on which canaille stands, reads.
        "OAUTH2_TOKEN_EXPIRES_IN": {grant: LIFE for grant in GRANTS},
        "CANAILLE": {"DATABASE": "sql"},
        "CANAILLE_SQL": {
            "DATABASE_URI": f"sqlite:///{os.environ['DATA']}/canaille.sqlite",
            "PASSWORD_SCHEMES": "plaintext",
        },
    },
    env_file=None,
)


def seed():
    if Backend.instance.query(models.Client):
        return
    now = datetime.datetime.now(datetime.timezone.utc)
    for name, secret in [("client", "SECRET"), ("odd", "ODD_SECRET")]:
        client = models.Client(
            client_id=name,
            client_secret=os.environ[secret],
            client_id_issued_at=now,
            client_name=name,
            grant_types=GRANTS,
            scope=["openid", "profile"],
            token_endpoint_auth_method="client_secret_basic",
        )
        Backend.instance.save(client)
        client.audience = [client]
        Backend.instance.save(client)
    for n in range(24):
        name = f"user{n}"
        Backend.instance.save(
            models.User(
                user_name=name,
                family_name=name,
                formatted_name=name,
                emails=[f"{name}@localhost.test"],
                password=os.environ["PASSWORD"],
            )
        )


with flask.app_context():
    Backend.instance.install(flask)
    with Backend.instance.session():
        seed()


def by_its_name(environ, start_response):
    """canaille refuses other hosts than its own, so a proxy sets it."""
    return flask(environ | {"HTTP_HOST": SERVER}, start_response)


app = WsgiToAsgi(by_its_name)
