"""django-oauth-toolkit: its token endpoint, a view of Django REST framework that it
protects, and a view of its own. Writes its port to the file that it is told; the
database is in the folder that it is told."""

import os
import socketserver
import sys
import threading
from datetime import timedelta
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings

port_file, folder = sys.argv[1:]
settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.path.join(folder, "db"),
            "OPTIONS": {"timeout": 20},
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "oauth2_provider",
        "rest_framework",
    ],
    OAUTH2_PROVIDER={"ACCESS_TOKEN_EXPIRE_SECONDS": 3600},
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["oauth2_provider.contrib.rest_framework.OAuth2Authentication"],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils import timezone  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from oauth2_provider.decorators import protected_resource  # noqa: E402
from oauth2_provider.models import AccessToken, Application  # noqa: E402
from oauth2_provider.views import TokenView  # noqa: E402
from rest_framework.decorators import api_view  # noqa: E402
from rest_framework.response import Response  # noqa: E402

counts = {"tokens": 0, "accepted": 0, "rejected": 0}
lock = threading.Lock()


def counted(view, name=None):
    def inner(request):
        response = view(request)
        with lock:
            counts[name or ("accepted" if response.status_code == 200 else "rejected")] += 1
        return response

    return csrf_exempt(inner)


@api_view(["GET"])
def calls(request):
    return Response({"calls": []})


@protected_resource()
def view(request):
    return JsonResponse({"calls": []})


@csrf_exempt
def kill(request):
    AccessToken.objects.update(expires=timezone.now() - timedelta(seconds=10))
    return HttpResponse()


def show(request):
    return JsonResponse(counts)


urlpatterns = [
    path("token", counted(TokenView.as_view(), "tokens")),
    path("calls", counted(calls)),
    path("view", counted(view)),
    path("kill", kill),
    path("counts", show),
]


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


call_command("migrate", verbosity=0)
user = User.objects.create_user("me", password="secret")
Application.objects.create(
    client_id="api",
    client_type=Application.CLIENT_PUBLIC,
    authorization_grant_type=Application.GRANT_PASSWORD,
    user=user,
)
from django.core.wsgi import get_wsgi_application  # noqa: E402

server = make_server("127.0.0.1", 0, get_wsgi_application(), Server, Quiet)
with open(port_file + ".new", "w") as file:
    file.write(str(server.server_port))
os.rename(port_file + ".new", port_file)
server.serve_forever()
