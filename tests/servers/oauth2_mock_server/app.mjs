// oauth2-mock-server, which takes whatever it gets: its events, which are there
// for that, have it refuse wrong credentials. It has no API that reads tokens, so
// there is one beside it.

import { OAuth2Server } from "oauth2-mock-server";

const { LIFE, ODD_SECRET, PASSWORD, PORT, SECRET } = process.env;
const clients = new Map([
  ["client", SECRET],
  ["odd", ODD_SECRET],
]);
const live = new Set();
// With the access token that came with each.
const refresh = new Map();

// RFC 6749, section 2.3.1: in Basic both are form-encoded.
const isKnown = (authorization, form) => {
  const basic = Buffer.from((authorization ?? "").replace(/^Basic /, ""), "base64").toString();
  const decode = (text) => decodeURIComponent(text.replaceAll("+", " "));
  const [id, secret] = authorization
    ? basic.split(":").map(decode)
    : [form.client_id, form.client_secret];
  return secret !== undefined && clients.get(id) === secret;
};

const server = new OAuth2Server();
await server.issuer.keys.generate("RS256");
const { service } = server;
service.on("beforeTokenSigning", (token) => {
  token.payload.exp = token.payload.iat + Number(LIFE);
});
service.on("beforeResponse", (response, request) => {
  const { grant_type, password, refresh_token } = request.body;
  const refuse = (statusCode, error) => Object.assign(response, { statusCode, body: { error } });
  if (!isKnown(request.headers.authorization, request.body)) return refuse(401, "invalid_client");
  if (grant_type === "password" && password !== PASSWORD) return refuse(400, "invalid_grant");
  if (grant_type === "refresh_token" && !refresh.has(refresh_token))
    return refuse(400, "invalid_grant");
  response.body.expires_in = Number(LIFE);
  const { access_token } = response.body;
  live.add(access_token);
  if (response.body.refresh_token) refresh.set(response.body.refresh_token, access_token);
});
service.on("beforeRevoke", (_, request) => {
  let form = "";
  request.on("data", (bytes) => (form += bytes));
  request.on("end", () => {
    const token = new URLSearchParams(form).get("token");
    live.delete(refresh.get(token) ?? token);
    refresh.delete(token);
  });
});
service.addRoute("POST", "/api", (request, response) => {
  const token = (request.headers.authorization ?? "").replace(/^Bearer /, "");
  response.statusCode = live.has(token) ? 200 : 401;
  response.end();
});
await server.start(Number(PORT), "127.0.0.1");
