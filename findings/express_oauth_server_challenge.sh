#!/usr/bin/env bash
# @node-oauth/express-oauth-server 4.2.0, with its @node-oauth/oauth2-server 5.3.0: the
# challenge to a dead token.
#
# Guess: 401 with the `WWW-Authenticate` that oauth2-server makes, and the error as JSON.
# Seen:  oauth2-server sets `Bearer realm="Service",error="invalid_token"` on its
#        response, and the middleware for express does not carry it over: 401 without a
#        challenge. A client that waits for `invalid_token` never renews here.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts \
    @node-oauth/express-oauth-server@4.2.0 @node-oauth/oauth2-server@5.3.0 express@5.3.0
cat >challenge.mjs <<'JS'
import ExpressServer from "@node-oauth/express-oauth-server";
import OAuthServer from "@node-oauth/oauth2-server";
import express from "express";

const model = { getAccessToken: async () => null };
const request = new OAuthServer.Request({
  method: "GET",
  query: {},
  headers: { authorization: "Bearer dead" },
});
const response = new OAuthServer.Response({});
await new OAuthServer({ model }).authenticate(request, response).catch(() => {});
console.log(`oauth2-server: ${response.get("WWW-Authenticate")}`);

const app = express();
app.get("/", new ExpressServer({ model }).authenticate());
const server = app.listen(0, "127.0.0.1", async () => {
  const url = `http://127.0.0.1:${server.address().port}/`;
  const answer = await fetch(url, { headers: { authorization: "Bearer dead" } });
  console.log(`express: ${answer.status} ${answer.headers.get("www-authenticate")}`);
  process.exit();
});
JS
output=$(node challenge.mjs)
echo "$output"
[[ $output == 'oauth2-server: Bearer realm="Service",error="invalid_token"
express: 401 null' ]] || { echo "that has changed"; exit 1; }
