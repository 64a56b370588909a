#!/usr/bin/env bash
# canaille 0.3.6: how long a refresh token lives, and two logins of a user at once.
#
# Guess: a refresh token outlives its access token, as in other servers, and two password
#        grants within a second yield two tokens.
# Seen:  a refresh token is refused from the second on in which its access token expires:
#        a client that was idle for that long has to log in again. Tokens are JWTs whose
#        times have whole seconds and which have no identifier, so the second of two is
#        the same as the first, and the database refuses it: an error of the server.
set -euo pipefail
packages=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../tests/servers/canaille/requirements.txt")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check -r "$packages"
cat >canaille_tokens.py <<'PY'
import datetime
import time

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend

LIFE = 3
GRANTS = ["password", "refresh_token"]
app = create_app(
    config={
        "SECRET_KEY": "of no use, but long enough for a key",
        "SERVER_NAME": "localhost.test",
        "OAUTH2_TOKEN_EXPIRES_IN": {grant: LIFE for grant in GRANTS},
        "CANAILLE": {"DATABASE": "sql"},
        "CANAILLE_SQL": {"DATABASE_URI": "sqlite:///tokens.sqlite", "PASSWORD_SCHEMES": "plaintext"},
    },
    env_file=None,
)
with app.app_context():
    Backend.instance.install(app)
    with Backend.instance.session():
        client = models.Client(
            client_id="client",
            client_secret="secret",
            client_id_issued_at=datetime.datetime.now(datetime.timezone.utc),
            client_name="client",
            grant_types=GRANTS,
            scope=["openid", "profile"],
            token_endpoint_auth_method="client_secret_basic",
        )
        Backend.instance.save(client)
        client.audience = [client]
        Backend.instance.save(client)
        user = models.User(
            user_name="user",
            family_name="user",
            formatted_name="user",
            emails=["user@localhost.test"],
            password="password",
        )
        Backend.instance.save(user)


def token(**form):
    answer = app.test_client().post(
        "/oauth/token", data=form, auth=("client", "secret"), base_url="https://localhost.test"
    )
    return answer.status_code, answer.get_json(silent=True) or {}


def login():
    return token(grant_type="password", username="user", password="password", scope="openid")


def refresh(tokens):
    status, answer = token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    return status, answer.get("error")


# At the beginning of a second.
time.sleep(1.05 - time.time() % 1)
(status, tokens), (second, _) = login(), login()
print(f"two logins within a second: {status} {second}")
time.sleep(1.5)
_, tokens = login()
time.sleep(1.5)
print(f"refresh while the access token lives: {refresh(tokens)}")
time.sleep(1.5)
_, tokens = login()
time.sleep(LIFE + 1)
print(f"refresh after it has expired: {refresh(tokens)}")
PY
output=$(venv/bin/python canaille_tokens.py 2>errors) || { tail -n 5 errors; exit 1; }
echo "$output"
[[ $output == "two logins within a second: 200 500
refresh while the access token lives: (200, None)
refresh after it has expired: (400, 'invalid_grant')" ]] || { echo "that has changed"; exit 1; }
