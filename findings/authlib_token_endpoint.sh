#!/usr/bin/env bash
# Authlib 1.9.6 on Flask 3.1.3: its token endpoint, with a right and a wrong password and
# a client secret that has a space.
#
# Guess: a wrong password is `invalid_grant` (RFC 6749, section 5.2), and a client id and
#        secret in Basic are form-decoded (section 2.3.1), a `+` being a space.
# Seen:  a wrong password is `invalid_request`, as a malformed request is; `%20` is
#        decoded to a space, and `+` stays a plus: the same secret encoded by the usual
#        form encoder of most languages is refused.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q Authlib==1.9.6 Flask==3.1.3
cat >endpoint.py <<'PY'
from base64 import b64encode

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants
from flask import Flask


class Client(ClientMixin):
    client_id = "client"

    def get_client_id(self):
        return self.client_id

    def get_allowed_scope(self, scope):
        return scope or ""

    def check_client_secret(self, secret):
        return secret == "of two"

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_basic"

    def check_grant_type(self, grant_type):
        return True


class Password(grants.ResourceOwnerPasswordCredentialsGrant):
    def authenticate_user(self, username, password):
        return "user" if password == "right" else None


app = Flask(__name__)
server = AuthorizationServer(app, lambda _: Client(), lambda token, request: None)
server.register_grant(Password)
app.post("/token")(server.create_token_response)


def ask(secret, password):
    basic = b64encode(f"client:{secret}".encode()).decode()
    form = {"grant_type": "password", "username": "user", "password": password}
    answer = app.test_client().post(
        "/token", data=form, headers={"Authorization": f"Basic {basic}"}
    )
    return f"{answer.status_code} {answer.json.get('error', 'a token')}"


for secret in ["of%20two", "of+two"]:
    for password in ["right", "wrong"]:
        print(f"{secret}, {password} password: {ask(secret, password)}")
PY
output=$(AUTHLIB_INSECURE_TRANSPORT=1 venv/bin/python endpoint.py)
echo "$output"
[[ $output == 'of%20two, right password: 200 a token
of%20two, wrong password: 400 invalid_request
of+two, right password: 401 invalid_client
of+two, wrong password: 401 invalid_client' ]] || { echo "that has changed"; exit 1; }
