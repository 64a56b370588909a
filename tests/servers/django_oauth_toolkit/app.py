"""django-oauth-toolkit, with an API by DRF and one by its own views."""

import os
from pathlib import Path

import django
from django.conf import settings

LIFE = int(os.environ["LIFE"])
settings.configure(
    SECRET_KEY="of no use",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": Path(os.environ["DATA"]) / "tokens.sqlite",
            "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
        }
    },
    # One round of it, so that a login of a test is no benchmark of the hash.
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "oauth2_provider",
    ],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [
            "oauth2_provider.contrib.rest_framework.OAuth2Authentication"
        ],
    },
    OAUTH2_PROVIDER={
        "ACCESS_TOKEN_EXPIRE_SECONDS": LIFE,
        "SCOPES": {"read": "Read"},
    },
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from oauth2_provider.models import Application  # noqa: E402
from oauth2_provider.views import RevokeTokenView, TokenView  # noqa: E402
from oauth2_provider.views.generic import ProtectedResourceView  # noqa: E402
from rest_framework.decorators import api_view, authentication_classes, permission_classes  # noqa: E402, E501
from rest_framework.permissions import BasePermission  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from oauth2_provider.contrib.rest_framework import OAuth2Authentication  # noqa: E402


class HasToken(BasePermission):
    # Client credentials have no user, so this asks for a token.
    def has_permission(self, request, view):
        return request.auth is not None


@api_view(["POST"])
@authentication_classes([OAuth2Authentication])
@permission_classes([HasToken])
def api(request):
    return Response({"ok": True})


class OwnView(ProtectedResourceView):
    def post(self, request):
        return JsonResponse({"ok": True})


urlpatterns = [
    path("token", TokenView.as_view()),
    path("revoke", RevokeTokenView.as_view()),
    path("api", api),
    path("own", csrf_exempt(OwnView.as_view())),
]


def seed():
    call_command("migrate", verbosity=0)
    if Application.objects.exists():
        return
    for n in range(24):
        User.objects.create_user(f"user{n}", password=os.environ["PASSWORD"])
    for name, secret, grant in [
        ("client", "SECRET", Application.GRANT_PASSWORD),
        ("odd", "ODD_SECRET", Application.GRANT_PASSWORD),
        ("machine", "SECRET", Application.GRANT_CLIENT_CREDENTIALS),
    ]:
        Application.objects.create(
            client_id=name,
            client_secret=os.environ[secret],
            client_type=Application.CLIENT_CONFIDENTIAL,
            authorization_grant_type=grant,
        )


seed()
application = get_wsgi_application()
