"""Authlib's authorization server with its SQLAlchemy mixins, and an API."""

import os
import time

from authlib.integrations.flask_oauth2 import (
    AuthorizationServer,
    ResourceProtector,
    current_token,
)
from authlib.integrations.sqla_oauth2 import (
    OAuth2ClientMixin,
    OAuth2TokenMixin,
    create_bearer_token_validator,
    create_query_client_func,
    create_revocation_endpoint,
    create_save_token_func,
)
from authlib.oauth2.rfc6749 import grants
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

LIFE = int(os.environ["LIFE"])
GRANTS = ["password", "client_credentials", "refresh_token"]

app = Flask(__name__)
app.config.update(
    SQLALCHEMY_DATABASE_URI=f"sqlite:///{os.environ['DATA']}/tokens.sqlite",
    OAUTH2_REFRESH_TOKEN_GENERATOR=True,
    OAUTH2_TOKEN_EXPIRES_IN={grant: LIFE for grant in GRANTS},
)
db = SQLAlchemy(app)


class Client(db.Model, OAuth2ClientMixin):
    id = db.Column(db.Integer, primary_key=True)


class Token(db.Model, OAuth2TokenMixin):
    id = db.Column(db.Integer, primary_key=True)
    user_id = db.Column(db.String(80))


class User:
    def __init__(self, name):
        self.name = name

    def get_user_id(self):
        return self.name


class PasswordGrant(grants.ResourceOwnerPasswordCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]

    def authenticate_user(self, username, password):
        known = username.startswith("user") and password == os.environ["PASSWORD"]
        return User(username) if known else None


class ClientCredentialsGrant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]


class RefreshTokenGrant(grants.RefreshTokenGrant):
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token):
        token = Token.query.filter_by(refresh_token=refresh_token).first()
        return token if token and not token.is_revoked() else None

    def authenticate_user(self, credential):
        return User(credential.user_id)

    def revoke_old_credential(self, credential):
        credential.access_token_revoked_at = int(time.time())
        credential.refresh_token_revoked_at = int(time.time())
        db.session.commit()


server = AuthorizationServer(
    app,
    query_client=create_query_client_func(db.session, Client),
    save_token=create_save_token_func(db.session, Token),
)
for grant in [PasswordGrant, ClientCredentialsGrant, RefreshTokenGrant]:
    server.register_grant(grant)
server.register_endpoint(create_revocation_endpoint(db.session, Token))
protected = ResourceProtector()
protected.register_token_validator(create_bearer_token_validator(db.session, Token)())


@app.post("/token")
def token():
    return server.create_token_response()


@app.post("/revoke")
def revoke():
    return server.create_endpoint_response("revocation")


@app.post("/api")
@protected()
def api():
    return {"user": current_token.user_id}


def seed():
    db.create_all()
    for name, secret in [("client", "SECRET"), ("odd", "ODD_SECRET")]:
        if Client.query.filter_by(client_id=name).first():
            continue
        client = Client(client_id=name, client_secret=os.environ[secret])
        client.set_client_metadata(
            {"grant_types": GRANTS, "token_endpoint_auth_method": "client_secret_basic"}
        )
        db.session.add(client)
    db.session.commit()


with app.app_context():
    seed()
