// oauth2-mock-server, which takes whatever it gets: its events, which are there
// for that, have it refuse wrong credentials. It has no API that reads tokens, so
// there is one beside it.

import { OAuth2Server } from "oauth2-mock-server";

const { LIFE, ODD_SECRET, PASSWORD, PORT, SECRET } = process.env;
const basic = (id, secret) => {
  const encoded = [id, secret].map(encodeURIComponent).join(":");
  return `Basic ${Buffer.from(encoded).toString("base64")}`;
};
const clients = [basic("client", SECRET), basic("odd", ODD_SECRET)];
const live = new Set();
const refresh = new Set();

const server = new OAuth2Server();
await server.issuer.keys.generate("RS256");
const { service } = server;
service.on("beforeTokenSigning", (token) => {
  token.payload.exp = token.payload.iat + Number(LIFE);
});
service.on("beforeResponse", (response, request) => {
  const { grant_type, password, refresh_token } = request.body;
  const refuse = (statusCode, error) => Object.assign(response, { statusCode, body: { error } });
  if (!clients.includes(request.headers.authorization)) return refuse(401, "invalid_client");
  if (grant_type === "password" && password !== PASSWORD) return refuse(400, "invalid_grant");
  if (grant_type === "refresh_token" && !refresh.has(refresh_token))
    return refuse(400, "invalid_grant");
  response.body.expires_in = Number(LIFE);
  live.add(response.body.access_token);
  if (response.body.refresh_token) refresh.add(response.body.refresh_token);
});
service.on("beforeRevoke", (_, request) => {
  let form = "";
  request.on("data", (bytes) => (form += bytes));
  request.on("end", () => {
    const token = new URLSearchParams(form).get("token");
    live.delete(token);
    refresh.delete(token);
  });
});
service.addRoute("POST", "/api", (request, response) => {
  const token = (request.headers.authorization ?? "").replace(/^Bearer /, "");
  response.statusCode = live.has(token) ? 200 : 401;
  response.end();
});
await server.start(Number(PORT), "127.0.0.1");
