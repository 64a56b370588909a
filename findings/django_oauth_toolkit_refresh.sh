#!/usr/bin/env bash
# django-oauth-toolkit 3.4.1 on Django 5.2.19: what a refresh does to the access token in
# use, and how a dead token and a wrong secret are answered by its own views.
#
# Guess: the access token lives until its time, a dead one is 401, and a wrong secret in
#        Basic is 401 with a challenge `Basic` (RFC 6749, section 5.2).
# Seen:  a refresh ends the access token in use at once; the package's own views answer
#        403 without a challenge to a dead token; a wrong secret in Basic is 401 with the
#        challenge `Bearer error="invalid_client"`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q django-oauth-toolkit==3.4.1 Django==5.2.19
cat >refresh.py <<'PY'
from base64 import b64encode

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="of no use",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
    LOGGING_CONFIG=None,
)
django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from oauth2_provider.models import Application
from oauth2_provider.views import ProtectedResourceView, TokenView


class Api(ProtectedResourceView):
    def get(self, request):
        return HttpResponse("ok")


urlpatterns = [path("token", TokenView.as_view()), path("api", Api.as_view())]
call_command("migrate", verbosity=0)
User.objects.create_user("user", password="password")
Application.objects.create(
    client_id="client",
    client_secret="secret",
    client_type="confidential",
    authorization_grant_type="password",
)


def token(secret="secret", **form):
    basic = b64encode(f"client:{secret}".encode()).decode()
    return Client().post("/token", form, headers={"Authorization": f"Basic {basic}"})


def api(access):
    answer = Client().get("/api", headers={"Authorization": f"Bearer {access}"})
    return f"{answer.status_code} {answer.headers.get('WWW-Authenticate')}"


login = {"grant_type": "password", "username": "user", "password": "password"}
first = token(**login).json()
print("before the refresh:", api(first["access_token"]))
second = token(grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
print("after it, the old one:", api(first["access_token"]))
print("after it, the new one:", api(second["access_token"]))
wrong = token(secret="wrong", **login)
print("a wrong secret:", wrong.status_code, wrong.headers["WWW-Authenticate"])
PY
output=$(venv/bin/python -W ignore refresh.py 2>/dev/null)
echo "$output"
[[ $output == 'before the refresh: 200 None
after it, the old one: 403 None
after it, the new one: 200 None
a wrong secret: 401 Bearer error="invalid_client"' ]] || { echo "that has changed"; exit 1; }
