// @node-oauth/express-oauth-server with a model in memory, and an API.

import OAuthServer from "@node-oauth/express-oauth-server";
import express from "express";

const { LIFE, ODD_SECRET, PASSWORD, PORT, SECRET } = process.env;
const grants = ["password", "client_credentials", "refresh_token"];
const clients = [
  { id: "client", secret: SECRET, grants },
  { id: "odd", secret: ODD_SECRET, grants },
];
const access = new Map();
const refresh = new Map();

const model = {
  getClient: async (id, secret) =>
    clients.find((it) => it.id === id && (secret === null || it.secret === secret)),
  getUser: async (name, password) =>
    name.startsWith("user") && password === PASSWORD ? { name } : null,
  getUserFromClient: async (client) => ({ name: client.id }),
  saveToken: async (token, client, user) => {
    const saved = { ...token, client, user };
    access.set(saved.accessToken, saved);
    if (saved.refreshToken) refresh.set(saved.refreshToken, saved);
    return saved;
  },
  getAccessToken: async (token) => access.get(token),
  getRefreshToken: async (token) => refresh.get(token),
  revokeToken: async (token) => refresh.delete(token.refreshToken),
};

const oauth = new OAuthServer({ model, accessTokenLifetime: Number(LIFE) });
const app = express();
app.use(express.urlencoded({ extended: false }));
app.post("/token", oauth.token());
app.post("/api", oauth.authenticate(), (_, response) => response.json({ ok: true }));
// The package has no revocation endpoint: this is what an administrator does.
app.post("/kill", (request, response) => {
  response.sendStatus(access.delete(request.body.token) ? 200 : 404);
});
app.listen(Number(PORT), "127.0.0.1");
